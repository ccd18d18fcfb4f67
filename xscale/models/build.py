"""An encoder and its patch embeddings, as the hyper-parameters of a checkpoint say."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from timm.models.vision_transformer import VisionTransformer
from torch import nn

from .groups import create_embeds
from .vit import create_encoder


class Built(NamedTuple):
    """What was built.

    Attributes:
        model: The encoder.
        embeds: Patch embeddings beyond its own.
    """

    model: VisionTransformer
    embeds: nn.ModuleDict


def build_encoder(
    hparams: Mapping[str, Any],
    *,
    init: str = 'xavier',
    attention: str = 'auto',
    drop_path: float = 0.0,
) -> Built:
    """Build an encoder with random weights.

    Args:
        hparams: ``model``, ``in_channels``, ``groups`` of sensors, and of ``options`` what the
            encoder is made of: ``block``, ``patch``, and ``groups`` of an image's bands.
        init: Weights to start from, one of :data:`~xscale.models.local.INITS`.
        attention: Attention backend.
        drop_path: Stochastic depth rate.

    Raises:
        XScaleError: As :func:`~xscale.models.vit.create_encoder` does.
    """
    options = hparams.get('options') or {}
    bands = embedded_bands(hparams)
    own, *others = bands
    model = create_encoder(
        hparams['model'],
        bands[own],
        block=options.get('block', 'pre_norm'),
        init=init,
        patch=options.get('patch'),
        attention=attention,
        drop_path=drop_path,
    )
    return Built(model, create_embeds(model, {name: bands[name] for name in others}, init))


def embedded_bands(hparams: Mapping[str, Any]) -> dict[str, int]:
    """Return the number of bands of each patch embedding, the encoder's own first.

    Args:
        hparams: As :func:`build_encoder` takes them.
    """
    parts = (hparams.get('options') or {}).get('groups')
    if parts:
        return {str(name): len(bands) for name, bands in parts.items()}
    return dict(hparams.get('groups') or {'': hparams['in_channels']})


def is_timms(options: Mapping[str, Any]) -> bool:
    """Tell whether timm's model of the same name is made of the same parts.

    Given the same weights it says the same, but where the encoder's final LayerNorm is not applied
    or positions count metres: timm's counts patches, as if a pixel were 1 m.

    Args:
        options: Arguments of the objective.
    """
    other = any(options.get(name) for name in ('patch', 'groups', 'frames'))
    return options.get('block', 'pre_norm') == 'pre_norm' and not other
