"""Masks: files of one band whose values stand for classes."""

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rasterio.windows import Window

from ...errors import UnusableError
from ..formats import open_raster
from ..labelled.images import without_place
from ..labelled.photos import is_photo, open_photo
from .grids import PixelGrid, grid_of
from .tiles import Part

#: Suffixes that are read. JPEG is none: it blurs values.
SUFFIXES = ('.tif', '.tiff', '.png')

#: Rows that are counted together.
ROWS = 1024

#: Modes of a PNG whose pixels are one number each.
MODES = ('1', 'L', 'P', 'I', 'I;16')


@dataclass(frozen=True, slots=True)
class MaskFile:
    """A mask that was looked at.

    Attributes:
        path: The file.
        grid: Where its pixels lie.
        nodata: Value the file declares to be no data; None where it declares none.
    """

    path: str
    grid: PixelGrid
    nodata: int | None = None

    def read(self, part: Part) -> NDArray[np.integer]:
        """Read the values of a window that lies inside the mask, (H, W).

        Args:
            part: The window.

        Raises:
            UnusableError: If it is broken.
            OSError: If it cannot be read.
        """
        if is_photo(self.path):
            inside = slice(part.row, part.row + part.height), slice(part.col, part.col + part.width)
            return _png(self.path)[inside]
        with without_place(), closing(open_raster(self.path)) as source:
            return source.read(1, window=Window(*part))

    def count(self) -> dict[int, int]:
        """Count the pixels of each value."""
        found: Counter[int] = Counter()
        for values in self._parts():
            for value, pixels in zip(*np.unique(values, return_counts=True), strict=True):
                found[int(value)] += int(pixels)
        return dict(found)

    def _parts(self) -> Iterator[NDArray[np.integer]]:
        width, height = self.grid[:2]
        rows = height if is_photo(self.path) else ROWS
        for row in range(0, height, rows):
            yield self.read(Part(0, row, width, min(rows, height - row)))


def look_at_mask(path: str) -> MaskFile:
    """Look at the header and the end of a mask; best done without_place.

    Args:
        path: The file.

    Raises:
        UnusableError: If it is no mask.
        OSError: If it cannot be read.
    """
    if is_photo(path):
        with open_photo(path) as photo:
            _check_png(photo)
            return MaskFile(path, PixelGrid(*photo.size))
    with closing(open_raster(path)) as source:
        dtype = np.dtype(source.dtypes[0])
        if source.count != 1:
            raise UnusableError(
                f'holds {source.count} bands; a mask has one, whose values are numbers of classes'
            )
        if dtype.kind not in 'iu':
            raise UnusableError(
                f'holds {dtype}; a mask holds whole numbers: gdal_translate -ot Byte writes them'
            )
        source.read(1, window=Window(source.width - 1, source.height - 1, 1, 1))
        nodata = None if source.nodata is None else int(source.nodata)
        return MaskFile(path, grid_of(source), nodata)


def _png(path: str) -> NDArray[np.integer]:
    with open_photo(path) as photo:
        _check_png(photo)
        values = np.asarray(photo)
    return values.astype(np.uint8) if values.dtype == bool else values


def _check_png(photo: Image.Image) -> None:
    if photo.format != 'PNG':
        raise UnusableError('is a JPEG, which blurs values; a mask has to be a PNG or GeoTIFF')
    if photo.mode not in MODES:
        raise UnusableError(
            f'is a PNG of colours ({photo.mode}); a mask has one band, whose values are numbers of '
            'classes, as a grey or indexed PNG has'
        )
    # Pillow spreads these over 0 to 255.
    if any(str(tile[3]) in ('L;2', 'L;4') for tile in getattr(photo, 'tile', ())):
        raise UnusableError('is a PNG of 2 or 4 bits of grey; write it with 8 bits')
