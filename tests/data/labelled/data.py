"""Write tiny folders of labelled images."""

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rasterio.transform import from_origin

from ..stack.data import write_raster

CLASSES = ('desert', 'forest')


def pixels(number: int, side: int = 12, bands: int = 3, top: int = 255) -> NDArray[np.integer]:
    """Make an image, the same for the same number, (bands, side, side)."""
    dtype = np.uint8 if top <= 255 else np.uint16
    rng = np.random.default_rng(number)
    return rng.integers(0, top, (bands, side, side), dtype=dtype, endpoint=True)


def write_photo(path: Path, number: int = 0, side: int = 12) -> Path:
    """Write a JPEG or PNG, by the suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = 'PNG' if path.suffix.lower() == '.png' else 'JPEG'
    Image.fromarray(pixels(number, side).transpose(1, 2, 0)).save(path, kind, quality=95)
    return path


def write_photos(folder: Path, each: int = 3, suffix: str = '.png') -> Path:
    """Write ``<split>/<class>/<n>`` of images of three bands."""
    for s, split in enumerate(('train', 'test')):
        for c, name in enumerate(CLASSES):
            for number in range(each):
                write_photo(folder / split / name / f'{number}{suffix}', 100 * s + 10 * c + number)
    return folder


def write_tiffs(folder: Path, each: int = 2, bands: int = 4) -> Path:
    """Write ``<split>/<class>/<n>.tif`` of 10 m in UTM, apart from one another by 1 km."""
    count = 0
    names = ('B02', 'B03', 'B04', 'B08')[:bands]
    for split in ('training', 'validation', 'test'):
        for name in CLASSES:
            for number in range(each):
                grid = from_origin(500_000 + 1000 * count, 5_300_000, 10, 10)
                values = pixels(count, bands=bands, top=4000)
                write_raster(
                    folder / split / name / f'{number}.TIF', values, grid=grid, names=names
                )
                count += 1
    return folder


if __name__ == '__main__':
    write_photos(Path(sys.argv[1]))
