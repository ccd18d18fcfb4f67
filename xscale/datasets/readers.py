"""Open the files of a raster, and read those of several bands as one."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from affine import Affine
from rasterio.errors import RasterioError
from rasterio.windows import Window

from ..errors import BrokenFileError, UnusableError
from .formats import open_raster
from .remote import conceal, shown
from .windows import Pixels, Reader, Row, Source, Tile, warped_view

#: What reading a file raises that is gone or broken; IndexError where it was replaced by one of
#: fewer bands.
BROKEN = (RasterioError, UnusableError, OSError, IndexError)


class Grid(NamedTuple):
    """A grid to view rasters on: its CRS, pixels to coordinates, and sides in pixels."""

    crs: str
    transform: Affine
    width: int
    height: int


class RasterReader:
    """Reads tiles of one raster from its file, or from one file for each of its bands.

    The files of one raster lie on one grid, so each is read at the same window, through its own
    overviews and by its own rules of what is valid; a pixel is valid where it is in all of them.

    Attributes:
        width: Columns of the grid that tiles are cut from.
        height: Rows.
        count: Bands that are read.
    """

    def __init__(self, row: Row, grid: Grid | None = None) -> None:
        """Open the files.

        Args:
            row: Row of the index.
            grid: Grid to view the raster on, by default that of its tiles.

        Raises:
            BrokenFileError: If one of them cannot be opened any more.
        """
        self.width, self.height, self.count = row['width'], row['height'], len(row['bands'])
        self.readers: list[tuple[str, Reader]] = []
        try:
            for part in row['parts'] or (row,):
                path = part['filepath']
                self.readers.append((path, _open(part, grid)))
        except BROKEN as error:
            self.close()
            raise _named(path, error) from error

    def __len__(self) -> int:
        """Count the open files."""
        return len(self.readers)

    def tile(self, tile: Tile) -> Pixels:
        """Read a tile; see :meth:`Reader.tile`.

        Args:
            tile: The tile.

        Raises:
            BrokenFileError: If a file cannot be read any more.
        """
        return self._read(lambda reader: reader.tile(tile))

    def window(self, window: Window, shape: tuple[int, int]) -> Pixels:
        """Read a window; see :meth:`Reader.window`.

        Args:
            window: Where to read.
            shape: Height and width wanted in pixels.

        Raises:
            BrokenFileError: If a file cannot be read any more.
        """
        return self._read(lambda reader: reader.window(window, shape))

    def _read(self, read: Callable[[Reader], Pixels]) -> Pixels:
        found = []
        for path, reader in self.readers:
            try:
                found.append(read(reader))
            except BROKEN as error:
                raise _named(path, error) from error
        if len(found) == 1:
            return found[0]
        values = np.concatenate([values for values, _ in found])
        valid = np.logical_and.reduce([valid for _, valid in found])
        if not valid.all():
            values[:, ~valid] = 0
        return values, valid

    def close(self) -> None:
        """Close the files."""
        for _, reader in self.readers:
            reader.source.close()


def _open(row: Row, grid: Grid | None) -> Reader:
    """Open one file, on its own grid where no other is asked for or needed."""
    source: Source = open_raster(row['filepath'])
    undeclared = source.nodata is None and not np.isnan(row['nodata'])
    # Only a view knows of a value that a rule calls no data, and keeps it out of averages.
    if not grid and (row['warp'] or undeclared):
        grid = Grid(row['grid'], Affine(*row['transform']), row['width'], row['height'])
    return Reader(warped_view(source, row, *grid) if grid else source, row)


def _named(path: str, error: Exception) -> BrokenFileError:
    """Say which file it is that cannot be read."""
    return BrokenFileError(path, shown(path), conceal(str(error.__cause__ or error), path))
