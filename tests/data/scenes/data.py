"""Write tiny scenes whose bands lie in files of their own, laid out and named as delivered."""

import sys
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.transform import from_origin

from ..stack.data import write_raster

#: Bands of a level-2A product of Sentinel-2 by the folder of their pixels in metres.
SAFE = {
    10: ('B02', 'B03', 'B04', 'B08', 'AOT', 'TCI', 'WVP'),
    20: ('B02', 'B03', 'B04', 'B05', 'B8A', 'B11', 'AOT', 'SCL', 'TCI', 'WVP'),
    60: ('B01', 'B02', 'B03', 'B04', 'B09', 'AOT', 'SCL', 'TCI', 'WVP'),
}

#: Pixels of its bands before level 2A, which all lie in one folder.
LEVEL_1C = {10: ('B02', 'B03', 'B04', 'B08'), 20: ('B05', 'B8A'), 60: ('B01', 'B10'), 320: ('PVI',)}

TILE = 'T33UUP_20170613T101031'

#: Side of a tile of Sentinel-2 in metres, of which 10, 20 and 60 are parts.
SIDE = 2400

LANDSAT = '218074_20190114_20200829_02_T1'

#: Bands of Landsat 8 and 9 at level 2.
SURFACE = (*(f'SR_B{number}' for number in range(1, 8)), 'ST_B10')


def write_jp2(path: Path, pixels: NDArray[np.integer], gsd: float) -> Path:
    """Write JPEG 2000 without loss, in UTM zone 33.

    Args:
        path: Where to; its folder is made.
        pixels: Values, (C, H, W) or (H, W).
        gsd: Metres per pixel.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = pixels.reshape(-1, *pixels.shape[-2:])
    count, height, width = pixels.shape
    shape = {'count': count, 'height': height, 'width': width, 'dtype': pixels.dtype}
    place = {'crs': 'EPSG:32633', 'transform': from_origin(300_000, 5_400_000, gsd, gsd)}
    lossless = {'QUALITY': '100', 'REVERSIBLE': 'YES', 'YCBCR420': 'NO'}
    with rasterio.open(path, 'w', 'JP2OpenJPEG', **shape, **place, **lossless) as out:
        out.write(pixels)
    return path


def write_sentinel2(folder: Path, level: str = '2A', seed: int = 0) -> Path:
    """Write a product of Sentinel-2 as the agency delivers it, with its previews and masks.

    Args:
        folder: Where to.
        level: '2A' or '1C'.
        seed: Of the pixels; 1 of 20 of them is 0, no data.

    Returns:
        The folder of its images.
    """
    rng = np.random.default_rng(seed)
    product = folder / f'S2A_MSIL{level}_20170613T101031_N0205_R022_T33UUP_20170613T101608.SAFE'
    granule = product / f'GRANULE/L{level}_T33UUP_A010318_20170613T101608'
    for metres, bands in (SAFE if level == '2A' else LEVEL_1C).items():
        side = SIDE // metres
        for band in bands:
            pixels = rng.integers(1, 4000, (side, side), dtype=np.uint16)
            pixels *= rng.random(pixels.shape) > 0.05
            if band in ('TCI', 'PVI', 'SCL'):
                pixels = rng.integers(0, 255, (1 if band == 'SCL' else 3, side, side), np.uint8)
            name = f'R{metres}m/{TILE}_{band}_{metres}m' if level == '2A' else f'{TILE}_{band}'
            inside = 'QI_DATA' if band == 'PVI' else 'IMG_DATA'
            write_jp2(granule / inside / f'{name}.jp2', pixels, metres)
    mask = rng.integers(0, 100, (SIDE // 20, SIDE // 20), np.uint8)
    write_jp2(granule / 'QI_DATA' / 'MSK_CLDPRB_20m.jp2', mask, 20)
    return granule / 'IMG_DATA'


def write_landsat(folder: Path, sensor: str = 'LC08', level: str = 'L2SP', seed: int = 0) -> Path:
    """Write a scene of Landsat's Collection 2: 30 m, and at level 1 the panchromatic of 15 m.

    Args:
        folder: Where to.
        sensor: Such as 'LC08', of which bands 1 to 7 and the thermal one are written.
        level: 'L2SP' or 'L1TP'.
        seed: Of the pixels; a corner of them is 0, no data.

    Returns:
        The beginning of the names of its files.
    """
    rng = np.random.default_rng(seed)
    start = folder / f'{sensor}_{level}_{LANDSAT}'
    bands = SURFACE if level == 'L2SP' else tuple(f'B{number}' for number in range(1, 12))
    for band in (*bands, 'QA_PIXEL'):
        metres = 15 if band == 'B8' else 30
        side = 3600 // metres
        pixels = rng.integers(5000, 20000, (side, side), dtype=np.uint16)
        pixels[np.tri(side, k=-side // 2, dtype=bool)] = 0
        grid = from_origin(400_000, 7_900_000, metres, metres)
        write_raster(Path(f'{start}_{band}.TIF'), pixels, 'EPSG:32723', grid, nodata=0)
    return start


def write_naip(folder: Path) -> Path:
    """Write a quarter quad of NAIP, whose four bands lie in one file.

    Args:
        folder: Where to.
    """
    pixels = np.random.default_rng(0).integers(1, 255, (4, 120, 120), dtype=np.uint8)
    grid = from_origin(350_000, 4_050_000, 0.6, 0.6)
    path = folder / 'm_3807511_ne_18_060_20181104_20190410.tif'
    return write_raster(path, pixels, 'EPSG:32618', grid)


if __name__ == '__main__':
    write_sentinel2(Path(sys.argv[1] if len(sys.argv) > 1 else '.'))
    write_landsat(Path(sys.argv[1] if len(sys.argv) > 1 else '.'))
