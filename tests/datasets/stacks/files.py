"""Bands in files of their own, rules for them, and tiles of them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xscale.datasets import Rasters, TileSlice
from xscale.datasets.files import Row
from xscale.datasets.windows import Tile

from ...data.stack.data import write_raster

TIMES = slice(pd.Timestamp.min, pd.Timestamp.max)

RGB = ('red', 'green', 'blue')

LETTERS = "{match: '*_{band}.tif', name: mine, bands: {B: blue, G: green, R: red}}"

PIXELS = np.random.default_rng(3).integers(10, 255, (3, 240, 320), dtype=np.uint8)


def tile(dataset: Rasters, col: float, row: float, extent: float, size: int) -> TileSlice:
    anywhere = slice(0, 1), slice(0, 1), TIMES
    return TileSlice(anywhere, Tile(0, col, row, extent, size), 1.0)


def rules(folder: Path, *entries: str) -> Path:
    path = folder / 'rules.yaml'
    path.write_text('rules:\n' + ''.join(f'  - {entry}\n' for entry in entries))
    return path


def names(rows: Sequence[Row]) -> list[str]:
    return [Path(row['filepath']).name for row in rows]


def separate(
    folder: Path, pixels: NDArray, crs: str = 'EPSG:32633', *, names: str = 'BGR', **options: object
) -> Path:
    """Write the bands of a raster one by one, as ``x_B.tif`` and so on."""
    for name, band in zip(names, pixels, strict=True):
        write_raster(folder / f'x_{name}.tif', band, crs, **options)
    return folder
