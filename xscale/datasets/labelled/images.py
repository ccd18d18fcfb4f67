"""Read a labelled image: JPEG, PNG or GeoTIFF, whole, with its GSD and footprint."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any, NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray
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
from .photos import ANY_GSD, PHOTOS, RGB, depth, is_photo, open_photo, photo_bands, photo_pixels
from .split import NOWHERE, Picture

#: Suffixes that are read.
SUFFIXES = (*PHOTOS, '.tif', '.tiff')


class Header(NamedTuple):
    """What a file says of itself before its pixels are read.

    Attributes:
        bands: Names of the chosen bands: their description, else their colour, else their number.
        meanings: Their common names; the name where there is none.
        dtype: Of its values.
        gsd: Metres per pixel, the geometric mean of both axes; NaN where it does not say.
        outline: Of its ground in degrees; None where it does not say.
    """

    bands: tuple[str, ...]
    meanings: tuple[str, ...]
    dtype: str
    gsd: float
    outline: shapely.Polygon | None = None

    def kind(self, chosen: bool) -> tuple[str, ...]:
        """Return in what the files of a data set have to agree.

        Args:
            chosen: Whether bands were asked for: then it counts what they mean, as sensors may
                spell it differently; else what they are called.
        """
        return (*(self.meanings if chosen else self.bands), self.dtype)


@contextmanager
def without_place() -> Iterator[None]:
    """Keep rasterio from warning that an image has no place on Earth, for a whole process."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', NotGeoreferencedWarning)
        yield


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
        with open_photo(path) as photo:
            names = photo_bands(bands)[1]
            return Header(names, names, depth(photo), np.nan)
    with closing(open_raster(path)) as source:
        indexes, header, _ = choose_bands(source, path, bands)
        # A file cut short fails at its last pixel.
        source.read(indexes[-1], window=Window(source.width - 1, source.height - 1, 1, 1))
        return header._replace(outline=_outline(source))


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
        with open_photo(path) as photo:
            indexes, names = photo_bands(bands)
            header = Header(names, names, depth(photo), np.nan)
            image, valid = photo_pixels(photo)
        return header, Picture(image[[index - 1 for index in indexes]], valid, np.nan, NOWHERE)
    with without_place(), closing(open_raster(path)) as source:
        indexes, header, mask = choose_bands(source, path, bands)
        nodata = np.nan if source.nodata is None else source.nodata
        wide, high = source.width, source.height
        row: dict[str, Any] = {'bands': indexes, 'width': wide, 'height': high, 'nodata': nodata}
        reader = Reader(source, {**row, 'mask': mask, 'warp': False, 'valid': 0.0})
        image, valid = reader.window(Window(0, 0, wide, high), (high, wide))
        return header, Picture(image, valid, *_place(source))


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


def _outline(source: DatasetReader) -> shapely.Polygon | None:
    if unusable(source):
        return None
    return geo.outline(source.crs.to_wkt(), source.transform, source.width, source.height)


def choose_bands(
    source: DatasetReader, path: str, bands: Sequence[str]
) -> tuple[tuple[int, ...], Header, int]:
    """Choose bands of a GeoTIFF.

    Args:
        source: The file.
        path: What it is called.
        bands: Bands wanted, as in :func:`look`.

    Returns:
        Their numbers, from 1; what the file says of itself; and the number of a band that is a
        mask, 0 for none.
    """
    mask = alpha_mask(source)
    wanted = list(bands) or [str(n) for n in range(1, source.count + 1) if n != mask]
    if not wanted:
        raise UnusableError('holds nothing but a mask')
    colours = [colour.name for colour in source.colorinterp]
    gsd, _ = _place(source)
    near = ANY_GSD if np.isnan(gsd) else gsd
    chosen = choose(wanted, list(source.descriptions), colours, near, path)
    dtypes = [source.dtypes[index - 1] for index in chosen.indexes]
    if any('complex' in dtype for dtype in dtypes):
        raise UnusableError('holds complex numbers')
    names, meanings = list(chosen.names), list(chosen.meanings)
    for place, index in enumerate(chosen.indexes):
        # Without a description, a colour says more than a number.
        if names[place] == str(index) and colours[index - 1] in RGB:
            names[place] = meanings[place] = colours[index - 1]
    return chosen.indexes, Header(tuple(names), tuple(meanings), dtypes[0], gsd), mask
