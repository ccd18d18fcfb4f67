"""Open an image and read a part of it."""

import os
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import NamedTuple

import numpy as np
import rasterio
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import DatasetReader
from rasterio.windows import Window

from ...errors import UnusableError
from ..formats import DRIVERS, open_raster
from ..windows import Pixels, Reader

JPEG, END = b'\xff\xd8\xff', b'\xff\xd9'

#: Bytes at the end of a JPEG among which its end mark is; some writers pad.
TAIL = 4096


class Part(NamedTuple):
    """A rectangle of an image, and how many pixels are wanted of it.

    Attributes:
        left: Left edge in pixels of the image; it may lie outside.
        top: Upper edge.
        width: Columns.
        height: Rows.
        shape: Height and width wanted, in pixels.
    """

    left: float
    top: float
    width: float
    height: float
    shape: tuple[int, int]


def open_image(path: str) -> DatasetReader:
    """Open a JPEG or a GeoTIFF.

    Args:
        path: The file.

    Raises:
        UnusableError: If it is neither, or cut short, or not there.
        RasterioError: If GDAL cannot open it.
        OSError: If it cannot be read.
    """
    if not os.path.exists(path):
        raise UnusableError('is not there')
    suffix = os.path.splitext(path)[1].lower()
    if suffix in DRIVERS:
        return open_raster(path)
    if suffix not in ('.jpg', '.jpeg'):
        raise UnusableError('is not called .jpg or .tif: only JPEG and GeoTIFF are read')
    with open(path, 'rb') as file:
        head = file.read(len(JPEG))
        file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL))
        tail = file.read()
    if not head:
        raise UnusableError('is empty')
    if head != JPEG:
        raise UnusableError('is no JPEG: it does not begin as one does')
    if END not in tail:
        raise UnusableError('is cut short: the end of the JPEG is missing')
    # What lies beside it was not looked at, and is not to be opened.
    with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN='EMPTY_DIR'):
        return rasterio.open(os.path.abspath(path), driver='JPEG')


@contextmanager
def without_place() -> Iterator[None]:
    """Keep rasterio from warning that an image has no place on Earth, for a whole process."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', NotGeoreferencedWarning)
        yield


def read_part(path: str, bands: tuple[int, ...], part: Part, blank: bool) -> Pixels:
    """Read a part of an image; what lies beyond it is invalid.

    Args:
        path: The file.
        bands: Numbers of the bands, from 1.
        part: What to read; it meets the image.
        blank: Whether a pixel that is 0 in all bands holds no data.

    Returns:
        Values (C, H, W) float32, 0 where invalid, and validity (H, W).
    """
    with without_place(), closing(open_image(path)) as source:
        cols = _inside(part.left, part.width, source.width, part.shape[1])
        rows = _inside(part.top, part.height, source.height, part.shape[0])
        window = Window(cols[0], rows[0], cols[1] - cols[0], rows[1] - rows[0])
        nodata = np.nan if source.nodata is None else source.nodata
        row = {'bands': bands, 'width': source.width, 'height': source.height, 'nodata': nodata}
        # Where a NaN may be, averages are taken around it.
        reader = Reader(source, {**row, 'mask': 0, 'warp': False, 'valid': 0.0})
        to = slice(rows[2], rows[3]), slice(cols[2], cols[3])
        image = np.zeros((len(bands), *part.shape), np.float32)
        valid = np.zeros(part.shape, bool)
        image[:, *to], valid[to] = reader.window(window, (rows[3] - rows[2], cols[3] - cols[2]))
    if blank:
        valid &= (image != 0).any(0)
    return image, valid


def _inside(offset: float, extent: float, limit: int, size: int) -> tuple[float, float, int, int]:
    """Clip one axis of a part to its image.

    Returns:
        Start and stop in pixels of the image, and start and stop in pixels wanted.
    """
    scale = extent / size
    first = min(size - 1, max(0, round(-offset / scale)))
    last = max(first + 1, min(size, round((limit - offset) / scale)))
    start = max(0.0, offset + first * scale)
    stop = min(float(limit), offset + last * scale)
    return start, stop, first, last
