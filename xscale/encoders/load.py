"""Load the encoders that are compared, and the controls that go with them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ..errors import ConfigError, UnknownNameError
from ..models.build import build_encoder, embedded_bands
from .base import Embedder
from .checkpoints import read_ours
from .find import find_encoder

#: The control that needs no model, and the other where no encoder is a plain vision transformer.
STATISTICS, DEFAULT_RANDOM = 'image-stats', 'random:vit_small_patch16_224'


def load_encoders(
    names: Sequence[str], bands: Sequence[str], dtype: str, sensor: str | None = None
) -> dict[str, tuple[Embedder, bool]]:
    """Load encoders and the controls that go with them.

    Args:
        names: As the user gave them.
        bands: Names of the channels of the data.
        dtype: Of the data's files, such as 'uint8'.
        sensor: Which sensor of a checkpoint the data are of.

    Returns:
        By a name that only one has: the encoder, and whether it is a control.

    Raises:
        XScaleError: If one cannot be loaded, or does not fit the bands.
    """
    found: dict[str, tuple[Embedder, bool]] = {}

    def add(name: str, control: bool) -> None:
        # The random weights of a checkpoint are fed as it is.
        own = sensor if Path(name.removeprefix('random:')).is_file() else None
        embedder = find_encoder(name, bands=bands, dtype=dtype, sensor=own)
        embedder.source = name
        shown, number = embedder.name, 2
        while shown in found:
            shown, number = f'{embedder.name} ({number})', number + 1
        if shown != embedder.name:
            embedder.own_notes.append(f'it is {name}, of the same name as another')
        embedder.name = shown
        found[shown] = embedder, control

    asked = list(dict.fromkeys(names))
    for name in asked:
        add(name, name == STATISTICS or name.startswith('random:'))
    controls = [name for name, (_, control) in found.items() if control]
    if not any(name.startswith('random:') for name in controls):
        for name in _untrained(asked):
            add(name, True)
    if STATISTICS not in controls:
        add(STATISTICS, True)
    return found


def _untrained(names: Sequence[str]) -> list[str]:
    """Name the architectures of checkpoints and of timm's with random weights, each once."""
    found: dict[str, str] = {}
    for name in names:
        if Path(name).is_file():
            found.setdefault(_built(read_ours(name)['hyper_parameters']), f'random:{name}')
        elif _is_plain(model := name.removeprefix('timm:').split('.')[0]):
            found.setdefault(model, f'random:{model}')
    return list(found.values()) or [DEFAULT_RANDOM]


def _built(hparams: Mapping[str, Any]) -> str:
    """Say what an encoder is made of; two of one architecture say the same."""
    options = hparams.get('options') or {}
    said = {name: options.get(name) for name in ('block', 'patch', 'position', 'groups')}
    return repr((hparams['model'], embedded_bands(hparams), said))


def _is_plain(model: str) -> bool:
    """Tell whether timm's model is one that can be built with random weights."""
    try:
        with torch.device('meta'):
            build_encoder({'model': model, 'in_channels': 3})
    except (ConfigError, UnknownNameError):
        return False
    return True
