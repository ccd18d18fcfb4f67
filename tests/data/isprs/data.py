"""Write a tiny Potsdam and a tiny Vaihingen as TorchGeo's classes unpack them."""

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.transform import from_origin

from ..stack.data import write_raster

#: Colours of the classes: clutter, impervious, building, low vegetation, tree, car.
COLOURS = (
    *((255, 0, 0), (255, 255, 255), (0, 0, 255)),
    *((0, 255, 255), (0, 255, 0), (255, 255, 0)),
)

#: Values of the bands, in the order of the files.
POTSDAM = {'red': 40, 'green': 90, 'blue': 160, 'nir': 200}
VAIHINGEN = {'nir': 200, 'red': 40, 'green': 90}

#: Images of each set: two of train, of other sizes, and one of test.
SIDES = {'2_10': (64, 64), '7_9': (64, 64), '7_13': (64, 64)}
AREAS = {'area1': (96, 64), 'area3': (64, 80), 'area38': (64, 64)}


def labels(height: int, width: int) -> NDArray[np.uint8]:
    """Make the classes of an image, in stripes of eight columns, (height, width)."""
    return np.broadcast_to(np.arange(width) // 8 % len(COLOURS), (height, width)).astype(np.uint8)


def _image(values: dict[str, int], height: int, width: int) -> NDArray[np.uint8]:
    flat = np.array(list(values.values()), np.uint8)[:, None, None]
    return np.broadcast_to(flat, (len(values), height, width))


def _mask(height: int, width: int) -> NDArray[np.uint8]:
    return np.array(COLOURS, np.uint8)[labels(height, width)].transpose(2, 0, 1)


def write_potsdam(root: Path) -> Path:
    """Write GeoTIFFs of four bands, the last of them marked alpha, and masks of colours."""
    grid = from_origin(366_000, 5_808_000, 0.05, 0.05)
    rgb = [ColorInterp.red, ColorInterp.green, ColorInterp.blue]
    for name, (height, width) in SIDES.items():
        image = root / '4_Ortho_RGBIR' / f'top_potsdam_{name}_RGBIR.tif'
        colours = [*rgb, ColorInterp.alpha]
        write_raster(image, _image(POTSDAM, height, width), grid=grid, colours=colours)
        mask = root / f'top_potsdam_{name}_label.tif'
        write_raster(mask, _mask(height, width), crs=None, grid=grid, colours=rgb)
    return root


def write_vaihingen(root: Path) -> Path:
    """Write TIFFs of three bands and of no place on Earth, and masks of colours."""
    grid = from_origin(0, 60, 1, 1)
    for name, (height, width) in AREAS.items():
        file = f'top_mosaic_09cm_{name}.tif'
        write_raster(root / 'top' / file, _image(VAIHINGEN, height, width), crs=None, grid=grid)
        write_raster(root / file, _mask(height, width), crs=None, grid=grid)
    return root


if __name__ == '__main__':
    write_potsdam(Path(sys.argv[1]) / 'potsdam')
    write_vaihingen(Path(sys.argv[1]) / 'vaihingen')
