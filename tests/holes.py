"""Rasters that lack data: where, and how they say so."""

from pathlib import Path

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import ColorInterp

from .data.stack.data import RGBA, write_raster

type Mask = NDArray[np.bool_]

#: CRS and grid of rasters: on their own grid, and two that are warped to a UTM zone.
GRIDS = {
    'utm': ('EPSG:32633', Affine(10, 0, 5e5, 0, -10, 5.3e6)),
    'degrees': ('EPSG:4326', Affine(1e-4, 0, 10, 0, -1e-4, 60)),
    'rotated': (
        'EPSG:32633',
        Affine.translation(5e5, 5.3e6) @ Affine.rotation(30) @ Affine.scale(10, -10),
    ),
}

#: How a raster says that a pixel holds no data.
SIGNS = ('nodata', 'nan', 'declared_nan', 'alpha', 'fifth_band', 'mask')


def collar(height: int, width: int, degrees: float = 15, part: float = 0.7) -> Mask:
    """Data in a rectangle turned in a frame without."""
    row, col = np.mgrid[:height, :width] + 0.5
    turn = np.radians(degrees)
    col, row = col - width / 2, row - height / 2
    across, down = (
        col * np.cos(turn) + row * np.sin(turn),
        row * np.cos(turn) - col * np.sin(turn),
    )
    return (abs(across) < part * width / 2) & (abs(down) < part * height / 2)


def scattered(height: int, width: int, missing: float = 0.3, seed: int = 0) -> Mask:
    """Single pixels missing at random."""
    return np.random.default_rng(seed).random((height, width)) > missing


def striped(height: int, width: int, period: int = 16, missing: int = 4) -> Mask:
    """Stripes missing, as in Landsat 7 since 2003."""
    row, col = np.mgrid[:height, :width]
    return (col + 2 * row) % period >= missing


def clouded(height: int, width: int, clouds: int = 12, seed: int = 0) -> Mask:
    """Round holes."""
    rng = np.random.default_rng(seed)
    row, col = np.mgrid[:height, :width]
    valid = np.ones((height, width), bool)
    for _ in range(clouds):
        y, x, radius = rng.random(3) * (height, width, 0.15 * width)
        valid &= (row - y) ** 2 + (col - x) ** 2 > radius**2
    return valid


def write_holed(
    path: Path, valid: Mask, sign: str = 'nodata', grid: str = 'utm', overviews: bool = False
) -> Path:
    """Write a raster of three bands with data where it is valid.

    Args:
        path: Where to.
        valid: True where there is data, (H, W).
        sign: One of :data:`SIGNS`.
        grid: One of :data:`GRIDS`.
        overviews: Whether it has overviews.
    """
    pixels = np.random.default_rng(1).integers(1, 255, (3, *valid.shape), dtype=np.uint8)
    cover = np.where(valid, 255, 0).astype(np.uint8)
    options: dict = {'overviews': (2, 4) if overviews else ()}
    if sign == 'nodata':
        pixels, options = np.where(valid, pixels, 0).astype(np.uint8), options | {'nodata': 0}
    elif 'nan' in sign:
        pixels = np.where(valid, pixels, np.nan).astype(np.float32)
        options |= {'nodata': np.nan} if sign == 'declared_nan' else {}
    elif sign == 'alpha':
        pixels, options = np.stack([*pixels, cover]), options | {'colours': RGBA}
    elif sign == 'fifth_band':
        colours = (*RGBA[:3], ColorInterp.undefined, ColorInterp.alpha)
        pixels, options = np.stack([*pixels, pixels[0], cover]), options | {'colours': colours}
    else:
        options |= {'mask': cover}
    crs, transform = GRIDS[grid]
    return write_raster(path, pixels, crs, transform, **options)
