"""Images of which tiles are cut: GeoTIFF, or JPEG and PNG without a place on Earth."""

from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.windows import Window

from ... import geo
from ...errors import UnusableError
from ..formats import open_raster
from ..ground import Place
from ..labelled.images import Header, choose_bands, without_place
from ..labelled.photos import depth, is_photo, open_photo, photo_bands, photo_pixels
from ..labelled.split import NOWHERE
from ..placement import unusable
from ..windows import Pixels, Reader
from .grids import PixelGrid, grid_of
from .tiles import Part


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image that was looked at.

    Attributes:
        path: The file.
        grid: Where its pixels lie.
        header: What it says of itself.
        indexes: Numbers of the bands that are read, from 1.
        cover: Number of a band that is a mask of missing data, 0 for none.
        nodata: Value that is no data; NaN for none.
        nowhere: Why it has no place on Earth; '' where it has one.
        gsd: Metres per pixel where it does not say, or None.
    """

    path: str
    grid: PixelGrid
    header: Header
    indexes: tuple[int, ...]
    cover: int = 0
    nodata: float = np.nan
    nowhere: str = ''
    gsd: float | None = None

    def read(self, part: Part) -> Pixels:
        """Read a window that lies inside the image.

        Args:
            part: The window.

        Returns:
            Values (C, H, W) float32, 0 where there is no data, and validity (H, W).

        Raises:
            UnusableError: If it is broken.
            OSError: If it cannot be read.
        """
        if is_photo(self.path):
            with open_photo(self.path) as photo:
                image, valid = photo_pixels(photo)
            inside = slice(part.row, part.row + part.height), slice(part.col, part.col + part.width)
            return image[[index - 1 for index in self.indexes]][:, *inside], valid[inside]
        with without_place(), closing(open_raster(self.path)) as source:
            size = {'width': self.grid.width, 'height': self.grid.height}
            if (source.width, source.height) != self.grid[:2]:
                raise UnusableError('was replaced by one of another size while it was in use')
            row: dict[str, Any] = {'bands': self.indexes, 'nodata': self.nodata, **size}
            reader = Reader(source, {**row, 'mask': self.cover, 'warp': False, 'valid': 0.0})
            return reader.window(Window(*part), (part.height, part.width))

    def metres(self, part: Part) -> float:
        """Return the metres per pixel in the middle of a window; NaN where nobody says.

        Of pixels that are not square, as those of degrees, it is the geometric mean.

        Args:
            part: The window.
        """
        if self.nowhere:
            return np.nan if self.gsd is None else self.gsd
        middle = part.col + part.width / 2, part.row + part.height / 2
        across, down = geo.pixel_metres(*self.place(), *middle)
        return (across * down) ** 0.5

    def footprint(self, part: Part) -> NDArray[np.float64]:
        """Return west, south, east and north of a window in degrees, (4,); NaN if unknown.

        Args:
            part: The window.
        """
        return NOWHERE if self.nowhere else geo.footprint(*self.place(), part)

    @property
    def whole(self) -> Place:
        """Where all of the image lies."""
        metres = self.metres(Part(0, 0, *self.grid[:2]))
        return Place(metres, None if self.nowhere else geo.outline(*self.place(), *self.grid[:2]))

    def place(self) -> tuple[str, Affine]:
        """Return reference system and transform.

        Raises:
            UnusableError: If the image has no place on Earth.
        """
        if self.nowhere or not (self.grid.crs and self.grid.transform):
            raise UnusableError(self.nowhere or 'has no georeference')
        return self.grid.crs, self.grid.transform


def look_at_image(path: str, bands: tuple[str, ...], gsd: float | None) -> ImageFile:
    """Look at the header and the end of an image; best done :func:`without_place`.

    Args:
        path: The file.
        bands: Bands wanted, by number, name or common name; empty for all but a mask.
        gsd: Metres per pixel where it does not say.

    Raises:
        UnusableError: If it is no such file, or cut short.
        BandsNotFoundError: If a band is not there.
        OSError: If it cannot be read.
    """
    if is_photo(path):
        with open_photo(path) as photo:
            indexes, names = photo_bands(bands)
            header = Header(names, names, depth(photo), np.nan)
            kind = 'is a JPEG or PNG, which has no place on Earth'
            return ImageFile(path, PixelGrid(*photo.size), header, indexes, nowhere=kind, gsd=gsd)
    with closing(open_raster(path)) as source:
        indexes, header, cover = choose_bands(source, path, bands)
        # A file cut short fails at its last pixel.
        source.read(indexes[-1], window=Window(source.width - 1, source.height - 1, 1, 1))
        nodata = np.nan if source.nodata is None else source.nodata
        nowhere = unusable(source) or ''
        return ImageFile(path, grid_of(source), header, indexes, cover, nodata, nowhere, gsd)
