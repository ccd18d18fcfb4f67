"""What a training begins with: an encoder that is compared, or random weights in its place."""

from pathlib import Path
from typing import Any

import torch
from timm.models import is_model, is_model_in_modules

from ..encoders import Embedder
from ..encoders.checkpoints import CheckpointEmbedder, read_ours
from ..encoders.controls import drawn_anew
from ..errors import ConfigError

RANDOM = 'random:'


def why_not(name: str) -> str | None:
    """Say why an encoder cannot be trained here; nothing is loaded for that.

    Args:
        name: As a user gives it; see :func:`~xscale.encoders.find_encoder`.

    Returns:
        The reason; None where it can.
    """
    if name == 'image-stats':
        return 'it has no weights'
    if name.startswith('torchgeo:'):
        return (
            "TorchGeo's models are measured frozen only; what can be trained are checkpoints, "
            'released files, and vision transformers of timm'
        )
    if not Path(name).is_file() and not name.startswith(RANDOM) and not is_plain(name):
        return (
            'of timm only plain vision transformers (vit_…_patch…) can be trained; the others '
            'are measured frozen only'
        )
    return None


def is_plain(name: str) -> bool:
    """Tell whether a name can be that of a plain vision transformer of timm's."""
    model = name.removeprefix('timm:').split('.')[0]
    return not is_model(model) or is_model_in_modules(model, {'vision_transformer'})


def start_of(embedder: Embedder, folder: Path) -> dict[str, Any]:
    """Return the settings of a task that begins with an encoder.

    Args:
        embedder: The encoder, which knows the values of the data
            (:meth:`~xscale.encoders.Embedder.fit_data`).
        folder: Where random weights in the place of a checkpoint's are written.

    Returns:
        ``weights`` or ``model``, ``in_channels`` and ``sensor``.

    Raises:
        ConfigError: If it cannot be trained.
    """
    reason = why_not(embedder.source)
    if reason:
        raise ConfigError(f'{embedder.name} cannot be trained: {reason}')
    source = embedder.source
    if source.startswith(RANDOM) and not Path(source.removeprefix(RANDOM)).is_file():
        model = source.removeprefix(RANDOM)
        return {'weights': None, 'model': model, 'in_channels': len(embedder.bands)}
    if source.startswith(RANDOM):
        # The same input contract, so that weights are all that differs.
        path = folder / f'{len(list(folder.iterdir()))}.ckpt'
        torch.save(drawn_anew(read_ours(source.removeprefix(RANDOM))), path)
        return {'weights': str(path), 'sensor': _sensor(embedder)}
    return {'weights': source, 'sensor': _sensor(embedder)}


def _sensor(embedder: Embedder) -> str | None:
    """Name the sensor that the data are taken for, where an encoder knows several."""
    if not isinstance(embedder, CheckpointEmbedder) or embedder.intake is None:
        return None
    several = len(embedder.intake.sensors) > 1
    return embedder.intake.sensor.name if several else None


def slug(name: str) -> str:
    """Return a name that can be one of a file."""
    return ''.join(one if one.isalnum() or one in '-_.' else '-' for one in name)
