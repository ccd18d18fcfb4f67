"""Images of one place follow one another, each with its date."""

from typing import Any

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from ..errors import ConfigError
from ..types import View
from .dates import UNKNOWN
from .position import Position, code, code_width, encode_positions
from .tokens import patchify
from .vit import embed, patch_size


class Frames:
    """Images of one place follow one another, each with its date (SatMAE, temporal).

    A token's position is that of its patch, and beside it the sin-cos codes of the years since
    2002, of the month from 0 and of the hour.
    """

    def __init__(
        self, frames: int = 3, time_dim: int | None = None, decoder_time_dim: int | None = None
    ) -> None:
        """Say how many images of a place the encoder is trained on.

        Args:
            frames: Images of a place; the encoder takes any number.
            time_dim: Channels of the encoder's tokens that hold each of year, month and hour; by
                default 128, as released, and a sixth of encoders of less than 768 channels.
            decoder_time_dim: Likewise of the decoder's; by default an eighth, 64 at most.

        Raises:
            ConfigError: If there are to be no images.
        """
        if frames < 1:
            raise ConfigError(f'frames {frames}: 1 or more images of a place are needed')
        self.frames, self.dims = frames, (time_dim, decoder_time_dim)

    @property
    def options(self) -> dict[str, Any]:
        """What it is made of."""
        return {
            'frames': self.frames,
            **dict(zip(('time_dim', 'decoder_time_dim'), self.dims, strict=True)),
        }

    def tokens(
        self, encoder: VisionTransformer, view: View, embeds: nn.ModuleDict, position: Position
    ) -> Tensor:
        """Embed the images of each place one after another; see :class:`Layout`."""
        patch, dim = patch_size(encoder), encoder.embed_dim
        own = embed(encoder, patchify(view.image, patch))
        width = code_width(self.dims[0], min(128, dim // 6), dim, 3)
        places = encode_positions(view, patch, dim - 3 * width, position)
        tokens = own.reshape(-1, view.frames * own.shape[1], dim)
        return tokens + _dated(view, places, width).to(encoder.pos_embed.dtype)

    def decoder_positions(self, view: View, patch: int, dim: int, position: Position) -> Tensor:
        """Give the class token neither place nor time; see :class:`Layout`."""
        width = code_width(self.dims[1], min(64, dim // 8), dim, 3)
        places = encode_positions(view, patch, dim - 3 * width, position)
        return nn.functional.pad(_dated(view, places, width), (0, 0, 1, 0))

    def fold(self, tokens: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Average the images, weighed by how much of each patch holds data; see :class:`Layout`."""
        each = weight.reshape(len(tokens), -1, weight.shape[1], 1)
        counted = torch.where(each.sum(1, keepdim=True) > 0, each, 1.0)
        images = tokens.float().unflatten(1, each.shape[1:3])
        return (images * counted).sum(1) / counted.sum(1), each.mean(1)


def of_images(name: str, value: Tensor, places: int, frames: int) -> Tensor:
    """Give each of several images of a place what is said of it, or of its place.

    Args:
        name: What it is, for messages.
        value: One for all, shape (); for each place, (B,); or for each image, (B, T, …).
        places: Their number B.
        frames: Images of each, T.

    Returns:
        Shape (B · T, …).

    Raises:
        ConfigError: If it is of another shape.
    """
    if value.ndim < 2 and len(value.flatten()) in (1, places):
        return value.expand(places).repeat_interleave(frames)
    if value.shape[:2] != (places, frames):
        raise ConfigError(
            f'{name} of shape {tuple(value.shape)} came with {frames} images of {places} places; '
            f'({places}, {frames}, …) is needed, or ({places},)'
        )
    return value.flatten(0, 1)


def _dated(view: View, places: Tensor, width: int) -> Tensor:
    """Join the positions of patches and the codes of dates, (B, T · N, dim)."""
    images = len(view.image)
    time = places.new_tensor(UNKNOWN).expand(images, 3) if view.time is None else view.time
    codes = code(time, width).float().flatten(-2)
    joined = torch.cat(
        [
            places.expand(images, -1, -1),
            codes[:, None].expand(-1, places.shape[1], -1),
        ],
        dim=-1,
    )
    return joined.reshape(images // view.frames, -1, joined.shape[-1])
