"""On which grid an image or a mask lies, and in what two of them differ."""

from typing import NamedTuple

import numpy as np
import pyproj
from affine import Affine
from rasterio.io import DatasetReader

from ... import geo

#: Pixels by which the corners of two grids may lie apart that are one.
OFF = 1e-3


class PixelGrid(NamedTuple):
    """Where the pixels of a file lie.

    Attributes:
        width: Columns.
        height: Rows.
        crs: Reference system as WKT; None where the file does not say.
        transform: Pixel (column, row) to coordinates; None where the file does not say.
    """

    width: int
    height: int
    crs: str | None = None
    transform: Affine | None = None


def grid_of(source: DatasetReader) -> PixelGrid:
    """Return the grid of a raster.

    Args:
        source: The raster.
    """
    crs = source.crs.to_wkt() if source.crs else None
    transform = None if source.transform.is_identity else source.transform
    return PixelGrid(source.width, source.height, crs, transform)


def differences(image: PixelGrid, mask: PixelGrid) -> list[str]:
    """Say in what a mask does not lie on the grid of its image; nothing where it does.

    What one of both does not say is not compared.

    Args:
        image: That of the image.
        mask: That of the mask.
    """
    found = []
    if image[:2] != mask[:2]:
        sizes = (f'{one.width}×{one.height} px' for one in (image, mask))
        found.append('size, {} against {} of the mask'.format(*sizes))
    if image.crs and mask.crs and not _same_crs(image.crs, mask.crs):
        names = (pyproj.CRS.from_wkt(crs).name for crs in (image.crs, mask.crs))
        found.append('coordinate reference system, {} against {} of the mask'.format(*names))
    elif image.transform and mask.transform:
        off = _offset(image, mask.transform, image.transform)
        if not off <= OFF:
            found.append(f'place: corners of the mask lie up to {off:.3g} pixels off')
    return found


def _same_crs(one: str, other: str) -> bool:
    if one == other:
        return True
    first, second = pyproj.CRS.from_wkt(one), pyproj.CRS.from_wkt(other)
    # Programs spell names differently; the code they stand for tells.
    codes = first.to_epsg(), second.to_epsg()
    return first.equals(second, ignore_axis_order=True) or (
        None not in codes and codes[0] == codes[1]
    )


def _offset(image: PixelGrid, theirs: Affine, ours: Affine) -> float:
    """Return how far the corners of a mask's grid lie off, in pixels of the image."""
    cols = np.array([0, 1, 0, 1]) * image.width
    rows = np.array([0, 0, 1, 1]) * image.height
    back = geo.apply(~ours, *geo.apply(theirs, cols, rows))
    return float(np.hypot(back[0] - cols, back[1] - rows).max())
