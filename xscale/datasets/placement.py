"""Has a raster a place on the ground?"""

from functools import lru_cache

import numpy as np
import pyproj
from rasterio.io import DatasetReader

from .. import geo
from .limits import check_references

#: Metres of a pixel, a millimetre to 100 km: beyond lies a mistaken unit.
SMALLEST, LARGEST = 1e-3, 1e5

#: How many times longer than wide a pixel may be; in degrees, at 89° north, it is 57 times.
LONGEST = 100

#: Sine of the angle between rows and columns below which a pixel is a sliver (6°).
NARROWEST = 0.1


def unusable(source: DatasetReader) -> str | None:
    """Return why a raster has no place on the ground or no values to learn from, or None.

    Args:
        source: The raster.

    Raises:
        UnusableError: If its reference system points to another file.
        pyproj.exceptions.ProjError: If its reference system makes no sense.
    """
    transform = source.transform
    if transform.is_identity and source.gcps[0]:
        return 'is placed by ground control points alone; orthorectify it with gdalwarp'
    if transform.is_identity and source.tags(ns='RPC'):
        return 'is placed by RPCs alone; orthorectify it with gdalwarp -rpc and an elevation model'
    if source.crs is None:
        return 'has no coordinate reference system; write one with gdal_edit -a_srs'
    if transform.is_identity:
        return 'has no georeference: where it lies on the ground is unknown'
    if not np.isfinite(tuple(transform)).all() or transform.determinant == 0:
        return f'has a degenerate georeference: {tuple(transform)[:6]}'
    if any('complex' in dtype for dtype in source.dtypes):
        return 'holds complex numbers'
    wkt = source.crs.to_wkt()
    check_references(wkt.encode())
    return _off_ground(wkt) or _off_earth(source, wkt) or _distorted(source, wkt)


@lru_cache(maxsize=256)
def _off_ground(wkt: str) -> str | None:
    """Return why a reference system has no two axes on the ground."""
    crs = pyproj.CRS.from_wkt(wkt)
    if crs.is_projected or (crs.is_geographic and not crs.is_geocentric):
        return None
    return (
        f'its coordinate reference system leads nowhere on Earth ({crs.type_name}); a projected or '
        'geographic one is needed'
    )


def _off_earth(source: DatasetReader, wkt: str) -> str | None:
    place = geo.outline(wkt, source.transform, source.width, source.height)
    west, south, east, north = place.bounds
    if not (-360 <= west < east <= 360 and -90 <= south < north <= 90):
        return 'lies outside of what its coordinate reference system covers'
    return None


def _distorted(source: DatasetReader, wkt: str) -> str | None:
    transform = source.transform
    across, down = geo.pixel_metres(wkt, transform, source.width / 2, source.height / 2)
    if not SMALLEST <= min(across, down) <= max(across, down) <= LARGEST:
        return f'has pixels of {across:.3g} m × {down:.3g} m; are the units of its CRS right?'
    if max(across, down) > LONGEST * min(across, down):
        return f'has pixels of {across:.3g} m × {down:.3g} m, too long to be made square'
    sides = np.hypot(transform.a, transform.d) * np.hypot(transform.b, transform.e)
    if abs(transform.determinant) < NARROWEST * sides:
        return 'is rotated or sheared beyond use: its rows and columns run the same way'
    return None
