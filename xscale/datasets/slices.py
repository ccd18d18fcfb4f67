"""What a sampler asks a dataset for: a tile, or a tile and its ground in a coarser raster."""

from typing import Any, NamedTuple

from .windows import Tile


class Coarse(NamedTuple):
    """The ground of a tile as a coarser raster shows it.

    Attributes:
        row: Row of that raster; the tile's own for a pair made of one raster.
        size: Pixels a side in which the ground is read, which is what that raster has there.
        canvas: Pixels a side of the array it is put in, so that pairs of all scales make a batch;
            the rest of it is invalid.
        gsd: Metres per pixel.
        days: Days between the two dates; NaN where one is not known.
    """

    row: int
    size: int
    canvas: int
    gsd: float
    days: float


class TileSlice(tuple[slice, slice, slice]):
    """A TorchGeo slice (x, y, t) that also knows its tile, so that it can be read without a warp.

    Attributes:
        tile: The tile.
        gsd: Metres per pixel of the tile.
        coarse: Its ground in a coarser raster, for a pair.
        frames: Rows of the rasters that show its ground at several dates; empty for one image.
    """

    tile: Tile
    gsd: float
    coarse: Coarse | None
    frames: tuple[int, ...]

    def __new__(
        cls,
        slices: tuple[slice, slice, slice],
        tile: Tile,
        gsd: float,
        coarse: Coarse | None = None,
        frames: tuple[int, ...] = (),
    ) -> 'TileSlice':
        """Make a slice.

        Args:
            slices: West to east and south to north in degrees, and the time.
            tile: The tile.
            gsd: Metres per pixel of the tile.
            coarse: Its ground in a coarser raster.
            frames: Rows of the rasters that show its ground at several dates.
        """
        self = super().__new__(cls, slices)
        self.tile, self.gsd, self.coarse, self.frames = tile, gsd, coarse, frames
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Let worker processes be sent the slice with its tile."""
        return TileSlice, (tuple(self), self.tile, self.gsd, self.coarse, self.frames)
