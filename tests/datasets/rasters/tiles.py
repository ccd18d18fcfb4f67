"""Tiles of rasters, and the pixels they should show."""

from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.transform import from_origin
from rasterio.windows import Window

from xscale import geo
from xscale.datasets import Rasters, TileSlice
from xscale.datasets.windows import Tile

DEGREES = from_origin(10.7, 60.0, 1e-4, 1e-4)


def tile(
    dataset: Rasters, col: float, row: float, extent: float, size: int, number: int = 0
) -> TileSlice:
    """Name a tile; its gsd is the raster's times the zoom."""
    record = dataset.rows[number]
    window = (col, row, extent, extent)
    west, south, east, north = geo.footprint(
        record['grid'], Affine(*record['transform']), window
    ).tolist()
    day = dataset.index.index[number]
    slices = slice(west, east), slice(south, north), slice(day.left, day.right)
    return TileSlice(slices, Tile(number, col, row, extent, size), record['gsd'] * extent / size)


def bare(path: Path, col: int, row: int, size: int) -> NDArray[np.float32]:
    with rasterio.open(path) as source:
        return source.read(window=Window(col, row, size, size)).astype(np.float32)


def blocks(pixels: NDArray, factor: int) -> NDArray:
    """Average blocks of factor by factor pixels."""
    count, height, width = pixels.shape
    return pixels.reshape(count, height // factor, factor, width // factor, factor).mean((2, 4))
