"""From decoded patches to images of low and of high frequencies (Scale-MAE, Reed et al. 2023)."""

from collections.abc import Mapping
from functools import partial

from timm.layers import LayerNorm2d
from torch import Tensor, nn

from .groups import by_group

#: Pixels along a side that each head makes of a patch, whatever the encoder's patch is.
LOW, HIGH = 16, 32


class Upsampling(nn.Module):
    """Enlarge maps of patches two and four times."""

    def __init__(self, dim: int) -> None:
        """Build the layers.

        Args:
            dim: Channels of the maps.
        """
        super().__init__()
        self.two = nn.ConvTranspose2d(dim, dim, 2, 2)
        self.four = nn.Sequential(
            nn.ConvTranspose2d(dim, dim, 2, 2),
            LayerNorm2d(dim, eps=1e-6),
            nn.GELU(),
            nn.ConvTranspose2d(dim, dim, 2, 2),
        )


class ResidualBlock(nn.Module):
    """A grouped convolution and a mixing of channels, beside a projection."""

    def __init__(self, dim: int) -> None:
        """Build the layers.

        Args:
            dim: Channels.
        """
        super().__init__()
        self.convs = nn.Sequential(nn.GELU(), *_grouped(dim, dim))
        self.skip = nn.Conv2d(dim, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Run the block.

        Args:
            x: Shape (B, D, H, W).
        """
        return self.skip(x) + self.convs(x)


def _grouped(channels: int, out: int) -> tuple[nn.Module, ...]:
    """Convolve pairs of channels, then mix."""
    half = channels // 2
    return (
        nn.Conv2d(channels, half, 3, padding=1, groups=half),
        nn.GELU(),
        nn.Conv2d(half, out, 1),
    )


class FrequencyHead(nn.Module):
    """Predict an image of eight times the side of a map."""

    def __init__(
        self, dim: int, bands: Mapping[str, int], *, width: int = 512, layers: int = 2
    ) -> None:
        """Build the layers.

        Args:
            dim: Channels of the map.
            bands: Number of bands to predict of each group of bands, the first one's first; each
                group has a last layer of its own.
            width: Channels inside, a multiple of four.
            layers: Residual blocks.
        """
        super().__init__()
        half = width // 2
        self.proj = nn.Conv2d(dim, width, 1)
        self.blocks = nn.Sequential(*(ResidualBlock(width) for _ in range(layers)))
        self.grow = nn.Sequential(
            LayerNorm2d(width, eps=1e-6),
            nn.ConvTranspose2d(width, half, 4, 4),
            nn.GELU(),
            *_grouped(half, half),
            nn.GELU(),
        )
        own, *others = bands
        self.out = nn.ConvTranspose2d(half, bands[own], 2, 2)
        self.outs = nn.ModuleDict(
            {name: nn.ConvTranspose2d(half, bands[name], 2, 2) for name in others}
        )
        self.widest = max(bands.values())

    def forward(self, x: Tensor, group: Tensor | None = None) -> Tensor:
        """Predict.

        Args:
            x: Shape (B, D, H, W).
            group: Which group of bands is predicted of each image, shape (B,); None for the first.

        Returns:
            Shape (B, C, 8 H, 8 W), where C is the number of bands of the widest group; those that
            an image's group lacks are 0.
        """
        x = self.grow(self.blocks(self.proj(x)))
        return by_group(
            [partial(self._last, out) for out in (self.out, *self.outs.values())], x, group
        )

    def _last(self, layer: nn.Module, x: Tensor) -> Tensor:
        made: Tensor = layer(x)
        lacking = self.widest - made.shape[1]
        return nn.functional.pad(made, (0, 0, 0, 0, 0, lacking)) if lacking else made
