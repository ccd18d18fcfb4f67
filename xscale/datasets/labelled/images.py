"""Read a labelled image: JPEG, PNG or GeoTIFF, whole, with its GSD and footprint."""

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import DatasetReader
from rasterio.windows import Window

from ... import geo
from ...errors import UnusableError
from ..bands import choose
from ..formats import open_raster
from ..placement import unusable
from ..statistics import alpha_mask
from ..windows import Reader
from .sets import NOWHERE, Picture

#: Formats without a place on Earth, by suffix, and how their files begin and end.
PHOTOS = {'.jpg': 'JPEG', '.jpeg': 'JPEG', '.png': 'PNG'}
BEGINS = {'JPEG': b'\xff\xd8\xff', 'PNG': b'\x89PNG\r\n\x1a\n'}
ENDS = {'JPEG': b'\xff\xd9', 'PNG': b'IEND\xaeB`\x82'}

#: Bytes at the end among which the end mark is; some writers pad.
TAIL = 4096

#: Suffixes that are read.
SUFFIXES = (*PHOTOS, '.tif', '.tiff')

RGB = ('red', 'green', 'blue')

#: A GSD that tells no family of sensors, for files without a place.
_ANY_GSD = 10.0


class Header(NamedTuple):
    """What a file says of itself before its pixels are read.

    Attributes:
        bands: Names of the chosen bands.
        dtype: Of its values.
        gsd: Metres per pixel, the geometric mean of both axes; NaN where it does not say.
    """

    bands: tuple[str, ...]
    dtype: str
    gsd: float


@contextmanager
def without_place() -> Iterator[None]:
    """Keep rasterio from warning that an image has no place on Earth, for a whole process."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', NotGeoreferencedWarning)
        yield


def is_photo(path: str) -> bool:
    """Return whether a file is called a JPEG or PNG, which have no place on Earth."""
    return os.path.splitext(path)[1].lower() in PHOTOS


def look(path: str, bands: Sequence[str]) -> Header:
    """Look at a file's header, and whether it is whole; best done :func:`without_place`.

    Args:
        path: The file.
        bands: Bands wanted, by number, name or common name; empty for all but a mask.

    Raises:
        UnusableError: If it is no such file, or cut short.
        BandsNotFoundError: If a band is not there.
        OSError: If it cannot be read.
    """
    if is_photo(path):
        with _open_photo(path) as photo:
            return Header(_photo_bands(bands)[1], _depth(photo), np.nan)
    with closing(open_raster(path)) as source:
        indexes, names, _ = _choose(source, path, bands)
        # A file cut short fails at its last pixel.
        source.read(indexes[-1], window=Window(source.width - 1, source.height - 1, 1, 1))
        return Header(names, source.dtypes[indexes[0] - 1], _place(source)[0])


def read(path: str, bands: Sequence[str]) -> tuple[Header, Picture]:
    """Read an image.

    Args:
        path: The file.
        bands: Bands wanted, as in :func:`look`.

    Raises:
        UnusableError: If it is no such file, or broken.
        BandsNotFoundError: If a band is not there.
        OSError: If it cannot be read.
    """
    if is_photo(path):
        with _open_photo(path) as photo:
            indexes, names = _photo_bands(bands)
            header = Header(names, _depth(photo), np.nan)
            image, valid = _photo_pixels(photo)
        return header, Picture(image[[index - 1 for index in indexes]], valid, np.nan, NOWHERE)
    with without_place(), closing(open_raster(path)) as source:
        indexes, names, mask = _choose(source, path, bands)
        gsd, footprint = _place(source)
        nodata = np.nan if source.nodata is None else source.nodata
        wide, high = source.width, source.height
        row: dict[str, Any] = {'bands': indexes, 'width': wide, 'height': high, 'nodata': nodata}
        reader = Reader(source, {**row, 'mask': mask, 'warp': False, 'valid': 0.0})
        image, valid = reader.window(Window(0, 0, wide, high), (high, wide))
        return Header(names, source.dtypes[indexes[0] - 1], gsd), Picture(
            image, valid, gsd, footprint
        )


def place(path: str) -> tuple[float, NDArray[np.float64]]:
    """Return the metres per pixel and the footprint of a GeoTIFF; NaN where it does not say.

    Args:
        path: The file.
    """
    with without_place(), closing(open_raster(path)) as source:
        return _place(source)


def _place(source: DatasetReader) -> tuple[float, NDArray[np.float64]]:
    if unusable(source):
        return np.nan, NOWHERE
    crs, wide, high = source.crs.to_wkt(), source.width, source.height
    across, down = geo.pixel_metres(crs, source.transform, wide / 2, high / 2)
    return (across * down) ** 0.5, geo.footprint(crs, source.transform, (0, 0, wide, high))


def _choose(
    source: DatasetReader, path: str, bands: Sequence[str]
) -> tuple[tuple[int, ...], tuple[str, ...], int]:
    """Choose bands of a GeoTIFF.

    Returns:
        Their numbers, from 1; what they are called: their description, else their colour, else
        their number; and the number of a band that is a mask, 0 for none.
    """
    mask = alpha_mask(source)
    wanted = list(bands) or [str(n) for n in range(1, source.count + 1) if n != mask]
    if not wanted:
        raise UnusableError('holds nothing but a mask')
    colours = [colour.name for colour in source.colorinterp]
    gsd = _place(source)[0]
    gsd = _ANY_GSD if np.isnan(gsd) else gsd
    chosen = choose(wanted, list(source.descriptions), colours, gsd, path)
    kinds = {source.dtypes[index - 1] for index in chosen.indexes}
    if any('complex' in kind for kind in kinds):
        raise UnusableError('holds complex numbers')
    shown = {index: colour for index, colour in enumerate(colours, 1) if colour in RGB}
    names = zip(chosen.names, chosen.indexes, strict=True)
    called = tuple(shown.get(index, name) if name == str(index) else name for name, index in names)
    return chosen.indexes, called, mask


def _open_photo(path: str) -> Image.Image:
    """Open a JPEG or PNG whose file is whole.

    Raises:
        UnusableError: If it is not whole, not what it is called, or of more bits than are read.
        OSError: If it cannot be read.
    """
    kind = PHOTOS[os.path.splitext(path)[1].lower()]
    with open(path, 'rb') as file:
        head = file.read(8)
        file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL))
        tail = file.read()
    if not head:
        raise UnusableError('is empty')
    other = next((name for name, begin in BEGINS.items() if head.startswith(begin)), '')
    if not other:
        raise UnusableError(f'is no {kind}: it does not begin as one does')
    # Many a collection calls its JPEGs .png; both are read alike.
    if ENDS[other] not in tail:
        raise UnusableError(f'is cut short: the end of the {other} is missing')
    photo = Image.open(path, formats=(other,))
    if any(';16B' in str(tile[3]) for tile in photo.tile) and not photo.mode.startswith('I'):
        photo.close()
        raise UnusableError(
            'is a PNG of 16 bits a colour, of which 8 would be read; write it as a GeoTIFF'
        )
    return photo


def _depth(photo: Image.Image) -> str:
    return 'uint16' if photo.mode.startswith('I') else 'uint8'


def _photo_bands(bands: Sequence[str]) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Choose bands of a JPEG or PNG, which are red, green and blue."""
    chosen = choose(bands, list(RGB), list(RGB), _ANY_GSD)
    return chosen.indexes, chosen.names


def _photo_pixels(photo: Image.Image) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Read red, green and blue; grey counts for all three.

    An alpha channel is where there is data if it takes only 0 and the maximum; else it is left
    out: what is half transparent holds data.

    Returns:
        Values (3, H, W) float32, 0 where invalid, and validity (H, W).
    """
    if photo.mode.startswith('I'):
        grey = np.asarray(photo, np.float32)
        return np.repeat(grey[None], 3, 0), np.ones(grey.shape, bool)
    if photo.has_transparency_data:
        pixels = np.asarray(photo.convert('RGBA'))
        alpha, pixels = pixels[..., 3], pixels[..., :3]
        valid = alpha > 0 if np.isin(alpha, (0, 255)).all() else np.ones(alpha.shape, bool)
    else:
        pixels = np.asarray(photo.convert('RGB'))
        valid = np.ones(pixels.shape[:2], bool)
    image = np.ascontiguousarray(pixels.transpose(2, 0, 1), np.float32)
    image[:, ~valid] = 0
    return image, valid
