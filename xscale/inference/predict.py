"""Predict a raster: read overlapping windows, ask the model, stitch, write the map."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import batched
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from rasterio.io import DatasetWriter
from rasterio.windows import Window
from torch import Tensor

from ..datasets.files import Row
from ..datasets.readers import RasterReader
from ..errors import CheckpointError, UnusableError
from .back import lay_back
from .layers import Layer
from .plan import MapGrid, Plan, map_grid
from .sinks import create_map, scratch, write_cog
from .stitch import Strip, swath_columns, taper

#: A model in evaluation mode: images in the files' own units (B, C, S, S), metres per pixel (B,)
#: and where there is data (B, 1, S, S) to a logit for each class and pixel (B, K, S, S).
type Predict = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Settings:
    """How a raster is gone over.

    Attributes:
        size: Side of a window in pixels of the map.
        overlap: Pixels that neighbouring windows share at least, fewer than ``size``.
        batch_size: Windows at a time.
        gsd: Metres per pixel of the map; each raster's own by default.
        device: Where the model is.
        dtype: What its products are computed in, by autocast; None for float32.
    """

    size: int
    overlap: int
    batch_size: int = 16
    gsd: float | None = None
    device: str = 'cpu'
    dtype: torch.dtype | None = None


class Answer(NamedTuple):
    """What a model says of a window.

    Attributes:
        col: Left column of the window in the map.
        row: Its upper row.
        probabilities: Of each class, (K, S, S).
        valid: True where there is data, (S, S).
    """

    col: int
    row: int
    probabilities: NDArray[np.float32]
    valid: NDArray[np.bool_]


@dataclass(frozen=True)
class Mapper:
    """Makes maps of rasters with one model.

    Attributes:
        predictor: The model.
        classes: How many it tells.
        layer: What a map says of each pixel.
        settings: How rasters are gone over.
    """

    predictor: Predict
    classes: int
    layer: Layer
    settings: Settings

    @torch.inference_mode()
    def check(self, bands: int) -> None:
        """Ask the model about one empty window, so that what cannot make a map is told at once.

        Args:
            bands: Of its images.

        Raises:
            CheckpointError: If it does not answer pixel by pixel with a logit for each class.
        """
        size, device = self.settings.size, self.settings.device
        image = torch.zeros(1, bands, size, size, device=device)
        gsd = torch.full((1,), self.settings.gsd or 1.0, device=device)
        shape = tuple(self._logits(image, gsd, image[:, :1] == 0).shape)
        if shape == (1, self.classes):
            raise CheckpointError(
                'this model names one class for a whole image, and a map needs one for each '
                'pixel; give a checkpoint of xscale.tasks.Segmentation'
            )
        if shape != (1, self.classes, size, size):
            raise CheckpointError(
                f'this model answers an image of {size}×{size} px with shape {shape}; '
                f'(1, {self.classes}, {size}, {size}) is needed: a logit for each class and pixel'
            )

    def plan(self, row: Row) -> Plan:
        """Plan the windows of a raster's map.

        Args:
            row: The raster's row of an index.

        Raises:
            UnusableError: If the raster is smaller than one pixel of the map.
        """
        grid, size = map_grid(row, self.settings.gsd), self.settings.size
        columns = swath_columns(self.classes, size)
        return Plan(grid.width, grid.height, size, self.settings.overlap, columns)

    def write(
        self,
        row: Row,
        target: Path,
        tags: Mapping[str, str],
        progress: Callable[[int], object] = lambda windows: None,
    ) -> None:
        """Write the map of one raster, all of it or nothing.

        Rasters whose pixels are not square on the ground, or that are turned, are predicted on a
        grid in metres, and the map is brought back to their own.

        Args:
            row: The raster's row of an index, with the bands the model takes, in their order.
            target: Where to.
            tags: What the map is.
            progress: Told how many windows are done since it was told last.

        Raises:
            UnusableError: If the raster is too small, or the model's answer is not finite.
            BrokenFileError: If the raster cannot be read any more.
            OSError: If the map cannot be written.
        """
        grid = map_grid(row, self.settings.gsd)
        with scratch(target) as folder:
            made = folder / 'made.tif'
            with create_map(made, grid, self.layer, tags) as out:
                self._fill(out, row, grid, progress)
            if row['warp']:
                square, made = made, folder / 'own.tif'
                lay_back(square, row, self.settings.gsd, self.layer, tags, made)
            write_cog(made, target, self.layer)

    def _fill(
        self, out: DatasetWriter, row: Row, grid: MapGrid, progress: Callable[[int], object]
    ) -> None:
        """Predict the windows of a map, and write its rows as they are finished."""

        def emit(left: int, top: int, rows: NDArray[np.float32], valid: NDArray[np.bool_]) -> None:
            values = self.layer.encode(rows, valid)
            out.write(values, window=Window(left, top, values.shape[2], values.shape[1]))

        plan = self.plan(row)
        weight = taper(plan.size, plan.overlap)
        reader = RasterReader(row)
        try:
            for left, right in plan.swaths:
                strip = Strip(self.classes, left, right, plan.height, weight, emit)
                for windows in batched(plan.windows(left, right), self.settings.batch_size):
                    for answer in self._ask(reader, grid, windows):
                        # What is no data is taken from the file's own grid where it is another.
                        valid = answer.valid | row['warp']
                        strip.add(answer.col, answer.row, answer.probabilities, valid)
                    progress(len(windows))
                strip.close()
        finally:
            reader.close()

    @torch.inference_mode()
    def _ask(
        self, reader: RasterReader, grid: MapGrid, windows: Sequence[tuple[int, int]]
    ) -> list[Answer]:
        """Ask about windows, but for those without data."""
        size, device = self.settings.size, self.settings.device
        pixels = [(window, *reader.tile(grid.tile(*window, size))) for window in windows]
        pixels = [one for one in pixels if one[2].any()]
        if not pixels:
            return []
        image = torch.from_numpy(np.stack([image for _, image, _ in pixels])).to(device)
        valid = torch.from_numpy(np.stack([valid for _, _, valid in pixels])).to(device)
        gsd = torch.full((len(pixels),), grid.gsd, device=device)
        logits = self._logits(image, gsd, valid[:, None])
        if not logits.isfinite().all():
            raise UnusableError(
                'the model answers it with values that are not finite; are its values in the '
                'units the model was trained on?'
            )
        probabilities = logits.softmax(1).cpu().numpy()
        return [
            Answer(*window, one, valid)
            for (window, _, valid), one in zip(pixels, probabilities, strict=True)
        ]

    def _logits(self, image: Tensor, gsd: Tensor, valid: Tensor) -> Tensor:
        """Ask the model in the precision that is wanted; its answer is float32."""
        dtype, kind = self.settings.dtype, image.device.type
        with torch.autocast(kind, dtype, enabled=dtype is not None):
            return self.predictor(image, gsd, valid).float()
