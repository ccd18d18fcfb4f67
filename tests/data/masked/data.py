"""Write tiny folders of images with masks, and polygons."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from PIL import Image
from rasterio.transform import from_origin

from ..stack.data import write_raster

RGB = ('red', 'green', 'blue')


def grid_of(number: int) -> Affine:
    """Return the grid of an image: 0.5 m in UTM zone 33, each 1 km east of the one before."""
    return from_origin(500_000 + 1000 * number, 5_300_000, 0.5, 0.5)


def pixels(number: int, width: int = 40, height: int = 30, bands: int = 3) -> NDArray[np.uint8]:
    """Make an image, the same for the same number, (bands, height, width)."""
    rng = np.random.default_rng(number)
    return rng.integers(1, 255, (bands, height, width), dtype=np.uint8)


def labels(number: int, width: int = 40, height: int = 30, classes: int = 3) -> NDArray[np.uint8]:
    """Make a mask, the same for the same number, (height, width)."""
    rng = np.random.default_rng(1000 + number)
    return rng.integers(0, classes, (height, width), dtype=np.uint8)


def write_pair(
    root: Path, name: str, number: int, mask: NDArray[Any] | None = None, **image: Any
) -> Path:
    """Write ``images/NAME.tif`` and ``masks/NAME.tif`` of one grid; the image is returned."""
    values = pixels(number) if mask is None else pixels(number, mask.shape[1], mask.shape[0])
    mask = labels(number) if mask is None else mask
    options: dict[str, Any] = {'grid': grid_of(number), 'names': RGB} | image
    path = write_raster(root / 'images' / f'{name}.tif', values, **options)
    write_raster(root / 'masks' / f'{name}.tif', mask, grid=options['grid'])
    return path


def write_masked(
    folder: Path, splits: Sequence[str] = ('train', 'val', 'test'), each: int = 2
) -> Path:
    """Write ``SPLIT/{images,masks}/N.tif`` of three classes, 40 × 30 px of 0.5 m."""
    count = 0
    for split in splits:
        for number in range(each):
            write_pair(folder / split if split else folder, f'{number}', count)
            count += 1
    return folder


def write_png(path: Path, values: NDArray[Any], mode: str | None = None) -> Path:
    """Write a PNG, (H, W) or (H, W, 3); ``P`` writes the values as indices of colours."""
    path.parent.mkdir(parents=True, exist_ok=True)
    photo = Image.fromarray(values)
    if mode == 'P':
        photo = Image.frombytes('P', values.shape[::-1], values.tobytes())
        photo.putpalette([90, 20, 10, 4, 250, 77, 200, 1, 3])
    photo.save(path)
    return path


def write_polygons(
    path: Path, shapes: Sequence[Any], columns: Sequence[dict[str, Any]] = (), crs: str = ''
) -> Path:
    """Write GeoJSON of rings of (x, y), in degrees unless a CRS is named."""
    columns = columns or [{} for _ in shapes]
    features = [
        {'type': 'Feature', 'properties': row, 'geometry': {'type': 'Polygon', 'coordinates': ring}}
        for ring, row in zip(shapes, columns, strict=True)
    ]
    content: dict[str, Any] = {'type': 'FeatureCollection', 'features': features}
    if crs:
        content['crs'] = {'type': 'name', 'properties': {'name': crs}}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def box(grid: Affine, col: float, row: float, width: float, height: float) -> list[Any]:
    """Return the rings of a box in pixels of a grid, in the coordinates of the grid."""
    corners = [(0, 0), (1, 0), (1, 1), (0, 1), (0, 0)]
    return [
        [
            [grid.c + grid.a * (col + x * width), grid.f + grid.e * (row + y * height)]
            for x, y in corners
        ]
    ]


if __name__ == '__main__':
    write_masked(Path(sys.argv[1]))
