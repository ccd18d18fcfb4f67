"""Each group of bands of an image has tokens of its own."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from ..errors import ConfigError
from ..types import View
from .position import Position, code, code_width, encode_positions
from .tokens import patchify
from .vit import patch_size, project

#: Groups of Sentinel-2's bands (SatMAE, Cong et al. 2022, section 5.2).
SENTINEL2 = {
    'visible': ['B2', 'B3', 'B4', 'B8'],
    'rededge': ['B5', 'B6', 'B7', 'B8A'],
    'swir': ['B11', 'B12'],
}


class BandGroups:
    """Each group of bands of an image has tokens of its own (SatMAE, group-channel).

    A token's position is that of its patch, and beside it the sin-cos code of its group's number.
    """

    def __init__(
        self,
        groups: Mapping[str, Sequence[str]],
        bands: Sequence[str] | None = None,
        group_dim: int | None = None,
        decoder_group_dim: int | None = None,
    ) -> None:
        """Find the bands of each group.

        Args:
            groups: Names of the bands of each group, by its name.
            bands: Names of the channels of the images; by default the groups' one after another.
            group_dim: Channels of the encoder's tokens that hold the code of the group; by default
                256, as released, and a third of encoders of less than 768 channels.
            decoder_group_dim: Likewise of the decoder's; by default a quarter, 128 at most.

        Raises:
            ConfigError: If the groups are not parts of the bands that have no band in common.
        """
        self.groups = {str(name): [str(band) for band in own] for name, own in groups.items()}
        said = [band for own in self.groups.values() for band in own]
        self.bands = said if bands is None else [str(band) for band in bands]
        if not said or sorted(said) != sorted(self.bands) or len(set(said)) < len(said):
            parts = '; '.join(f'{name}: {", ".join(own)}' for name, own in self.groups.items())
            raise ConfigError(
                f'the groups ({parts}) do not divide the bands {", ".join(self.bands)}; every band '
                'is to be in one group: choose the bands of these groups, or name other groups in '
                'the options bands and groups, in a copy of tasks/pretrain/satmae_group.yaml for '
                'xscale fit'
            )
        if wrong := [name for name in self.groups if '.' in name]:
            raise ConfigError(f'the group {wrong[0]!r}: a name without a dot is needed')
        self.indexes = [[self.bands.index(band) for band in own] for own in self.groups.values()]
        self.dims = group_dim, decoder_group_dim

    @property
    def options(self) -> dict[str, Any]:
        """What it is made of."""
        dims = dict(zip(('group_dim', 'decoder_group_dim'), self.dims, strict=True))
        return {'groups': self.groups, 'bands': self.bands, **dims}

    def tokens(
        self, encoder: VisionTransformer, view: View, embeds: nn.ModuleDict, position: Position
    ) -> Tensor:
        """Embed each group, one after another; see :class:`Layout`."""
        patch = patch_size(encoder)
        pixels = patchify(view.image, patch).unflatten(-1, (patch * patch, -1))
        parts = [encoder.patch_embed, *embeds.values()]
        own = [
            project(part.proj, pixels[..., index].flatten(-2))
            for part, index in zip(parts, self.indexes, strict=True)
        ]
        width = code_width(self.dims[0], min(256, encoder.embed_dim // 3), encoder.embed_dim)
        places = encode_positions(view, patch, encoder.embed_dim - width, position)
        tokens = torch.cat(own, dim=1)
        return tokens + self._positions(places, width)[:, 1:].to(encoder.pos_embed.dtype)

    def decoder_positions(self, view: View, patch: int, dim: int, position: Position) -> Tensor:
        """Give the class token the code of one group more; see :class:`Layout`."""
        width = code_width(self.dims[1], min(128, dim // 4), dim)
        return self._positions(encode_positions(view, patch, dim - width, position), width)

    def _positions(self, places: Tensor, width: int) -> Tensor:
        """Join the positions of patches and the codes of groups, (1 or B, 1 + G · N, dim)."""
        count = len(self.groups)
        codes = code(torch.arange(count + 1, device=places.device), width).float()
        each = codes[:count].repeat_interleave(places.shape[1], 0)
        joined = torch.cat([places.repeat(1, count, 1), each.expand(len(places), -1, -1)], dim=-1)
        first = torch.cat([places.new_zeros(places.shape[-1]), codes[count]])
        return torch.cat([first.expand(len(places), 1, -1), joined], dim=1)

    def fold(self, tokens: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Average the groups; see :class:`Layout`."""
        return tokens.unflatten(1, (len(self.groups), -1)).mean(1), weight
