"""TorchGeo's pretrained models, fed by the transforms that come with their weights."""

from collections.abc import Iterator, Sequence
from typing import Any

from torch import nn

from ..errors import CheckpointError, ConfigError, UnknownNameError
from ..models.checkpoint import Encoder
from ..types import Sensor
from .bands import RGB, common_names, match_bands, plain
from .base import Embedder
from .checkpoints import CheckpointEmbedder
from .intake import Intake
from .names import near
from .timm_models import TimmEmbedder, no_weights

#: How the models begin that make features of an image and nothing else.
USABLE = ('vit_', 'resnet', 'swin_', 'scalemae_')

#: Transforms that move pixels and leave values alone; images are brought to a size elsewhere.
GEOMETRIC = ('CenterCrop', 'Resize', 'Identity')


def torchgeo_embedder(
    name: str, *, bands: Sequence[str], dtype: str, sensor: str | None
) -> Embedder:
    """Load a model of TorchGeo's.

    Args:
        name: The model, and after a dot the weights; those for the data's bands by default.
        bands: Bands of the data.
        dtype: Of the data's files.
        sensor: Not used but checked; weights are of one.

    Raises:
        UnknownNameError: If TorchGeo has no such model or weights.
        ConfigError: If the model answers to no plain image, or the data lack its bands.
        CheckpointError: If the weights cannot be had.
    """
    from torchgeo.models import get_model_weights, list_models

    architecture, _, wanted = name.partition('.')
    if architecture not in list_models():
        raise UnknownNameError("model of TorchGeo's", name, near(architecture, list_models()))
    if not architecture.startswith(USABLE):
        raise ConfigError(
            f'{architecture} needs more than an image, or has no features of one; of TorchGeo '
            f'{", ".join(f"{start}*" for start in USABLE)} can be used'
        )
    try:
        known = {weight.name: weight for weight in get_model_weights(architecture)}
    except KeyError as error:
        raise CheckpointError(f'TorchGeo has no weights for {architecture}') from error
    if wanted and wanted not in known:
        raise UnknownNameError(f'weights of {architecture}', wanted, known)
    weight = known[wanted] if wanted else choose_weight(architecture, known, bands, dtype)
    intake = Intake([weight_sensor(weight)], bands, dtype, sensor)
    embedder = _wrap(f'torchgeo:{architecture}.{weight.name}', weight, architecture, bands, intake)
    if not wanted and len(known) > 1:
        embedder.own_notes.append(
            f'{weight.name} is the first of the weights of {architecture} that fit the bands'
        )
    return embedder


def choose_weight(
    architecture: str, known: dict[str, Any], bands: Sequence[str], dtype: str
) -> Any:
    """Choose weights by the data's bands: for all of them, else for red, green and blue.

    Args:
        architecture: The model.
        known: Its weights by name.
        bands: Bands of the data.
        dtype: Of the data's files; among weights of the same bands those of its range come first.

    Raises:
        ConfigError: If there are none.
    """
    fitting = []
    for order, weight in enumerate(known.values()):
        own = weight_bands(weight)
        whole = {plain(band) for band in own} == {plain(band) for band in bands}
        rgb = set(common_names(own)) == {'RED', 'GREEN', 'BLUE'}
        if match_bands(bands, own) is not None and (whole or rgb or len(own) == len(bands)):
            bytes_like = all(scale <= 255 for scale in weight_sensor(weight).std)
            fitting.append((not whole and not rgb, bytes_like != (dtype == 'uint8'), order, weight))
    if fitting:
        return min(fitting, key=lambda row: row[:3])[3]
    listed = '; '.join(f'{name}: {", ".join(weight_bands(w))}' for name, w in known.items())
    raise ConfigError(
        f'{architecture} has no weights for the bands {", ".join(bands)}; it has {listed}'
    )


def weight_bands(weight: Any) -> tuple[str, ...]:
    """Return the bands that weights were trained on; three that are not named are RGB.

    Args:
        weight: An entry of TorchGeo's weights.
    """
    named = weight.meta.get('bands')
    if named:
        return tuple(str(band) for band in named)
    count = weight.meta['in_chans']
    return RGB if count == 3 else tuple(str(band) for band in range(1, count + 1))


def weight_sensor(weight: Any) -> Sensor:
    """Return how weights want values normalised: their transforms in one step.

    Args:
        weight: An entry of TorchGeo's weights.

    Raises:
        ConfigError: If the transforms are more than a normalisation.
    """
    bands = weight_bands(weight)
    gain, shift = [1.0] * len(bands), [0.0] * len(bands)
    for step in _steps(weight.transforms):
        if type(step).__name__ in GEOMETRIC:
            continue
        if type(step).__name__ != 'Normalize':
            raise ConfigError(
                f'how {weight} prepares images is not understood ({type(step).__name__}); '
                'choose other weights'
            )
        mean, std = (list(getattr(step, key)) * len(bands) for key in ('mean', 'std'))
        for i in range(len(bands)):
            gain[i], shift[i] = gain[i] / std[i], (shift[i] - mean[i]) / std[i]
    centre = tuple(-s / g for s, g in zip(shift, gain, strict=True))
    return Sensor(str(weight), bands, centre, tuple(1 / g for g in gain))


def _steps(transforms: Any) -> Iterator[Any]:
    if isinstance(transforms, nn.Sequential):
        for step in transforms:
            yield from _steps(step)
    else:
        yield transforms


def _wrap(
    name: str, weight: Any, architecture: str, bands: Sequence[str], intake: Intake
) -> Embedder:
    from torchgeo.models import get_model
    from torchgeo.models.scale_mae import ScaleMAE

    options = {'dynamic_img_size': True} if architecture.startswith('vit_') else {}
    try:
        model: Any = get_model(architecture, weights=weight, **options)
    except (OSError, RuntimeError, ValueError) as error:
        raise no_weights(name, error) from error
    # Weights come without a classifier, and one of random weights would be in the fingerprint.
    for part in ('head', 'fc'):
        if hasattr(model, part):
            setattr(model, part, nn.Identity())
    if isinstance(model, ScaleMAE):
        return _scale_mae(name, model, intake, bands)
    return TimmEmbedder(name, model, bands, intake, kind='torchgeo')


def _scale_mae(name: str, model: Any, intake: Intake, bands: Sequence[str]) -> Embedder:
    """Give Scale-MAE each image's own metres per pixel, where TorchGeo has one for a model."""
    # Positions are computed from metres, and the class token has none; the table is not used.
    nn.init.zeros_(model.pos_embed)
    contract = {'sensors': [intake.sensors[0].plain()], 'size': model.patch_embed.img_size[0]}
    encoder = Encoder(model, contract, position='gsd', pooling='class').eval()
    return CheckpointEmbedder(name, encoder, bands, intake, 'torchgeo')
