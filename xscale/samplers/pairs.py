"""Draw places that two rasters show at different ground sample distances."""

import math
from collections import OrderedDict
from functools import partial
from typing import Any

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

from .. import geo
from ..datasets.rasters import Rasters
from ..datasets.slices import Coarse, TileSlice
from ..datasets.validity import most_nodata
from ..datasets.windows import OFF, Tile
from ..errors import ConfigError
from .cross_scale import KNOWN, RASTERS, CrossScaleSampler, Proposer
from .partners import Partners, days_apart, find_partners
from .places import cover, on_grid

#: A raster of whose ground this share has no pair has none but for the edges of its pixels.
ROUNDING = 0.02

#: A raster's pixels are this much finer or coarser elsewhere on it than at its middle.
SLACK = 1.02


class PairSampler(CrossScaleSampler):
    """Draw tiles together with the same ground in a coarser raster, at that raster's own GSD.

    The square of ground is chosen so that the coarser raster shows it in ``view`` pixels or more
    and the finer one in ``size``: up to a ratio of ``size / view`` both are read at their own
    ground sample distance, beyond that the finer one is averaged until its tile covers as much.

    A share of the tiles, those of places without such a raster among them, are paired with their
    own raster at ``view`` pixels instead.

    Attributes:
        partners: The pairs of rasters that can be drawn.
        share: Share of the tiles that are drawn with another raster.
    """

    def __init__(
        self,
        dataset: Rasters,
        *,
        view: int,
        share: float | None = None,
        ratio: tuple[float, float] = (1.2, math.inf),
        max_days: float | None = None,
        **options: Any,
    ) -> None:
        """Find the pairs and weigh them.

        Args:
            dataset: Rasters to draw from.
            view: Pixels a side that the coarser raster needs to show at least.
            share: Share of the tiles drawn with another raster; by default as much of the ground
                as has one.
            ratio: Least and largest ground sample distance of the coarser raster over the finer's.
            max_days: Days between their dates at most; any number by default.
            **options: What :class:`CrossScaleSampler` takes.

        Raises:
            ConfigError: If the numbers contradict one another, or no two rasters make a pair.
            NoRastersError: If no raster can hold a tile.
        """
        if not 1 < ratio[0] <= ratio[1]:
            raise ConfigError(f'ratio {ratio}: needs 1 < least ≤ largest')
        if share is not None and not 0 <= share <= 1:
            raise ConfigError(f'share of pairs {share}: a number from 0 to 1 is needed')
        if max_days is not None and max_days < 0:
            raise ConfigError(f'max_days {max_days}: 0 or a number above is needed')
        super().__init__(dataset, **options)
        if not 1 <= view <= self.size:
            raise ConfigError(f'view {view}: a side of 1 to {self.size} px, the tile, is needed')
        self.view, self.ratio = view, ratio
        self.partners = self._large_enough(find_partners(dataset.rows, ratio, max_days))
        if not len(self.partners):
            if share != 0 and self.region is None:
                raise ConfigError(_no_pairs(ratio, max_days, self.size))
            # The part of the ground that is kept for validation may hold none.
            share = 0.0
        # Too small or too coarse for tiles of their own, some are drawn as partners all the same.
        drawn = {dataset.rows.path(row) for row in np.unique(self.partners.coarse).tolist()}
        left = [rejected for rejected in self.weights.rejected if rejected.path not in drawn]
        self.weights.rejected[:] = left
        self.canvas = self._canvas()
        self._outlines: OrderedDict[tuple[int, int], shapely.Geometry] = OrderedDict()
        covered = self._weigh_pairs()
        self.share = covered if share is None else share

    def _large_enough(self, partners: Partners) -> Partners:
        """Leave out pairs whose common ground holds no tile."""
        files = self.dataset.rows
        one, other = files.bounds[partners.fine], files.bounds[partners.coarse]
        turn = 360 * np.round((one[:, :1] - other[:, :1]) / 360) * [1, 0, 1, 0]
        low = np.maximum(one[:, :2], (other + turn)[:, :2])
        high = np.minimum(one[:, 2:], (other + turn)[:, 2:])
        wide, tall = (high - low).T * 111_320
        wide = wide * np.cos(np.radians((low[:, 1] + high[:, 1]) / 2))
        finest = self.weights.finest[partners.fine]
        side = np.maximum(self.size * finest, self.view * files.gsd[partners.coarse])
        coverage = np.minimum(1, wide / side * SLACK) * np.minimum(1, tall / side * SLACK)
        drawn = self.weights.weight[partners.fine] > 0
        # A range of GSDs may ask for tiles that are no finer than the partner.
        finer = finest * self.ratio[0] <= files.gsd[partners.coarse] * SLACK
        return partners.take(drawn & finer & (coverage >= 1 - self.max_nodata))

    def _canvas(self) -> int:
        """Return the side of the array that holds the coarse part of any pair, in pixels."""
        files, pairs = self.dataset.rows, self.partners
        if self.gsd:
            share = 1 / self.ratio[0]
        else:
            share = float((files.gsd[pairs.fine] / files.gsd[pairs.coarse]).max(initial=0))
        return max(self.view, min(self.size, math.ceil(self.size * share * SLACK)))

    def _weigh_pairs(self) -> float:
        """Weigh pairs by their ground, and other tiles by the ground that one raster shows.

        Returns:
            The share of pairs at which all ground is drawn alike.
        """
        weight, pairs = self.weights.weight, self.partners
        total = np.bincount(pairs.fine, pairs.share, minlength=len(weight))
        paired = weight * np.minimum(total, 1)
        each = paired[pairs.fine] * pairs.share / total[pairs.fine]
        self._pair_cumulative = each.cumsum() / max(each.sum(), 1e-300)
        # The ground of a pair is the coarser raster's too.
        bounds = self.dataset.rows.bounds
        area = (bounds[:, 2:] - bounds[:, :2]).prod(1)
        share = pairs.share * area[pairs.fine] / area[pairs.coarse]
        total += np.bincount(pairs.coarse, share, minlength=len(weight))
        alone = weight * (1 - np.minimum(total, 1))
        alone[total > 1 - ROUNDING] = 0
        if alone.any():
            self._cumulative = alone.cumsum() / alone.sum()
        return float(paired.sum() / (paired.sum() + alone.sum()))

    def _proposer(self, generator: np.random.Generator) -> Proposer:
        """Decide once for a draw whether it is a pair of two rasters."""
        if generator.random() >= self.share:
            return super()._proposer(generator)
        return partial(self._propose_pair, scale=generator.random())

    def _propose_pair(
        self, generator: np.random.Generator, scale: float
    ) -> tuple[Tile, NDArray[np.float64]]:
        """Draw a tile of ground that two rasters show; of one where none has enough data."""
        gsd = self.dataset.rows.gsd
        for _ in range(RASTERS):
            pair = int(np.searchsorted(self._pair_cumulative, generator.random(), side='right'))
            row, partner = int(self.partners.fine[pair]), int(self.partners.coarse[pair])
            least = self.view * gsd[partner] / self.size
            if least <= gsd[row] * SLACK:
                # Read as it is, for the sake of hardly more than half a pixel of the partner's.
                least = 0.0
            extent, level = self._extent(row, scale, least, gsd[partner] / self.ratio[0])
            tile = Tile(row, 0, 0, extent, self.size, partner)
            if found := self._place(generator, tile, level, self._common(tile)):
                return found
        return self._propose(generator, scale)

    def _common(self, tile: Tile) -> NDArray[np.float64]:
        """Return boxes in pixels where the middle of a tile may lie, so that its partner has it."""
        outline = self._outline(tile.row, tile.partner)
        # Half a tile from the partner's edge, as far as the partner is larger than a tile.
        room = shapely.buffer(outline, -0.499 * tile.extent, join_style='mitre')
        room = outline if room.is_empty else room
        if self.region is not None:
            files = self.dataset.rows
            within = self.region.within(files.bounds[tile.row])
            if within is not None:
                room = shapely.intersection(room, on_grid(within, *files.grid(tile.row)))
        return cover(room)

    def _outline(self, row: int, partner: int) -> shapely.Geometry:
        """Return the outline of the partner in pixels of the raster."""
        key = row, partner
        if key not in self._outlines:
            if len(self._outlines) == KNOWN:
                self._outlines.popitem(last=False)
            self._outlines[key] = self._outlined(row, partner)
        self._outlines.move_to_end(key)
        return self._outlines[key]

    def _outlined(self, row: int, partner: int) -> shapely.Geometry:
        files = self.dataset.rows
        crs, transform = files.grid(row)
        there, other = files.grid(partner)
        width, height = files.shape[partner].tolist()
        shape = geo.outline(there, other, width, height, crs)
        inverse = ~transform

        def pixels(places: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.column_stack(geo.apply(inverse, *places.T))

        return shapely.transform(shape, pixels)

    def _align(self, tile: Tile, level: int, offsets: tuple[int, int]) -> tuple[float, float]:
        """Move a tile onto whole pixels of its partner too, where the two grids allow it."""
        col, row = super()._align(tile, level, offsets)
        files = self.dataset.rows
        if tile.partner < 0 or level > 1:
            return col, row
        (crs, own), (there, other) = files.grid(tile.row), files.grid(tile.partner)
        if crs != there:
            return col, row
        to_partner, sides = geo.compose(~other, own), files.shape[tile.row].tolist()
        return (
            _onto(col, to_partner.a, to_partner.c, sides[0] - tile.extent),
            _onto(row, to_partner.e, to_partner.f, sides[1] - tile.extent),
        )

    def _fits(self, tile: Tile) -> bool:
        """Tell whether the partner has enough data there."""
        if tile.partner < 0:
            return True
        files = self.dataset.rows
        sides, validity = files.shape[tile.partner].tolist(), files.validity(tile.partner)
        col, row, extent = on_partner(files.grid(tile.row), files.grid(tile.partner), tile)
        return most_nodata(validity, sides, col, row, extent) <= self.max_nodata + 1e-6

    def _slice(self, tile: Tile, place: NDArray[np.float64]) -> TileSlice:
        """Add the coarse part of the pair."""
        drawn = super()._slice(tile, place)
        files, side = self.dataset.rows, drawn.gsd * tile.size
        if tile.partner < 0:
            drawn.coarse = Coarse(tile.row, self.view, self.canvas, side / self.view, 0.0)
            return drawn
        grid = files.grid(tile.partner)
        col, row, extent = on_partner(files.grid(tile.row), grid, tile)
        # Measured there, as the tile's own is.
        across, down = geo.pixel_metres(*grid, col + extent / 2, row + extent / 2)
        size = min(max(round(side / math.sqrt(across * down)), 1), self.canvas)
        times = files.times[[tile.row]], files.times[[tile.partner]]
        days = float(days_apart(*times)[0])
        drawn.coarse = Coarse(tile.partner, size, self.canvas, side / size, days)
        return drawn

    def summary(self) -> str:
        """Say how many pairs there are, of which ground sample distances, and their share."""
        gsd, pairs = self.dataset.rows.gsd, self.partners
        both = gsd[np.stack([pairs.fine, pairs.coarse], axis=1)].tolist()
        scales = {f'{fine:.3g} and {coarse:.3g} m' for fine, coarse in both}
        text = f'{self.share:.0%} of the tiles are pairs of two rasters'
        if self.share < 1:
            text += ', the others of one raster at two scales'
        if len(pairs):
            text += f': {len(pairs)} pairs, of {"; ".join(sorted(scales))}'
        return text

    @property
    def gsd_range(self) -> tuple[float, float]:
        """Finest and coarsest ground sample distance that is drawn, in metres."""
        finest, coarsest = super().gsd_range
        partners = self.dataset.rows.gsd[self.partners.coarse]
        own = coarsest * self.size / self.view if self.share < 1 else 0.0
        return finest, max(coarsest, own, float(partners.max(initial=0)))


def on_partner(
    own: tuple[str, Affine], there: tuple[str, Affine], tile: Tile
) -> tuple[float, float, float]:
    """Return a square in another raster's pixels (column, row, extent) around a tile.

    Args:
        own: CRS and transform of the tile's raster.
        there: Those of the other.
        tile: The tile.
    """
    cols = np.array([0, 1, 1, 0, 0.5]) * tile.extent + tile.col_off
    rows = np.array([0, 0, 1, 1, 0.5]) * tile.extent + tile.row_off
    places = geo.apply(own[1], cols, rows)
    if own[0] != there[0]:
        places = geo.transformer(own[0], there[0]).transform(*places)
    col, row = geo.apply(~there[1], *places)
    extent = max(np.ptp(col), np.ptp(row))
    middle = (col.max() + col.min()) / 2, (row.max() + row.min()) / 2
    return float(middle[0] - extent / 2), float(middle[1] - extent / 2), float(extent)


def _onto(offset: float, step: float, start: float, limit: float) -> float:
    """Move an edge to where it is an edge of both rasters' pixels, if there is such a place near.

    Args:
        offset: The edge in pixels of the finer raster.
        step: Pixels of the coarser raster that one of the finer is.
        start: Where the finer one begins in pixels of the coarser.
        limit: The largest offset that leaves the tile on the raster.
    """
    moved = (math.floor(step * offset + start + OFF) - start) / step
    whole = round(moved)
    fits = 0 <= whole <= limit and abs(moved - whole) < OFF
    return float(whole) if fits else offset


def _no_pairs(ratio: tuple[float, float], max_days: float | None, size: int) -> str:
    """Say why there are no pairs, and what may help."""
    time = '' if max_days is None else f', within {max_days:g} days of one another'
    most = '' if math.isinf(ratio[1]) else f', at most {ratio[1]:g}'
    return (
        f'no two rasters show the same ground at GSDs that differ by a factor of {ratio[0]:g} or '
        f'more{most}{time}, on a tile of {size} px; look at the footprints with xscale scan DIR '
        '--preview, allow more days or a smaller size, or do without pairs'
    )
