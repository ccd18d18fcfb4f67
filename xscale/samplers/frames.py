"""Draw places that several rasters show at different dates."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..datasets.rasters import Rasters
from ..datasets.slices import TileSlice
from ..datasets.validity import most_nodata
from ..datasets.windows import Tile
from ..errors import ConfigError
from .cross_scale import CrossScaleSampler
from .pairs import on_partner
from .partners import find_partners

#: Rasters of one place and sensor may differ by this ratio in ground sample distance.
ALIKE = 1.05


class FrameSampler(CrossScaleSampler):
    """Draw tiles together with the same ground at other dates.

    The dates of a tile are drawn from those rasters of its bands and ground sample distance that
    show enough of its ground, its own among them, and come in the order of time. Where there are
    fewer of them than wanted, some are shown again. Ground of one date is not drawn.

    Attributes:
        frames: Rasters of each tile.
        others: Rows of the rasters of other dates that show ground of a raster, by its row.
    """

    def __init__(self, dataset: Rasters, *, frames: int, **options: Any) -> None:
        """Find the dates of each raster's ground.

        Args:
            dataset: Rasters to draw from.
            frames: Rasters of each tile.
            **options: What :class:`CrossScaleSampler` takes.

        Raises:
            ConfigError: If there are to be fewer than two, or no ground has two dates.
            NoRastersError: If no raster can hold a tile.
        """
        if frames < 2:
            raise ConfigError(f'frames {frames}: 2 or more images of a place are needed')
        super().__init__(dataset, **options)
        self.frames, self.others = frames, self._find_others()
        alone = np.ones(len(dataset.rows), bool)
        alone[list(self.others)] = False
        self.weights.weight[alone] = self.weights.tiles[alone] = 0
        dated = {dataset.rows.path(row) for row in self.others}
        self.weights.padded[:] = [path for path in self.weights.padded if path in dated]
        if not self.weights.weight.any():
            raise ConfigError(
                'no ground is shown by rasters of the same bands at two dates or more; look at the '
                'dates and footprints with xscale scan DIR --preview, give the bands by name, or '
                'train on single images'
            )
        self._cumulative = self.weights.weight.cumsum() / self.weights.weight.sum()
        if options.get('length') is None:
            self.batches = max(1, math.ceil(self.weights.tiles.sum() / self.batch_size))

    def _find_others(self) -> dict[int, NDArray[np.int64]]:
        files = self.dataset.rows
        pairs = find_partners(files, (1 / ALIKE, ALIKE))
        names = [sensor.group for sensor in self.dataset.sensors]
        group = np.array([names.index(name) for name in names])[files.sensor]
        # Of one day, and of unknown dates, rasters are not of two dates.
        fit = (pairs.days > 0) & (group[pairs.fine] == group[pairs.coarse])
        rows, starts = np.unique(pairs.fine[fit], return_index=True)
        others = np.split(pairs.coarse[fit], starts[1:])
        return dict(zip(rows.tolist(), others, strict=False))

    def batch(self, epoch: int, number: int) -> list[TileSlice]:
        """Draw one whole batch and the dates of its tiles; see :meth:`CrossScaleSampler.batch`."""
        epoch = 0 if self.fixed else epoch
        # Another key than that of the places.
        bits = np.random.Philox(key=self.seed + 2**64, counter=[0, 0, number, epoch])
        generator = np.random.Generator(bits)
        drawn = super().batch(epoch, number)
        for draw in drawn:
            draw.frames = self._dates(generator, draw.tile)
        return drawn

    def _dates(self, generator: np.random.Generator, tile: Tile) -> tuple[int, ...]:
        """Draw the rasters of a tile, by time."""
        there = [row for row in self.others[tile.row].tolist() if self._shows(tile, row)]
        others = generator.permutation(there).astype(np.int64)[: self.frames - 1].tolist()
        rows = [tile.row, *others]
        rows = [rows[number % len(rows)] for number in range(self.frames)]
        first = self.dataset.rows.times[:, 0]
        return tuple(sorted(rows, key=lambda row: (first[row], row)))

    def _fits(self, tile: Tile) -> bool:
        """Tell whether the ground of a tile has another date."""
        return any(self._shows(tile, row) for row in self.others[tile.row].tolist())

    def _shows(self, tile: Tile, row: int) -> bool:
        """Tell whether a raster holds enough data on a tile's ground."""
        files = self.dataset.rows
        col, line, extent = on_partner(files.grid(tile.row), files.grid(row), tile)
        sides = files.shape[row].tolist()
        return most_nodata(files.validity(row), sides, col, line, extent) <= self.max_nodata + 1e-6

    def summary(self) -> str:
        """Say how many rasters there are of how many dates."""
        counts = [1 + len(own) for own in self.others.values()]
        text = (
            f'{self.frames} images of each place, of rasters with {min(counts)} to {max(counts)} '
            'dates of their ground'
        )
        alone = len(self.dataset.rows) - len(self.others)
        return text + (f'; {alone} of a single date are not drawn' if alone else '')
