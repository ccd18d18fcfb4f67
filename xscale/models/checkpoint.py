"""A trained encoder as a plain module: pixels and ground sample distance in, features out."""

import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from .. import __version__
from ..errors import CheckpointError, ConfigError, UnknownNameError
from ..transforms.normalize import Normalize, wrong_bands
from ..types import Sensor, View
from .build import build_encoder
from .convert import read_checkpoint
from .dates import date_fields
from .frames import Frames, of_images
from .layouts import Layout, encode_view, layout_of
from .position import POSITIONS, Position
from .tokens import patch_validity, weighted_mean
from .vit import patch_size

#: Entry of a checkpoint that holds its input contract.
CONTRACT = 'xscale'


def versions() -> dict[str, str]:
    """Return what a checkpoint was made with."""
    return {
        'xscale': __version__,
        'torch': str(torch.__version__),
        'python': platform.python_version(),
    }


class Features(NamedTuple):
    """What an encoder says of a batch.

    Attributes:
        tokens: A vector for each patch, shape (B, N, D).
        pooled: A vector for each image, shape (B, D): the mean of its patches, weighed by how much
            of each holds data, or the class token.
    """

    tokens: Tensor
    pooled: Tensor


class Encoder(nn.Module):
    """An encoder that normalises its input by itself.

    Attributes:
        contract: What the encoder was trained on: ``bands``, ``sensors`` (name, bands, mean and
            standard deviation of each, and its group of bands), ``size``, ``gsd`` (finest,
            coarsest), ``footprints`` of the ground in degrees (west, south, east, north; (M, 4)),
            ``seed``, ``versions``.
        sensors: The sensors.
    """

    groups: Tensor

    def __init__(
        self,
        model: VisionTransformer,
        contract: Mapping[str, Any],
        *,
        position: Position = 'index',
        normalize_encoder: bool = True,
        pooling: Literal['mean', 'class'] = 'mean',
        embeds: nn.ModuleDict | None = None,
        layout: Layout | None = None,
    ) -> None:
        """Join an encoder and its input contract.

        Args:
            model: The encoder.
            contract: See the class.
            position: How positions are counted.
            normalize_encoder: Apply the final LayerNorm.
            pooling: 'mean' of the patches, or the 'class' token.
            embeds: Patch embeddings of groups of bands beyond the encoder's own.
            layout: How images become tokens; None for one token of each patch.

        Raises:
            ConfigError: If the encoder has no class token to pool.
        """
        super().__init__()
        if pooling == 'class' and model.cls_token is None:
            raise ConfigError("this encoder has no class token; use pooling='mean'")
        self.model, self.contract = model, dict(contract)
        self.position, self.normalize_encoder, self.pooling = position, normalize_encoder, pooling
        self.embeds, self.layout = embeds or nn.ModuleDict(), layout
        self.sensors = tuple(
            Sensor(
                s['name'], tuple(s['bands']), tuple(s['mean']), tuple(s['std']), s.get('group', '')
            )
            for s in contract['sensors']
        )
        self.normalize = Normalize(self.sensors)
        # The encoder's own group is the one that none of the others is.
        others = list(self.embeds) if layout is None else []
        groups = [others.index(s.group) + 1 if s.group in others else 0 for s in self.sensors]
        self.register_buffer('groups', torch.tensor(groups), persistent=False)

    def forward(
        self,
        image: Tensor,
        gsd: Tensor | float,
        sensor: str | int | Tensor | None = None,
        valid: Tensor | None = None,
        time: Tensor | None = None,
    ) -> Features:
        """Encode images.

        Args:
            image: Bands in the sensor's own units, shape (B, C, H, W); not finite is no data. In
                a batch of several sensors all have as many bands as the widest, the rest 0.
            gsd: Metres per pixel, one for all or one for each, shape (B,).
            sensor: Which sensor the values are of, by name or number; needed where the
                checkpoint was trained on more than one.
            valid: True where a pixel holds data, shape (B, 1, H, W); all finite ones by default.
            time: Seconds since 1970 of each image, shape (B,), NaN where it is not known, for an
                encoder that was trained on dates. It also takes T images of each place: image
                (B, T, C, H, W), time (B, T) and valid (B, T, 1, H, W), gsd and sensor (B,) or
                (B, T), and gives one vector for each patch of the place.

        Returns:
            Features of the patches and of the images.

        Raises:
            ConfigError: If the bands do not fit, or several sensors leave the values' meaning open.
            InputSizeError: If H or W is no multiple of the patch.
        """
        tokens, pooled = self.encode(image, gsd, sensor, valid, time)
        return Features(tokens, pooled[self.pooling])

    @property
    def poolings(self) -> tuple[str, ...]:
        """What can be pooled, the encoder's own first: 'mean', and 'class' where it has one."""
        there = ('mean',) if self.model.cls_token is None else ('mean', 'class')
        return tuple(sorted(there, key=lambda name: name != self.pooling))

    def encode(
        self,
        image: Tensor,
        gsd: Tensor | float,
        sensor: str | int | Tensor | None = None,
        valid: Tensor | None = None,
        time: Tensor | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Encode images in one pass and pool them in every way.

        Args:
            image: As :meth:`forward` takes it.
            gsd: Likewise.
            sensor: Likewise.
            valid: Likewise.
            time: Likewise.

        Returns:
            A vector for each patch, shape (B, N, D), and for each of :attr:`poolings` a vector
            for each image, shape (B, D).

        Raises:
            ConfigError: If the bands do not fit, or several sensors leave the values' meaning open.
            InputSizeError: If H or W is no multiple of the patch.
        """
        view = self.see(image, gsd, sensor, valid, time)
        first, tokens = encode_view(
            self.model,
            view,
            self.position,
            self.embeds,
            self.layout,
            normalize=self.normalize_encoder,
        )
        patches, weight = self.fold(tokens, view.valid)
        pooled = {'mean': weighted_mean(patches, weight)}
        if self.model.cls_token is not None:
            pooled['class'] = first[:, 0]
        return patches, {name: pooled[name] for name in self.poolings}

    def see(
        self,
        image: Tensor,
        gsd: Tensor | float,
        sensor: str | int | Tensor | None = None,
        valid: Tensor | None = None,
        time: Tensor | None = None,
    ) -> View:
        """Normalise images.

        Args:
            image: As :meth:`forward` takes it.
            gsd: Likewise.
            sensor: Likewise.
            valid: Likewise.
            time: Likewise.

        Returns:
            What the encoder sees; of several images of a place each is one of its own.

        Raises:
            ConfigError: As :meth:`encode` does.
        """
        which, frames = self._sensor(sensor), 1
        gsd = torch.as_tensor(gsd, dtype=torch.float32, device=image.device)
        if image.ndim == 5:
            if not isinstance(self.layout, Frames):
                raise ConfigError(
                    f'images of shape {tuple(image.shape)} came; this encoder takes one image of '
                    'each place, (B, C, H, W)'
                )
            places, frames = image.shape[:2]
            image = image.flatten(0, 1)
            gsd = of_images('gsd', gsd, places, frames)
            if isinstance(which, Tensor):
                which = of_images('sensor', which, places, frames)
            if valid is not None:
                valid = of_images('valid', valid, places, frames)
            if time is not None:
                time = of_images('time', time, places, frames)
        image = self._filled(image.float(), which)
        finite = image.isfinite().all(1, keepdim=True)
        valid = finite if valid is None else valid & finite
        image = self.normalize(image.nan_to_num(), valid, which)
        return View(
            image,
            gsd.expand(len(image)),
            image.new_zeros(len(image), 2),
            valid,
            group=self.groups[which].expand(len(image)),
            time=None if time is None else date_fields(time),
            frames=frames,
        )

    def fold(self, tokens: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Average the tokens of each patch where it has several.

        Args:
            tokens: What the transformer says of all but prefix tokens, shape (B, M, D).
            valid: Where there is data, as :meth:`see` returns it.

        Returns:
            One vector for each patch, shape (B, N, D), and how much of it holds data, (B, N, 1).
        """
        weight = patch_validity(valid, patch_size(self.model))
        return (tokens, weight) if self.layout is None else self.layout.fold(tokens, weight)

    def _filled(self, image: Tensor, sensor: int | Tensor) -> Tensor:
        """Give images of one sensor as many bands as the widest sensor has."""
        if not isinstance(sensor, int):
            return image
        bands = self.sensors[sensor].bands
        if image.shape[1] != len(bands):
            raise wrong_bands(image, bands)
        lacking = self.normalize.mean.shape[1] - len(bands)
        return nn.functional.pad(image, (0, 0, 0, 0, 0, lacking)) if lacking else image

    def _sensor(self, sensor: str | int | Tensor | None) -> int | Tensor:
        names = [s.name for s in self.sensors]
        if isinstance(sensor, str):
            if sensor not in names:
                raise UnknownNameError('sensor', sensor, names)
            return names.index(sensor)
        if sensor is None and len(names) > 1:
            raise ConfigError(
                f'this checkpoint was trained on {len(names)} sensors with other units each; say '
                f'which the image is of: sensor={", or ".join(map(repr, names))}'
            )
        return 0 if sensor is None else sensor


def load(path: str | Path, *, attention: str = 'auto', pooling: str | None = None) -> Encoder:
    """Load a checkpoint.

    Args:
        path: A checkpoint of ours (``last.ckpt``, or what ``xscale convert`` wrote).
        attention: Attention backend.
        pooling: 'mean' of the patches, or the 'class' token; what the checkpoint says by default.

    Returns:
        The encoder, in evaluation mode: ``(image, gsd)`` to ``tokens, pooled``.

    Raises:
        MissingPathError: If there is no such file.
        CheckpointError: If it is not a checkpoint of ours, or is incomplete.
    """
    content = read_checkpoint(path)
    if CONTRACT not in content or 'hyper_parameters' not in content:
        raise CheckpointError(
            f'{path} is no checkpoint of xscale; convert a released one with: '
            f'xscale convert {path} --out CKPT'
        )
    return restore(content, str(path), attention=attention, pooling=pooling)


def restore(
    content: Mapping[str, Any],
    source: str,
    *,
    attention: str = 'auto',
    pooling: str | None = None,
    drop_path: float = 0.0,
) -> Encoder:
    """Build the encoder that a checkpoint holds.

    Args:
        content: What the file of a checkpoint of ours holds.
        source: Where it is from, for messages.
        attention: Attention backend.
        pooling: 'mean' of the patches, or the 'class' token; what the checkpoint says by default.
        drop_path: Stochastic depth rate, for an encoder that is to be trained on.

    Returns:
        The encoder, in evaluation mode.

    Raises:
        CheckpointError: If it is incomplete.
    """
    hparams = content['hyper_parameters']
    pooling = pooling or content[CONTRACT].get('pooling', 'mean')
    if pooling not in ('mean', 'class'):
        raise UnknownNameError('pooling', pooling, ('mean', 'class'))
    options = hparams.get('options') or {}
    model, embeds = build_encoder(hparams, attention=attention, drop_path=drop_path)
    state: dict[str, dict[str, Tensor]] = {'model': {}, 'encoder': {}, 'embeds': {}}
    for key, tensor in content['state_dict'].items():
        part, name = key.split('.', 1)
        state.get(part, {})[name] = tensor
    try:
        model.load_state_dict(state['model'] | state['encoder'])
        embeds.load_state_dict(state['embeds'])
    except RuntimeError as error:
        raise CheckpointError(f'{source} does not fill {hparams["model"]}: {error}') from error
    position = options.get('position', POSITIONS[0])
    # An objective may decide it that has no such option.
    normalized = content[CONTRACT].get('normalize_encoder', True)
    encoder = Encoder(
        model,
        content[CONTRACT],
        position=position,
        normalize_encoder=options.get('normalize_encoder', normalized),
        pooling='class' if pooling == 'class' else 'mean',
        embeds=embeds,
        layout=layout_of(options),
    )
    return encoder.eval()
