"""The encoder that a downstream task starts from: one sensor, whatever the weights know."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import timm

from ..encoders.checkpoints import read_ours
from ..errors import CheckpointError, ConfigError, MissingPathError, UnknownNameError
from ..models.build import build_encoder
from ..models.checkpoint import Encoder, restore
from ..models.layouts import layout_of
from ..models.swin import Swin
from ..models.vit import PostNormBlock, create_encoder
from ..transforms import Normalize
from ..types import Sensor

type Pooling = Literal['mean', 'class']

#: The model where neither it nor weights are named.
DEFAULT = 'vit_base_patch16_224'


class Start(NamedTuple):
    """What a task begins with.

    Attributes:
        encoder: An encoder of one sensor.
        name: The timm name of its model.
        patch: Side of its patches in pixels, where it is another than the model's.
    """

    encoder: Encoder
    name: str
    patch: int | None = None


def start_encoder(
    weights: str | None,
    model: str | None = None,
    in_channels: int | None = None,
    *,
    sensor: str | None = None,
    pooling: str | None = None,
    drop_path: float = 0.0,
    options: Mapping[str, Any] | None = None,
) -> Start:
    """Build the encoder of a downstream task.

    Args:
        weights: A checkpoint of ours, a released file, or a timm name with pretrained weights;
            None for random ones.
        model: A timm vision transformer; that of the weights by default.
        in_channels: Number of bands; that of the weights by default, and 3 without.
        sensor: Which sensor of the weights the images are of, where they know several.
        pooling: 'mean' or 'class'; what the weights say by default.
        drop_path: Stochastic depth rate.
        options: Of an encoder without weights what it is made of: ``block``, ``position``,
            ``normalize_encoder``, ``patch``, ``groups`` and ``bands``, ``frames``.

    Returns:
        The encoder and its name.

    Raises:
        MissingPathError: If the weights are neither a file nor a timm model.
        CheckpointError: If they are of another model or other bands, or cannot be had.
        ConfigError: If they know several sensors and none is named.
    """
    if not weights:
        name, options = model or DEFAULT, options or {}
        random = _random(name, in_channels or 3, pooling, drop_path, options)
        return Start(random, name, options.get('patch'))
    patch = None
    if Path(weights).exists():
        content = read_ours(weights)
        name = str(content['hyper_parameters']['model'])
        patch = (content['hyper_parameters'].get('options') or {}).get('patch')
        _check_model(weights, model, name)
        whole = restore(content, weights, pooling=pooling, drop_path=drop_path)
    else:
        name = weights.removeprefix('timm:')
        if not timm.is_model(name.split('.')[0]):
            raise MissingPathError(weights)
        _check_model(weights, model, name)
        whole = _of_timm(name, pooling, drop_path)
    encoder = one_sensor(whole, _number(whole, sensor, weights))
    bands = encoder.sensors[0].bands
    if in_channels not in (None, len(bands)):
        raise CheckpointError(
            f'{weights} takes {len(bands)} bands ({", ".join(bands)}) and in_channels is '
            f'{in_channels}; choose these bands of the data, or weights made with yours'
        )
    return Start(encoder, name, patch)


def options_of(encoder: Encoder) -> dict[str, Any]:
    """Return how an encoder is built and counts positions, as a checkpoint of ours keeps it.

    Args:
        encoder: The encoder.
    """
    post_norm = isinstance(encoder.model.blocks[0], PostNormBlock)
    return {
        'block': 'post_norm' if post_norm else 'pre_norm',
        'position': encoder.position,
        'normalize_encoder': encoder.normalize_encoder,
        **({'norm_eps': encoder.model.norm.eps} if isinstance(encoder.model, Swin) else {}),
        **(encoder.layout.options if encoder.layout else {}),
    }


def one_sensor(encoder: Encoder, number: int) -> Encoder:
    """Keep of an encoder what images of one sensor go through.

    Args:
        encoder: The encoder; its patch embedding may be replaced.
        number: Number of the sensor.
    """
    sensor, group = encoder.sensors[number], int(encoder.groups[number])
    if group:
        encoder.model.patch_embed = list(encoder.embeds.values())[group - 1]
    single = Encoder(
        encoder.model,
        encoder.contract | {'sensors': [sensor.plain()]},
        position=encoder.position,
        normalize_encoder=encoder.normalize_encoder,
        pooling=encoder.pooling,
        embeds=encoder.embeds if encoder.layout else None,
        layout=encoder.layout,
    )
    use_sensor(single, sensor)
    return single


def use_sensor(encoder: Encoder, sensor: Sensor) -> None:
    """Let an encoder normalise images as those of a sensor.

    Args:
        encoder: An encoder of one sensor.
        sensor: The sensor, with as many bands.
    """
    device = encoder.normalize.mean.device
    encoder.sensors = (sensor,)
    encoder.normalize = Normalize([sensor]).to(device)
    encoder.contract |= {'sensors': [sensor.plain()], 'bands': list(sensor.bands)}


def plain_sensor(channels: int) -> Sensor:
    """Return a sensor of which nothing is known; values are left as they are.

    Args:
        channels: Number of bands.
    """
    bands = tuple(str(band) for band in range(1, channels + 1))
    return Sensor('as given', bands, (0.0,) * channels, (1.0,) * channels)


def _random(
    model: str, channels: int, pooling: str | None, drop_path: float, options: Mapping[str, Any]
) -> Encoder:
    made = {'model': model, 'in_channels': channels, 'options': options}
    encoder, embeds = build_encoder(made, drop_path=drop_path)
    return Encoder(
        encoder,
        {'sensors': [plain_sensor(channels).plain()]},
        position=options.get('position', 'index'),
        normalize_encoder=options.get('normalize_encoder', True),
        pooling='class' if pooling == 'class' else 'mean',
        embeds=embeds,
        layout=layout_of(options),
    )


def _of_timm(name: str, pooling: str | None, drop_path: float) -> Encoder:
    """Load timm's published weights, which see red, green and blue of 0..1."""
    if name not in (tags := timm.list_pretrained(f'{name.split(".")[0]}.*')) and '.' in name:
        raise UnknownNameError('weights of timm', name, tags)
    try:
        source = timm.create_model(name, pretrained=True, num_classes=0)
    except (OSError, RuntimeError, ValueError) as error:
        raise CheckpointError(f'the weights of {name} could not be loaded: {error}') from error
    model = create_encoder(name, 3, drop_path=drop_path)
    try:
        model.load_state_dict(source.state_dict())
    except RuntimeError as error:
        raise CheckpointError(f'{name} does not fill a plain transformer: {error}') from error
    config = source.pretrained_cfg
    bands = ('red', 'green', 'blue')
    mean, std = tuple(config['mean']), tuple(config['std'])
    trained = Sensor(f'timm {name}, 0..1', bands, mean, std)
    contract = {'sensors': [trained.plain()], 'gsd': None, 'size': config['input_size'][-1]}
    kind = pooling or ('class' if source.global_pool == 'token' else 'mean')
    pooled: Pooling = 'class' if kind == 'class' else 'mean'
    return Encoder(model, contract, position='table', pooling=pooled)


def _check_model(weights: str, asked: str | None, found: str) -> None:
    if asked and asked.split('.')[0] != found.split('.')[0]:
        raise CheckpointError(f'{weights} holds {found} and model is {asked}; leave model out')


def _number(encoder: Encoder, name: str | None, weights: str) -> int:
    names = [sensor.name for sensor in encoder.sensors]
    if name is None and len(names) > 1:
        raise ConfigError(
            f'{weights} was trained on {len(names)} sensors; say which your images are of: '
            f'sensor: one of {", ".join(map(repr, names))}'
        )
    if name is not None and name not in names:
        raise UnknownNameError('sensor', name, names)
    return 0 if name is None else names.index(name)
