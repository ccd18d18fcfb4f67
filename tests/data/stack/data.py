"""Write tiny rasters of several sensors, CRSs, GSDs and dtypes, and some that cannot be used."""

import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, Resampling
from rasterio.transform import from_origin
from rasterio.warp import transform

#: A bright square in ``degrees/oslo.tif``: first and last column and row, in source pixels.
SQUARE = (100, 110, 60, 68)

RGBA = (ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha)


def write_raster(
    path: Path,
    pixels: NDArray[Any],
    crs: str | None = 'EPSG:32633',
    grid: Affine | None = None,
    names: Sequence[str] = (),
    colours: Sequence[ColorInterp] = (),
    overviews: Sequence[int] = (),
    mask: NDArray[np.uint8] | None = None,
    **profile: Any,
) -> Path:
    """Write one GeoTIFF, by default 10 m in UTM zone 33.

    Args:
        path: Where to; its folder is made.
        pixels: Values, (C, H, W) or (H, W).
        crs: Reference system.
        grid: Pixel to coordinates.
        names: Band descriptions.
        colours: Colour interpretations.
        overviews: Factors of the overviews, averaged.
        mask: Internal mask, (H, W), 0 where there is no data.
        **profile: More for ``rasterio.open``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = pixels.reshape(-1, *pixels.shape[-2:])
    count, height, width = pixels.shape
    grid = grid or from_origin(500_000, 5_300_000, 10, 10)
    shape = {'count': count, 'height': height, 'width': width, 'dtype': pixels.dtype}
    profile = {'driver': 'GTiff', 'compress': 'deflate'} | profile
    inside = rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True)
    with inside, rasterio.open(path, 'w', crs=crs, transform=grid, **shape, **profile) as out:
        if names:
            out.descriptions = names
        if colours:
            out.colorinterp = colours
        out.write(pixels)
        if mask is not None:
            out.write_mask(mask)
    if overviews:
        with rasterio.open(path, 'r+') as out:
            out.build_overviews(list(overviews), Resampling.average)
    return path


def write(folder: Path) -> None:
    """Write the whole stack.

    Args:
        folder: Where to.
    """
    rng = np.random.default_rng(0)
    _write_good(folder, rng)
    _write_bad(folder / 'bad', rng)


def _write_good(folder: Path, rng: np.random.Generator) -> None:
    """Write the rasters that can be used."""
    write_raster(
        folder / 'sentinel2/T48QUE_20200223_10m.tif',
        rng.integers(1, 4000, (4, 300, 300), dtype=np.uint16),
        'EPSG:32648',
        from_origin(300_000, 2_000_000, 10, 10),
        ('B02', 'B03', 'B04', 'B08'),
        overviews=(2, 4),
        tiled=True,
        blockxsize=128,
        blockysize=128,
    )
    landsat = rng.integers(5000, 20000, (6, 120, 120), dtype=np.uint16)
    landsat[:, np.tri(120, k=-60, dtype=bool)] = 0
    write_raster(
        folder / 'landsat/LC08_20190825_30m.tif',
        landsat,
        'EPSG:32721',
        from_origin(400_000, 7_900_000, 30, 30),
        tuple(f'SR_B{number}' for number in range(2, 8)),
        nodata=0,
    )
    naip = rng.integers(1, 255, (4, 200, 200), dtype=np.uint8)
    naip[3, 50:90] = rng.integers(0, 3, (40, 200), dtype=np.uint8)
    write_raster(
        folder / 'naip/m_3607717_sw_18_1_20160620.tif',
        naip,
        'EPSG:32618',
        from_origin(350_000, 4_050_000, 1, 1),
        ('R', 'G', 'B', 'N'),
        RGBA,
    )
    x, y = transform('EPSG:4326', 'EPSG:3857', [-122.27], [37.87])
    write_raster(
        folder / 'mercator/berkeley.tif',
        rng.integers(0, 255, (3, 100, 100), dtype=np.uint8),
        'EPSG:3857',
        from_origin(x[0], y[0], 1.1943, 1.1943),
        colours=RGBA[:3],
    )
    oslo = rng.integers(100, 200, (4, 150, 200), dtype=np.uint16)
    left, right, top, bottom = SQUARE
    oslo[:, top:bottom, left:right] = 5000
    degrees = from_origin(10.7, 60.0, 1e-4, 1e-4)
    names = ('B2', 'B3', 'B4', 'B8')
    write_raster(folder / 'degrees/oslo.tif', oslo, 'EPSG:4326', degrees, names)
    height = rng.normal(300, 50, (90, 130)).astype(np.float32)
    height[20:40, 30:60] = np.nan
    write_raster(folder / 'float/height.tif', height, names=('height',))
    drone = rng.integers(0, 255, (4, 120, 120), dtype=np.uint8)
    drone[3] = 255
    drone[:, :30] = 0
    grid = from_origin(450_000, 4_500_000, 0.5, 0.5)
    write_raster(folder / 'rgba/drone.tif', drone, grid=grid, colours=RGBA)
    plain = rng.integers(-500, 500, (1, 100, 100), dtype=np.int16)
    plain[:, 70:, 70:] = -9999
    write_raster(folder / 'plain/plain.tif', plain, nodata=-9999)


def _write_bad(folder: Path, rng: np.random.Generator) -> None:
    """Write files that must be left out with a reason."""
    pixels = rng.integers(1, 255, (4, 40, 40), dtype=np.uint8)
    write_raster(folder / 'no_crs.tif', pixels, None)
    with warnings.catch_warnings(action='ignore'):
        write_raster(folder / 'no_georeference.tif', pixels, grid=Affine.identity())
    write_raster(folder / 'engineering_crs.tif', pixels, 'LOCAL_CS["site",UNIT["metre",1]]')
    metres = from_origin(500_000, 5_300_000, 10, 10)
    write_raster(folder / 'metres_as_degrees.tif', pixels, 'EPSG:4326', metres)
    globe = from_origin(-20, 56, 0.8, 0.8)
    write_raster(folder / 'globe.tif', pixels, 'EPSG:4326', globe)
    write_raster(folder / 'complex.tif', pixels[:1].astype(np.complex64))
    write_raster(folder / 'no_valid.tif', np.zeros_like(pixels), nodata=0)
    write_raster(folder / 'only_alpha.tif', np.full((9, 9), 255, np.uint8), colours=RGBA[3:])
    (folder / 'text.tif').write_text('I am no raster.')
    (folder / 'empty.tif').touch()
    # Cut off behind its overviews, which come first, so a thinned-out look finds nothing wrong.
    pixels = rng.integers(1, 255, (4, 600, 600), dtype=np.uint8)
    whole = write_raster(folder / 'truncated.tif', pixels, driver='COG', blocksize=128)
    whole.write_bytes(whole.read_bytes()[:-1000])


if __name__ == '__main__':
    write(Path(sys.argv[1] if len(sys.argv) > 1 else '.'))
