"""A tiny decoder that predicts cells of another size than the patches."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from timm.layers import LayerNorm2d
from torch import Tensor, nn

from ..errors import ConfigError
from .decoders import MAEDecoder
from .groups import by_group, widen
from .vit import init_weights


class LocalDecoder(MAEDecoder):
    """Predict cells of one size from the visible patches (LocalMIM, Wang et al. 2023, §3.2)."""

    def __init__(
        self,
        encoder_dim: int,
        outputs: Mapping[str, int],
        scale: float,
        *,
        dim: int,
        **decoder: Any,
    ) -> None:
        """Build the decoder.

        Args:
            encoder_dim: Channels of the encoder's tokens.
            outputs: Numbers to predict for each cell, by group of bands.
            scale: Side of a patch over that of a cell: 1, 2, 4, … or 1/2, 1/3, ….
            dim: Channels of the decoder.
            **decoder: What :class:`~xscale.models.decoders.MAEDecoder` takes beside.

        Raises:
            ConfigError: If there is no such scale, or the channels cannot be halved so often.
        """
        steps, pool = _steps(scale), max(1, round(1 / scale))
        if dim % 2**steps:
            raise ConfigError(f'{dim} channels cannot be halved {steps} times, for scale {scale:g}')
        own, *others = outputs.items()
        width = dim >> steps
        super().__init__(encoder_dim, own[1], dim=dim, width=width, **decoder)
        self.scale = scale
        layers: list[nn.Module] = [nn.AvgPool2d(pool)] if pool > 1 else []
        for step in range(steps):
            wide = dim >> step
            layers += [LayerNorm2d(wide), nn.GELU()] if step else []
            layers.append(nn.ConvTranspose2d(wide, wide // 2, 2, stride=2))
        self.resize = nn.Sequential(*layers)
        # Each group's own bands are predicted, by a last layer of its own.
        self.heads = nn.ModuleDict({name: nn.Linear(width, count) for name, count in others})
        self.heads.apply(init_weights)

    def predict(
        self, features: Tensor, rows: int, group: Tensor | None, widest: int, side: int
    ) -> Tensor:
        """Turn features of patches into what is predicted of cells.

        Args:
            features: What the decoder says of all patches, without prefix tokens, (B, N, dim).
            rows: Patches down.
            group: Which group each image is of, shape (B,).
            widest: Channels of the widest group; others are filled up with 0.
            side: Side of a cell in values of each channel.

        Returns:
            Cells row by row, (row, column, channel) inside each, shape (B, M, side² · widest).
        """
        maps = self.resize(features.mT.unflatten(2, (rows, -1)))
        cells = maps.flatten(2).mT
        if not self.heads:
            return self.pred(cells)

        def wide(head: nn.Module, some: Tensor) -> Tensor:
            return widen(head(some), widest, side)

        heads = [self.pred, *self.heads.values()]
        return by_group([partial(wide, head) for head in heads], cells, group)


def _steps(scale: float) -> int:
    """Return how often a map is doubled, 0 where it is kept or made smaller."""
    if scale <= 0 or not (
        (scale >= 1 and scale.is_integer() and int(scale) & (int(scale) - 1) == 0)
        or (scale < 1 and abs(1 / scale - round(1 / scale)) < 1e-6)
    ):
        raise ConfigError(f'scale {scale:g}: 1, 2, 4, … or 1/2, 1/3, 1/4, … is needed')
    return int(scale).bit_length() - 1 if scale >= 1 else 0
