"""Draw places and GSDs: every batch is a pure function of seed, epoch and its number."""

import hashlib
import math
import os
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from typing import Literal, get_args

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from torchgeo.samplers import SpatialSampler

from .. import geo
from ..datasets.rasters import Rasters, TileSlice
from ..datasets.validity import most_nodata
from ..datasets.windows import Tile, overview_pixel
from ..errors import ConfigError, NoPlaceError, NoRastersError, UnknownNameError
from .places import draw_place, places_of
from .regions import Region
from .weights import Balance, weigh

#: Ground sample distances this near to one another are the same.
ALIKE = 1.0001

#: An overview whose GSD is within this ratio of the one drawn is taken in its stead: half the
#: way to the next, where each is twice as coarse as the one before.
NEAR = 1.4143

#: Places tried on one raster before another is drawn, and rasters tried before giving up.
PLACES, RASTERS = 32, 100

#: Draws a tile and its footprint in degrees, (4,).
type Proposer = Callable[[np.random.Generator], tuple[Tile, NDArray[np.float64]]]

#: Rasters of which it is kept where the region lies on them.
KNOWN = 4096


class CrossScaleSampler(SpatialSampler):
    """Draw square tiles from rasters of any ground sample distance.

    A raster is drawn by its weight; the ground sample distance uniformly in logarithm, then moved
    to that of a near overview in the range, if there is one; the place uniformly among those
    with enough data. Within a batch each draw tries up to ``tries`` places
    and takes the one that overlaps those before it least, whatever raster or date they are of.

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
        max_nodata: float = 0.5,
        balance: Balance = 'area',
        temperature: float = 1.0,
        region: Region | None = None,
        length: int | None = None,
        fixed: bool = False,
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
            max_nodata: Largest share of a tile's pixels that may hold no data, by the scan's
                validity grid; what reaches beyond a small raster counts.
            balance: What rasters are drawn by: 'area'; 'raster', all alike; or 'gsd', groups of
                like ground sample distance.
            temperature: For 'gsd': a group is drawn by its area to the power of
                1 / temperature; 1 is by area, a large number draws all groups alike.
            region: Where tiles may lie; anywhere by default.
            length: Tiles in an epoch, over all ranks; rounded up to whole batches. None takes
                the number of tiles that cover the rasters once.
            fixed: Draw the same tiles in every epoch, for validation.
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
        _check(gsd, max_nodata, balance, temperature)
        self.dataset, self.res = dataset, dataset.res
        self.size, self.gsd, self.seed, self.tries = size, gsd, seed, tries
        self.batch_size, self.rank, self.world_size = batch_size, rank, world_size
        self.max_nodata, self.region, self.fixed = max_nodata, region, fixed
        self.epoch, self.start = 0, 0
        self._resumed = (0, 0)
        files = dataset.rows
        shares = np.ones(len(files)) if region is None else region.shares(files.bounds)
        if not shares.any():
            raise ConfigError(_apart(files.bounds))
        self.weights = weigh(files, size, gsd, max_nodata, balance, temperature, shares)
        if not self.weights.weight.any():
            reasons = [(r.path, r.reason) for r in self.weights.rejected]
            raise NoRastersError(
                dataset.paths, reasons, 'choose a smaller size, another gsd or max_nodata'
            )
        cumulative = self.weights.weight.cumsum()
        self._cumulative = cumulative / cumulative[-1]
        self._places: dict[int, NDArray[np.float64] | None] = {}
        tiles = math.ceil(self.weights.tiles.sum()) if length is None else length
        self.batches = max(1, math.ceil(tiles / batch_size))
        self._length = self.batches * batch_size // world_size

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
        columns = ['filepath', 'gsd', 'width', 'height', 'valid']
        rows = self.dataset.rows.table.select(columns).to_pandas()
        paths = [os.path.abspath(path) for path in rows['filepath']]
        shared = len(os.path.commonpath(paths))
        rows['filepath'] = [path[shared:] for path in paths]
        hashes = pd.util.hash_pandas_object(rows, index=False).to_numpy()
        return hashlib.sha256(hashes.tobytes()).hexdigest()[:16]

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
        bits = np.random.Philox(key=self.seed, counter=[0, 0, number, 0 if self.fixed else epoch])
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
        propose = self._proposer(generator)
        for _ in range(self.tries):
            tile, place = propose(generator)
            shared = float(geo.overlap(place, taken).max(initial=0))
            if best is None or shared < best[0]:
                best = shared, tile, place
            if shared == 0:
                break
        return best[1:]  # type: ignore[index]

    def _proposer(self, generator: np.random.Generator) -> Proposer:
        """Return a function that draws a tile and its place, whatever was drawn before it."""
        # Drawn once: trying again with another GSD would favour fine tiles, which overlap less.
        return partial(self._propose, scale=generator.random())

    def _propose(
        self, generator: np.random.Generator, scale: float
    ) -> tuple[Tile, NDArray[np.float64]]:
        """Draw a tile with enough data, in the region."""
        for _ in range(RASTERS):
            number = int(np.searchsorted(self._cumulative, generator.random(), side='right'))
            extent, level = self._extent(number, scale)
            tile = Tile(number, 0, 0, extent, self.size)
            if found := self._place(generator, tile, level, self._places_on(number)):
                return found
        raise NoPlaceError(RASTERS * PLACES, self.max_nodata, self.region is not None)

    def _place(
        self,
        generator: np.random.Generator,
        tile: Tile,
        level: int,
        boxes: NDArray[np.float64] | None,
    ) -> tuple[Tile, NDArray[np.float64]] | None:
        """Move a tile to where there is enough data, in the region and in some boxes."""
        sides = self.dataset.rows.shape[tile.row].tolist()
        validity = self.dataset.rows.validity(tile.row)
        for _ in range(PLACES):
            offsets = _offsets(generator, boxes, sides, tile.extent)
            if offsets is None:
                return None
            col, row = self._align(tile, level, offsets)
            # A share of a whole tile that fits is never refused for rounding.
            if most_nodata(validity, sides, col, row, tile.extent) > self.max_nodata + 1e-9:
                continue
            moved = tile._replace(col_off=col, row_off=row)
            place = self._footprint(moved)
            if self._fits(moved) and (self.region is None or self.region.holds(place)):
                return moved, place
        return None

    def _align(self, tile: Tile, level: int, offsets: tuple[int, int]) -> tuple[float, float]:
        """Move the edges of a tile a little, so that it lies on whole pixels of what is read."""
        width, height = self.dataset.rows.shape[tile.row].tolist()
        col, row = offsets
        return _on_overview(col, width, level), _on_overview(row, height, level)

    def _fits(self, tile: Tile) -> bool:
        """Tell whether a tile with enough data can be drawn."""
        return True

    def _places_on(self, number: int) -> NDArray[np.float64] | None:
        """Return boxes in pixels that hold the region on a raster; None for all of it."""
        if self.region is None:
            return None
        if number not in self._places:
            if len(self._places) == KNOWN:
                self._places.clear()
            files = self.dataset.rows
            shape = self.region.within(files.bounds[number])
            found = None if shape is None else places_of(shape, *files.grid(number))
            self._places[number] = found
        return self._places[number]

    def _extent(
        self, number: int, scale: float, least: float = 0.0, most: float = math.inf
    ) -> tuple[float, int]:
        """Return the side of a tile in pixels of its raster, and the overview it is read from.

        A tile lies on the pixels of the raster or of an overview where one is in the range, so
        that nothing is resampled; views of any scale are cut from it later. ``least`` and
        ``most`` narrow down the ground sample distances that may be drawn, in metres.
        """
        files = self.dataset.rows
        finest = max(least, self.weights.finest[number])
        coarsest = max(finest, min(most, self.weights.coarsest[number]))
        zoom = finest * (coarsest / finest) ** scale / files.gsd[number]
        if zoom <= ALIKE:
            return float(self.size), 1
        low, high = finest / files.gsd[number] / ALIKE, coarsest / files.gsd[number] * ALIKE
        factors = files.overviews(number)
        for factor in (1, *factors) if factors else ():
            if low <= factor <= high and zoom / NEAR <= factor <= zoom * NEAR:
                across, down = (overview_pixel(side, factor) for side in files.shape[number])
                return self.size * math.sqrt(across * down), factor
        return float(self.size * zoom), 1

    def _footprint(self, tile: Tile) -> NDArray[np.float64]:
        window = (tile.col_off, tile.row_off, tile.extent, tile.extent)
        return geo.footprint(*self.dataset.rows.grid(tile.row), window)

    def _slice(self, tile: Tile, place: NDArray[np.float64]) -> TileSlice:
        west, south, east, north = place.tolist()
        half, first = tile.extent / 2, self.dataset.rows.times[tile.row].tolist()
        # Measured here, not at the raster's middle: Web Mercator stretches with latitude.
        across, down = geo.pixel_metres(
            *self.dataset.rows.grid(tile.row), tile.col_off + half, tile.row_off + half
        )
        gsd = math.sqrt(across * down) * tile.extent / tile.size
        start, stop = (pd.Timestamp(moment) for moment in first)
        slices = slice(west, east), slice(south, north), slice(start, stop)
        return TileSlice(slices, tile, gsd)

    @property
    def gsd_range(self) -> tuple[float, float]:
        """Finest and coarsest ground sample distance that is drawn, in metres."""
        drawn = self.weights.weight > 0
        finest, coarsest = self.weights.finest[drawn], self.weights.coarsest[drawn]
        return float(finest.min()), float(coarsest.max())

    @cached_property
    def geometry(self) -> shapely.Geometry:  # type: ignore[override]
        """Union of all footprints, made only if asked for (TorchGeo's ``plot`` does)."""
        return self.dataset.index.geometry.union_all()

    @property
    def bounds(self) -> tuple[float, float, float, float]:  # type: ignore[override]
        """West, south, east, north of all footprints in degrees."""
        bounds = self.dataset.rows.bounds
        return (*bounds[:, :2].min(0).tolist(), *bounds[:, 2:].max(0).tolist())


def _check(
    gsd: tuple[float, float] | None, max_nodata: float, balance: str, temperature: float
) -> None:
    """Make sure that the numbers make sense."""
    if gsd and not 0 < gsd[0] <= gsd[1]:
        raise ConfigError(f'gsd {gsd}: needs finest ≤ coarsest, both above 0 metres')
    if not 0 <= max_nodata < 1:
        raise ConfigError(f'max_nodata {max_nodata}: a share from 0 up to, not including, 1')
    if balance not in get_args(Balance.__value__):
        raise UnknownNameError('balance', balance, get_args(Balance.__value__))
    if not temperature > 0:
        raise ConfigError(f'temperature {temperature}: a number above 0 is needed')
    if temperature != 1 and balance != 'gsd':
        raise ConfigError(f'temperature {temperature} is for balance gsd, and balance is {balance}')


def _apart(bounds: NDArray[np.float64]) -> str:
    """Say that region and rasters do not meet."""
    spans = *bounds[:, :2].min(0), *bounds[:, 2:].max(0)
    west, south, east, north = (f'{degrees:.4f}' for degrees in spans)
    return (
        f'no raster reaches into the region: the rasters lie between {west} and {east} degrees '
        f'east, {south} and {north} degrees north'
    )


def _on_overview(offset: float, side: int, level: int) -> float:
    """Move an edge of a tile to the left or up, onto the pixels of an overview."""
    step = overview_pixel(side, level)
    return math.floor(offset / step + 1e-6) * step if offset > 0 else offset


def _offsets(
    generator: np.random.Generator,
    boxes: NDArray[np.float64] | None,
    sides: Sequence[int],
    extent: float,
) -> tuple[int, int] | None:
    """Place a tile in whole pixels; along an axis shorter than it, it holds the raster.

    Args:
        generator: Source of randomness.
        boxes: Boxes in which its middle may lie, (N, 4); None for anywhere.
        sides: Columns and rows of the raster.
        extent: Side of the tile in pixels.

    Returns:
        Its left and upper edge; None if there is no place.
    """
    room = [side - extent for side in sides]
    low = [min(0, math.ceil(r)) for r in room]
    high = [max(0, math.floor(r)) for r in room]
    if boxes is None:
        drawn = zip(low, high, generator.random(2).tolist(), strict=True)
        col, row = (min(a + int(u * (b - a + 1)), b) for a, b, u in drawn)
        return col, row
    half = extent / 2
    limits = low[0] + half - 0.5, low[1] + half - 0.5, high[0] + half + 0.5, high[1] + half + 0.5
    place = draw_place(generator, boxes, limits)
    if place is None:
        return None
    col, row = (min(max(round(p - half), a), b) for p, a, b in zip(place, low, high, strict=True))
    return col, row
