"""Draw places and GSDs: every batch is a pure function of seed, epoch and its number."""

import hashlib
import math
import os
from collections.abc import Iterator
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd
import shapely
from affine import Affine
from numpy.typing import NDArray
from torchgeo.samplers import SpatialSampler

from .. import geo
from ..datasets.index import Rejected
from ..datasets.rasters import Rasters, TileSlice
from ..datasets.windows import Tile
from ..errors import ConfigError, NoRastersError

#: A raster smaller than a tile is padded with invalid pixels if it covers this share of it.
MIN_COVERAGE = 0.25


class CrossScaleSampler(SpatialSampler):
    """Draw square tiles from rasters of any ground sample distance.

    A raster is drawn with a probability proportional to its area, counted in tiles; the ground
    sample distance uniformly in logarithm; the place uniformly. Within a batch each draw tries
    up to ``tries`` places and takes the one that overlaps those before it least.

    Batch b of epoch e depends on (seed, e, b, batch size) alone, so resuming, sharding over ranks
    and reproducing one bad batch need no state.
    """

    strategy: Literal['random', 'sequential'] = 'random'

    def __init__(
        self,
        dataset: Rasters,
        *,
        size: int,
        batch_size: int,
        gsd: tuple[float, float] | None = None,
        length: int | None = None,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        tries: int = 16,
    ) -> None:
        """Weigh the rasters. The spatial union TorchGeo's samplers make is not needed.

        Args:
            dataset: Rasters to draw from.
            size: Side of a tile in pixels.
            batch_size: Tiles in a batch, over all ranks.
            gsd: Finest and coarsest ground sample distance in metres per pixel; a tile is never
                finer than its raster. None draws every tile at its raster's own.
            length: Tiles in an epoch, over all ranks; rounded up to whole batches. None takes
                the number of tiles that cover the rasters once.
            seed: Seed of all draws.
            rank: This process's number.
            world_size: Processes that share each batch.
            tries: Places tried for a draw that overlaps those before it.

        Raises:
            ConfigError: If the numbers contradict one another.
            NoRastersError: If no raster can hold a tile.
        """
        if min(size, batch_size, world_size) < 1 or not 0 <= rank < world_size:
            raise ConfigError(
                f'size {size}, batch_size {batch_size} and world_size {world_size} must be at '
                f'least 1, and rank {rank} one of 0 to {world_size - 1}'
            )
        if batch_size % world_size:
            raise ConfigError(
                f'a global batch of {batch_size} does not divide over {world_size} processes'
            )
        if gsd and not 0 < gsd[0] <= gsd[1]:
            raise ConfigError(f'gsd {gsd}: needs finest ≤ coarsest, both above 0 metres')
        self.dataset, self.res = dataset, dataset.res
        self.size, self.gsd, self.seed, self.tries = size, gsd, seed, tries
        self.batch_size, self.rank, self.world_size = batch_size, rank, world_size
        self.epoch, self.start = 0, 0
        self._resumed = (0, 0)
        self._weigh(dataset.index)
        tiles = math.ceil(self.weights.sum()) if length is None else length
        self.batches = max(1, math.ceil(tiles / batch_size))
        self._length = self.batches * batch_size // world_size

    def _weigh(self, index: Any) -> None:
        """Find every raster's range of GSDs and its area in tiles; leave out what is unfit."""
        native = index['gsd'].to_numpy(float)
        sides = index[['width', 'height']].to_numpy(float) * native[:, None]
        finest, coarsest = self.gsd or (0.0, math.inf)
        self.finest = np.maximum(native, finest)
        # A tile may grow until it fills its raster; one that fills it already keeps its GSD.
        largest = np.maximum(sides.min(1) / self.size, self.finest)
        self.coarsest = np.minimum(largest, coarsest) if self.gsd else native
        coverage = np.minimum(1, sides / (self.size * self.finest)[:, None]).prod(1)
        # 1 % of tolerance: a 10.004 m raster is a 10 m raster.
        too_coarse = native > coarsest * 1.01
        self.coarsest = np.maximum(self.coarsest, self.finest)
        tiles = np.maximum(sides / (self.size * self.finest)[:, None], 1).prod(1)
        fit = ~too_coarse & (coverage >= MIN_COVERAGE)
        self.rejected = [
            Rejected(row.filepath, self._reason(row, self.finest[number], too_coarse[number]))
            for number, row in enumerate(index.itertuples())
            if not fit[number]
        ]
        self.padded = [
            path for path, c, f in zip(index['filepath'], coverage, fit, strict=True) if f and c < 1
        ]
        if not fit.any():
            reasons = [(r.path, r.reason) for r in self.rejected]
            raise NoRastersError(
                self.dataset.paths, reasons, 'choose a smaller size or another gsd'
            )
        self.weights = np.where(fit, tiles, 0)
        self._cumulative = np.cumsum(self.weights) / self.weights.sum()

    def _reason(self, row: Any, finest: float, too_coarse: bool) -> str:
        if too_coarse and self.gsd:
            return f'its {row.gsd:.3g} m are coarser than the {self.gsd[1]:.3g} m asked for'
        return (
            f'its {row.width}×{row.height} px of {row.gsd:.3g} m cover less than '
            f'{MIN_COVERAGE:.0%} of a tile of {self.size}×{self.size} px of {finest:.3g} m'
        )

    def set_epoch(self, epoch: int) -> None:
        """Choose what the next iteration yields; Lightning calls this before each epoch.

        Args:
            epoch: Number of the epoch, from 0.
        """
        if epoch != self._resumed[0]:
            self._resumed = (epoch, 0)
        self.epoch, self.start = self._resumed

    def resume_at(self, epoch: int, batch: int) -> None:
        """Go on in the middle of an epoch; those after it begin with their first batch again.

        Args:
            epoch: Number of the epoch, from 0.
            batch: Batch of that epoch to begin with.
        """
        self._resumed = self.epoch, self.start = epoch, batch

    @cached_property
    def fingerprint(self) -> str:
        """What the draws depend on besides the seed and the sizes: the rasters and their order.

        It does not change when their folder is moved.
        """
        index = self.dataset.index[['filepath', 'gsd', 'width', 'height']].reset_index(drop=True)
        paths = [os.path.abspath(path) for path in index['filepath']]
        shared = len(os.path.commonpath(paths))
        index['filepath'] = [path[shared:] for path in paths]
        rows = pd.util.hash_pandas_object(index, index=False).to_numpy()
        return hashlib.sha256(rows.tobytes()).hexdigest()[:16]

    def __iter__(self) -> Iterator[TileSlice]:  # type: ignore[override]
        """Yield this rank's part of each batch of the epoch, in order."""
        local = self.batch_size // self.world_size
        for number in range(self.start, self.batches):
            batch = self.batch(self.epoch, number)
            yield from batch[self.rank * local : (self.rank + 1) * local]

    def batch(self, epoch: int, number: int) -> list[TileSlice]:
        """Draw one whole batch, the same on every rank, whenever it is asked for.

        Args:
            epoch: Number of the epoch, from 0.
            number: Number of the batch in the epoch, from 0.
        """
        bits = np.random.Philox(key=self.seed, counter=[0, 0, number, epoch])
        generator = np.random.Generator(bits)
        taken = np.empty((self.batch_size, 4))
        slices = []
        for count in range(self.batch_size):
            tile, taken[count] = self._draw(generator, taken[:count])
            slices.append(self._slice(tile, taken[count]))
        return slices

    def _draw(
        self, generator: np.random.Generator, taken: NDArray[np.float64]
    ) -> tuple[Tile, NDArray[np.float64]]:
        """Draw a tile that overlaps those before it least, of up to ``tries``."""
        best: tuple[float, Tile, NDArray[np.float64]] | None = None
        # Drawn once: trying again with another GSD would favour fine tiles, which overlap less.
        scale = generator.random()
        for _ in range(self.tries):
            tile = self._propose(generator, scale)
            row = self.dataset.rows[tile.row]
            window = (tile.col_off, tile.row_off, tile.extent, tile.extent)
            place = geo.footprint(row['grid'], Affine(*row['transform']), window)
            shared = float(geo.overlap(place, taken).max(initial=0))
            if best is None or shared < best[0]:
                best = shared, tile, place
            if shared == 0:
                break
        return best[1:]  # type: ignore[index]

    def _propose(self, generator: np.random.Generator, scale: float) -> Tile:
        which, across, down = generator.random(3)
        number = int(np.searchsorted(self._cumulative, which, side='right'))
        row = self.dataset.rows[number]
        finest, coarsest = self.finest[number], self.coarsest[number]
        extent = self.size * finest * (coarsest / finest) ** scale / row['gsd']
        # A tile at the raster's own GSD lies on its pixels, so nothing is resampled.
        if extent <= self.size * 1.0001:
            extent = float(self.size)
        col, line = (
            _offset(u, row[side], extent) for u, side in ((across, 'width'), (down, 'height'))
        )
        return Tile(number, col, line, extent, self.size)

    def _slice(self, tile: Tile, place: NDArray[np.float64]) -> TileSlice:
        west, south, east, north = place.tolist()
        interval = self.dataset.index.index[tile.row]
        row, half = self.dataset.rows[tile.row], tile.extent / 2
        # Measured here, not at the raster's middle: Web Mercator stretches with latitude.
        across, down = geo.pixel_metres(
            row['grid'], Affine(*row['transform']), tile.col_off + half, tile.row_off + half
        )
        gsd = math.sqrt(across * down) * tile.extent / tile.size
        slices = slice(west, east), slice(south, north), slice(interval.left, interval.right)
        return TileSlice(slices, tile, gsd)

    @cached_property
    def geometry(self) -> shapely.Geometry:  # type: ignore[override]
        """Union of all footprints, made only if asked for (TorchGeo's ``plot`` does)."""
        return self.dataset.index.geometry.union_all()

    @property
    def bounds(self) -> tuple[float, float, float, float]:  # type: ignore[override]
        """West, south, east, north of all footprints in degrees."""
        return tuple(self.dataset.index.total_bounds.tolist())


def _offset(uniform: float, limit: int, extent: float) -> int:
    """Place a tile along one axis in whole pixels; a raster smaller than it lies fully inside."""
    room = limit - extent
    low, high = min(0, math.ceil(room)), max(0, math.floor(room))
    return min(low + int(uniform * (high - low + 1)), high)
