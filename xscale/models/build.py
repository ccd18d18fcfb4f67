"""An encoder and its patch embeddings, as the hyper-parameters of a checkpoint say."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from timm.models.vision_transformer import VisionTransformer
from torch import nn

from ..errors import ConfigError
from .groups import create_embeds
from .swin import Swin, create_swin, is_swin
from .vit import create_encoder

#: Options that say what an encoder is made of, and that no objective takes.
OF_ENCODER = ('patch', 'norm_eps')


class Built(NamedTuple):
    """What was built.

    Attributes:
        model: The encoder.
        embeds: Patch embeddings beyond its own.
    """

    model: VisionTransformer | Swin
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
            encoder is made of: ``block``, ``patch``, and ``groups`` of an image's bands; of a Swin
            transformer ``norm_eps``.
        init: Weights to start from, one of :data:`~xscale.models.local.INITS`.
        attention: Attention backend.
        drop_path: Stochastic depth rate.

    Raises:
        XScaleError: As :func:`~xscale.models.vit.create_encoder` and
            :func:`~xscale.models.swin.create_swin` do.
    """
    options = hparams.get('options') or {}
    bands = embedded_bands(hparams)
    own, *others = bands
    same: Any = {'init': init, 'attention': attention, 'drop_path': drop_path}
    model: VisionTransformer | Swin
    if is_swin(hparams['model']):
        model = create_swin(hparams['model'], bands[own], options=options, **same)
    elif 'norm_eps' in options:
        raise ConfigError(f'{hparams["model"]} has its own epsilon; norm_eps is for a Swin')
    else:
        block, patch = options.get('block', 'pre_norm'), options.get('patch')
        model = create_encoder(hparams['model'], bands[own], block=block, patch=patch, **same)
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


def objective_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of an objective, without what its encoder is made of alone.

    Args:
        options: As a checkpoint keeps them.
    """
    return {name: value for name, value in options.items() if name not in OF_ENCODER}


def torchgeo_loads(hparams: Mapping[str, Any]) -> bool:
    """Tell whether TorchGeo's own classifier loads an encoder.

    It takes timm's models whose last part is a linear layer; that of a Swin transformer holds one.

    Args:
        hparams: ``model`` and ``options``, as a checkpoint keeps them.
    """
    return is_timms(hparams.get('options') or {}) and not is_swin(hparams['model'])


def is_timms(options: Mapping[str, Any]) -> bool:
    """Tell whether timm's model of the same name is made of the same parts.

    Given the same weights it says the same, but where the encoder's final LayerNorm is not applied,
    its LayerNorms have another epsilon, or positions count metres: timm's counts patches, as if a
    pixel were 1 m.

    Args:
        options: Arguments of the objective.
    """
    other = any(options.get(name) for name in ('patch', 'groups', 'frames'))
    return options.get('block', 'pre_norm') == 'pre_norm' and not other
