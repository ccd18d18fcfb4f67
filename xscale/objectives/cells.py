"""What a small decoder is asked to predict of cells, and how that looks."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from ..errors import ConfigError, UnknownNameError
from ..models.groups import widen
from ..models.tokens import patchify, unpatchify
from ..types import View
from .hog import draw_histograms, gradients, histograms
from .masked import Picture
from .targets import normalize_patches, patch_statistics, whole_cells

TARGETS = ('hog', 'pixels')

#: Side of the smallest drawn cell in pixels, from which strokes can be told apart.
STAR = 9


class CellTargets(nn.Module):
    """Targets of cells of several sizes: histograms of oriented gradients, or pixels."""

    #: What released models add to the gradients of each tap, (taps, 2), where they do.
    hog_bias: Tensor

    def __init__(
        self,
        bands: Mapping[str, int],
        sides: Sequence[int],
        target: str,
        *,
        bins: int = 9,
        hog_bias: bool = False,
        norm_pix: bool = False,
    ) -> None:
        """Choose the target.

        Args:
            bands: Number of bands of each group of bands.
            sides: Side of each tap's cells in pixels.
            target: 'hog' or 'pixels'.
            bins: Directions of a histogram.
            hog_bias: Add a fixed bias of each tap to the gradients; 0 until it is loaded.
            norm_pix: Normalise the pixels of each cell by their own mean and deviation.

        Raises:
            UnknownNameError: If there is no such target.
            ConfigError: If there are no bins.
        """
        super().__init__()
        if target not in TARGETS:
            raise UnknownNameError('target', target, TARGETS)
        if bins < 1:
            raise ConfigError(f'bins {bins}: 1 or more are needed')
        self.hog, self.bins, self.norm_pix = target == 'hog', bins, norm_pix
        self.sides, self.widest, self.groups = list(sides), max(bands.values()), len(bands)
        if hog_bias:
            self.register_buffer('hog_bias', torch.zeros(len(sides), 2))
        for k in range(len(sides)):
            rows = [torch.ones(1, 1, size) for size in self.sizes(bands, k).values()]
            has = torch.cat([widen(row, *self.layout(k)) for row in rows])
            self.register_buffer(f'has_{k}', has, persistent=False)

    def layout(self, k: int, bands: int | None = None) -> tuple[int, int]:
        """Return the channels of a tap's cells, and the side of a cell in values of each.

        Args:
            k: Number of the tap.
            bands: Number of bands; those of the widest group by default.
        """
        bands = self.widest if bands is None else bands
        return (bands * self.bins, 1) if self.hog else (bands, self.sides[k])

    def sizes(self, bands: Mapping[str, int], k: int) -> dict[str, int]:
        """Return how many values a tap's cells have, by group of bands.

        Args:
            bands: Number of bands of each group.
            k: Number of the tap.
        """
        layouts = {name: self.layout(k, count) for name, count in bands.items()}
        return {name: channels * side**2 for name, (channels, side) in layouts.items()}

    @torch.no_grad()
    def forward(self, view: View, taps: Sequence[int]) -> list[Tensor]:
        """Compute the targets of a view.

        Args:
            view: The view.
            taps: Numbers of the taps.

        Returns:
            For each tap cells row by row, shape (B, M, P), float32.
        """
        cells, image = [self.sides[k] for k in taps], view.image.float()
        if not self.hog:
            patches = [patchify(image, cell) for cell in cells]
            if not self.norm_pix:
                return patches
            return [normalize_patches(one, torch.ones_like(one)) for one in patches]
        found = gradients(image)
        if not hasattr(self, 'hog_bias'):
            return histograms(found, cells, self.bins)
        biased = (found + self.hog_bias[k, :, None, None, None] for k in taps)
        return [histograms(one, [c], self.bins)[0] for one, c in zip(biased, cells, strict=True)]

    def counted(self, view: View, k: int) -> Tensor:
        """Tell which cells of a tap no missing data touches.

        Args:
            view: The view.
            k: Number of the tap.

        Returns:
            Shape (B, M), bool.
        """
        # A gradient looks a pixel beyond the cell.
        return whole_cells(view.valid, self.sides[k], margin=int(self.hog))

    def error(self, prediction: Tensor, target: Tensor, view: View, k: int) -> Tensor:
        """Return the mean squared error of each cell over the values its bands have.

        Args:
            prediction: Shape (B, M, P).
            target: Shape (B, M, P).
            view: The view.
            k: Number of the tap.

        Returns:
            Shape (B, M), float32.
        """
        error = (prediction.float() - target).square()
        if self.groups == 1 or view.group is None:
            return error.mean(-1)
        has = getattr(self, f'has_{k}')[view.group]
        return (error * has).sum(-1) / has.sum(-1)

    def pictures(
        self, prediction: Tensor, hidden: Tensor, view: View, k: int, name: str
    ) -> list[Picture]:
        """Make pictures of a tap: hidden cells as predicted, the others as they are.

        Histograms are drawn, the image's own beside the predicted ones. Of pixels normalised by
        themselves the mean and the deviation of each cell are the image's, and the name says so.

        Args:
            prediction: Shape (B, M, P).
            hidden: Which cells are hidden, at least in part, shape (B, M).
            view: The view.
            k: Number of the tap.
            name: What to call it.
        """
        cell, size = self.sides[k], view.image.shape[-2:]
        (target,) = self(view, [k])
        shown = torch.where(hidden[..., None], prediction.float(), target)
        if not self.hog:
            title = f'predicted, {name}'
            if self.norm_pix:
                patches = patchify(view.image.float(), cell)
                mean, deviation = patch_statistics(patches, torch.ones_like(patches))
                shown, title = shown * deviation + mean, f'{title},\ntold the mean of each cell'
            return [Picture(title, unpatchify(shown, cell, *size))]
        known, rows = self.counted(view, k)[..., None], size[0] // cell
        return [
            Picture(what, draw_histograms(stars * known, rows, self.bins, max(STAR, cell)), True)
            for what, stars in ((f'gradients, {name}', target), ('predicted', shown))
        ]
