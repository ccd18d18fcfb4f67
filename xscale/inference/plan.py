"""The grid of a map, and the overlapping windows that cover it: the same at every run."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from affine import Affine

from ..datasets.files import Row
from ..datasets.windows import Tile
from ..errors import UnusableError
from ..geo import compose

#: Ground sample distances closer than this share are one: the raster's pixels are taken as they
#: are then, and not resampled for a rounding error.
SAME = 1e-6

#: Pixels a side of the blocks that maps are written in; rows and columns are finished by these.
BLOCK = 256


class MapGrid(NamedTuple):
    """The grid of a map: that of its raster, or a coarser or finer one with the same corner.

    Attributes:
        crs: CRS of the grid, as WKT or a code.
        transform: Pixel (column, row) of the map to CRS coordinates, float64.
        width: Columns of the map.
        height: Rows of the map.
        zoom: Pixels of the raster along one of the map.
        gsd: Metres per pixel of the map on the ground.
    """

    crs: str
    transform: Affine
    width: int
    height: int
    zoom: float
    gsd: float

    def tile(self, col: int, row: int, size: int) -> Tile:
        """Name a square of the map on the raster's grid, to be read.

        Args:
            col: Left column in pixels of the map.
            row: Upper row.
            size: Side in pixels of the map.
        """
        return Tile(0, col * self.zoom, row * self.zoom, size * self.zoom, size)


def map_grid(row: Row, gsd: float | None = None) -> MapGrid:
    """Lay out the map of a raster.

    A last column or row that would lie on the raster only in part is left out: it could hold
    no data.

    Args:
        row: The raster's row of an index.
        gsd: Metres per pixel of the map; the raster's own by default.

    Raises:
        UnusableError: If the raster is smaller than one pixel of the map.
    """
    zoom = 1.0 if gsd is None else gsd / row['gsd']
    if abs(zoom - 1) < SAME:
        zoom = 1.0
    transform = Affine(*row['transform'])
    if zoom != 1:
        transform = compose(transform, Affine.scale(zoom))
    width, height = (int(row[side] / zoom + SAME) for side in ('width', 'height'))
    if not width or not height:
        raise UnusableError(
            f'is {row["width"]}×{row["height"]} px of {row["gsd"]:g} m, which is less than one '
            f'pixel of {gsd:g} m; ask for a finer map (--gsd)'
        )
    return MapGrid(row['grid'], transform, width, height, zoom, row['gsd'] * zoom)


def starts(length: int, size: int, overlap: int) -> list[int]:
    """Spread windows evenly over one axis, so that each pixel lies in at least one.

    Args:
        length: Pixels of the axis.
        size: Pixels of a window; one longer than the axis begins at 0 and sticks out.
        overlap: Pixels that neighbours share at least, fewer than ``size``.

    Returns:
        First pixel of each window, ascending.
    """
    if length <= size:
        return [0]
    step = size - overlap
    count = -(-(length - size) // step) + 1
    return [number * (length - size) // (count - 1) for number in range(count)]


@dataclass(frozen=True)
class Plan:
    """The windows of one map.

    A wide map is made swath by swath, so that the rows held in memory stay short; windows that
    reach into two swaths are seen twice, and what comes out does not depend on the swaths.

    Attributes:
        width: Columns of the map.
        height: Rows of the map.
        size: Side of a window in pixels of the map.
        overlap: Pixels that neighbours share at least.
        columns: Most columns of a swath, a multiple of :data:`BLOCK`.
    """

    width: int
    height: int
    size: int
    overlap: int
    columns: int

    @cached_property
    def swaths(self) -> list[tuple[int, int]]:
        """First column of each swath, and the one after its last."""
        lefts = range(0, self.width, self.columns)
        return [(left, min(left + self.columns, self.width)) for left in lefts]

    @cached_property
    def _starts(self) -> tuple[list[int], list[int]]:
        cols, rows = (starts(side, self.size, self.overlap) for side in (self.width, self.height))
        return cols, rows

    def windows(self, left: int, right: int) -> Iterator[tuple[int, int]]:
        """Go through the windows that reach into a swath, row by row.

        Args:
            left: First column of the swath.
            right: The column after its last.

        Yields:
            Left column and upper row of a window.
        """
        inside = self._inside(left, right)
        yield from ((col, row) for row in self._starts[1] for col in inside)

    def _inside(self, left: int, right: int) -> list[int]:
        """Return the left columns of the windows that reach into a swath."""
        return [col for col in self._starts[0] if col < right and col + self.size > left]

    def __len__(self) -> int:
        """Count the windows, those of two swaths twice."""
        across = sum(len(self._inside(*swath)) for swath in self.swaths)
        return across * len(self._starts[1])
