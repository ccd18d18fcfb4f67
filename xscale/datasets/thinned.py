"""Look at a raster thinned out: every so many-th pixel, or some of its blocks.

A raster without overviews has to be read whole for every hundredth of its pixels. On a disk that
is fine; over a network a few of its blocks have to do.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.io import DatasetReader
from rasterio.vrt import WarpedVRT
from rasterio.warp import reproject
from rasterio.windows import Window

from .remote import is_fetched

#: Values that one look at a remote raster may unpack, more only where a single block holds more;
#: and blocks that are asked for one by one.
MOST_FETCHED, MOST_BLOCKS = 2**24, 64

#: GDAL takes an overview that is so much coarser than what is asked for.
COARSER = 1.2

type Source = DatasetReader | WarpedVRT

#: Along one axis: first pixel and number of pixels that are read, and pixels of the copy they are.
type Part = tuple[int, int, int]


def thinned(source: Source, indexes: Sequence[int], side: int) -> NDArray[Any]:
    """Read at most so many pixels a side, the values as they are.

    Args:
        source: The raster.
        indexes: Numbers of its bands.
        side: Rows and columns of the copy, fewer where the raster has fewer.

    Returns:
        Values, (bands, H, W). Of a remote raster whose overviews are too few, each of up to 64
        parts shows the block in its middle.
    """

    def read(window: Window | None, shape: tuple[int, int]) -> NDArray[Any]:
        size = len(indexes), *shape
        options: dict[str, Any] = {'window': window, 'resampling': Resampling.nearest}
        return source.read(list(indexes), out_shape=size, **options)

    shape = min(source.height, side), min(source.width, side)
    return _pieced(source, shape, len(indexes), read)


def thinned_mask(source: Source, index: int, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Read the mask that goes with :func:`thinned`.

    Args:
        source: The raster.
        index: Number of a band.
        shape: Rows and columns of the copy.

    Returns:
        0 where there is no data, (H, W).
    """
    return _pieced(
        source, shape, 1, lambda window, size: source.read_masks(index, None, size, window)
    )


def on_grid(
    valid: NDArray[np.bool_], source: DatasetReader, crs: str, grid: Affine, width: int, height: int
) -> NDArray[np.bool_]:
    """Find out where a raster holds data on another grid, without reading it again.

    Args:
        valid: Where a thinned-out copy of it holds data, (H, W).
        source: The raster.
        crs: CRS of the grid.
        grid: Pixel (column, row) to CRS coordinates.
        width: Columns.
        height: Rows.

    Returns:
        Where it does on the grid, thinned out to as many pixels a side, or fewer, (H, W).
    """
    side = max(valid.shape)
    there = np.zeros((min(height, side), min(width, side)), np.uint8)
    reproject(
        valid.astype(np.uint8),
        there,
        src_transform=_scaled(source.transform, (source.height, source.width), valid.shape),
        src_crs=source.crs,
        dst_transform=_scaled(grid, (height, width), there.shape),
        dst_crs=crs,
        resampling=Resampling.nearest,
    )
    return there > 0


def _scaled(transform: Affine, shape: tuple[int, int], copy: tuple[int, ...]) -> Affine:
    """Return the transform of a copy of another shape."""
    down, across = shape[0] / copy[0], shape[1] / copy[1]
    a, b, c, d, e, f = tuple(transform)[:6]
    return Affine(a * across, b * down, c, d * across, e * down, f)


def _pieced(
    source: Source,
    shape: tuple[int, int],
    bands: int,
    read: Callable[[Window | None, tuple[int, int]], NDArray[Any]],
) -> NDArray[Any]:
    """Read a thinned-out copy, whole or in pieces."""
    if not is_fetched(source.name) or _unpacked(source, shape, bands) <= MOST_FETCHED:
        return read(None, shape)
    sides, block = (source.height, source.width), source.block_shapes[0]
    most = min(MOST_BLOCKS, max(1, MOST_FETCHED // (block[0] * block[1] * bands)))
    rows, cols = _parts(sides, shape, block, most)
    lines = (
        [read(Window(col, row, width, height), (h, w)) for col, width, w in cols]
        for row, height, h in rows
    )
    return np.concatenate([np.concatenate(line, -1) for line in lines], -2)


def _unpacked(source: Source, shape: tuple[int, int], bands: int) -> float:
    """Count the values that GDAL unpacks for a thinned-out copy: those of the overview it takes."""
    zoom = min(source.height / shape[0], source.width / shape[1])
    factor = max([1, *(f for f in source.overviews(1) if f <= COARSER * zoom)])
    return bands * source.height * source.width / factor**2


def _parts(
    sides: tuple[int, int], shape: tuple[int, int], block: tuple[int, int], most: int
) -> tuple[list[Part], list[Part]]:
    """Cut both axes into parts no smaller than a block, alike where it can be."""
    limits = [
        min(size, math.ceil(side / length))
        for side, size, length in zip(sides, shape, block, strict=True)
    ]
    along = max(n for n in range(1, most + 1) if math.prod(min(n, m) for m in limits) <= most)
    rows, cols = (
        list(_middles(side, size, length, min(along, limit)))
        for side, size, length, limit in zip(sides, shape, block, limits, strict=True)
    )
    return rows, cols


def _middles(side: int, size: int, block: int, parts: int) -> Iterator[Part]:
    """Cut one axis into parts, and find the block in the middle of each.

    Args:
        side: Pixels of the raster.
        size: Pixels of the copy.
        block: Pixels of a block.
        parts: How many.
    """
    edges = np.arange(parts + 1) * size // parts
    for low, high in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        first, last = low * side // size, high * side // size
        begin = (first + last) // 2 // block * block
        start, stop = max(first, begin), min(last, begin + block)
        yield start, stop - start, high - low
