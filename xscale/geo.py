"""True metres, footprints and grids: plane geometry on a round planet, in float64.

Every distance here is measured on the WGS 84 ellipsoid, so a degree, a Web Mercator "metre" and
a UTM metre come out as what they are on the ground.
"""

import math
from functools import lru_cache
from typing import Any

import numpy as np
import pyproj
import shapely
from affine import Affine
from numpy.typing import NDArray

LONLAT = 'EPSG:4326'

#: A grid whose axes differ by more than this share on the ground is read through a warp.
ANISOTROPY = 0.01

#: A projection whose scale error here is below this share counts as true: a UTM grid of 10 m is
#: called 10 m, though its metres are stretched by up to 0.1 % across the zone.
SCALE_ERROR = 0.002

#: Ground sample distances that differ by less than this ratio are of one group.
SAME_GSD = 1.1

_GEOD = pyproj.Geod(ellps='WGS84')


@lru_cache(maxsize=256)
def transformer(source: str, target: str) -> pyproj.Transformer:
    """Return the cached transformer between two CRSs, x (east) first.

    Args:
        source: CRS as WKT or an authority code.
        target: CRS as WKT or an authority code.
    """
    return pyproj.Transformer.from_crs(source, target, always_xy=True)


def pixel_metres(crs: str, transform: Affine, col: float, row: float) -> tuple[float, float]:
    """Measure a pixel of a grid on the ground.

    Args:
        crs: CRS of the grid.
        transform: Pixel (column, row) to CRS coordinates.
        col: Column where to measure.
        row: Row where to measure.

    Returns:
        Metres per pixel along a column step and along a row step.
    """
    # A step of many pixels keeps the geodesic well above its rounding error.
    step = 16.0
    cols, rows = np.array([col, col + step, col]), np.array([row, row, row + step])
    lon, lat = transformer(crs, LONLAT).transform(*apply(transform, cols, rows))
    across = _GEOD.inv(lon[0], lat[0], lon[1], lat[1])[2] / step
    down = _GEOD.inv(lon[0], lat[0], lon[2], lat[2])[2] / step
    nominal = math.hypot(transform.a, transform.d), math.hypot(transform.b, transform.e)
    return _nominal_if_true(across, nominal[0]), _nominal_if_true(down, nominal[1])


def apply(transform: Affine, cols: Any, rows: Any) -> tuple[Any, Any]:
    """Map pixel coordinates to CRS coordinates, numbers or arrays alike.

    Args:
        transform: Pixel (column, row) to CRS coordinates.
        cols: Columns.
        rows: Rows.
    """
    x = transform.a * cols + transform.b * rows + transform.c
    y = transform.d * cols + transform.e * rows + transform.f
    return x, y


def compose(outer: Affine, inner: Affine) -> Affine:
    """Return the transform that does one after another.

    Affine's own operator for it is ``*`` up to version 2 and ``@`` from 3 on.

    Args:
        outer: What is done last.
        inner: What is done first.
    """
    c, f = apply(outer, inner.c, inner.f)
    return Affine(
        outer.a * inner.a + outer.b * inner.d,
        outer.a * inner.b + outer.b * inner.e,
        c,
        outer.d * inner.a + outer.e * inner.d,
        outer.d * inner.b + outer.e * inner.e,
        f,
    )


def _nominal_if_true(metres: float, nominal: float) -> float:
    return nominal if abs(metres / nominal - 1) < SCALE_ERROR else metres


def utm(lon: float, lat: float) -> str:
    """Return the UTM zone (EPSG code) that holds a place; the poles get polar stereographic.

    Args:
        lon: Longitude in degrees.
        lat: Latitude in degrees.
    """
    if lat > 84:
        return 'EPSG:3413'
    if lat < -80:
        return 'EPSG:3031'
    zone = int(((lon + 180) % 360) // 6) + 1
    return f'EPSG:{(32600 if lat >= 0 else 32700) + zone}'


def outline(
    crs: str, transform: Affine, width: float, height: float, target: str = LONLAT
) -> shapely.Polygon:
    """Return the outline of a grid in another CRS, its edges followed at nine points each.

    Args:
        crs: CRS of the grid.
        transform: Pixel (column, row) to CRS coordinates.
        width: Columns.
        height: Rows.
        target: CRS of the outline.
    """
    t = np.linspace(0, 1, 9)[:-1]
    cols = np.concatenate([t, np.ones(8), 1 - t, np.zeros(8)]) * width
    rows = np.concatenate([np.zeros(8), t, np.ones(8), 1 - t]) * height
    x, y = transformer(crs, target).transform(*apply(transform, cols, rows))
    if target == LONLAT and np.isfinite(x).all():
        turned = np.unwrap(x, period=360)
        # Across the antimeridian it goes on beyond 180 degrees; around a pole it does not close.
        x = turned if abs(turned[-1] - turned[0]) < 180 else x
    return shapely.Polygon(np.column_stack([x, y]))


def footprint(
    crs: str, transform: Affine, window: tuple[float, float, float, float]
) -> NDArray[np.float64]:
    """Return the box of a small window in degrees.

    Args:
        crs: CRS of the grid.
        transform: Pixel (column, row) to CRS coordinates.
        window: Column, row, width and height in pixels.

    Returns:
        West, south, east, north, shape (4,), float64.
    """
    col, row, width, height = window
    cols = np.array([0, 0.5, 1, 1, 1, 0.5, 0, 0]) * width + col
    rows = np.array([0, 0, 0, 0.5, 1, 1, 1, 0.5]) * height + row
    lon, lat = transformer(crs, LONLAT).transform(*apply(transform, cols, rows))
    # Across the antimeridian the box goes on beyond 180 degrees.
    lon = lon[0] + (lon - lon[0] + 180) % 360 - 180
    return np.array([np.min(lon), np.min(lat), np.max(lon), np.max(lat)])


def overlap(box: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Measure how much of a box others cover.

    Args:
        box: West, south, east, north, shape (4,).
        others: The same of other boxes, shape (N, 4).

    Returns:
        Share of the box's area that each other box covers, shape (N,), in 0..1.
    """
    turn = 360 * np.round((box[0] - others[:, 0]) / 360)
    width = np.minimum(box[2], others[:, 2] + turn) - np.maximum(box[0], others[:, 0] + turn)
    height = np.minimum(box[3], others[:, 3]) - np.maximum(box[1], others[:, 1])
    area = (box[2] - box[0]) * (box[3] - box[1])
    return np.clip(width, 0, None) * np.clip(height, 0, None) / area


def gsd_groups(gsd: NDArray[np.float64]) -> NDArray[np.int64]:
    """Group ground sample distances: a new group begins where the next one is over 10 % coarser.

    Args:
        gsd: Metres per pixel, (N,).

    Returns:
        Number of the group of each, the finest 0, (N,).
    """
    order = np.argsort(gsd)
    steps = np.diff(np.log(gsd[order]), prepend=np.log(gsd[order[0]])) > math.log(SAME_GSD)
    group = np.empty(len(gsd), np.int64)
    group[order] = np.cumsum(steps)
    return group


def square_kilometres(shape: shapely.Geometry) -> float:
    """Measure an area on the ellipsoid.

    Args:
        shape: Polygons in degrees.
    """
    return abs(_GEOD.geometry_area_perimeter(shape)[0]) / 1e6
