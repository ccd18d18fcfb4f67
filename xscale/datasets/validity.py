"""Where a raster holds data: a coarse grid of shares, and what it promises of a window."""

import math
import zlib

import numpy as np
from numpy.typing import NDArray

#: Side of a cell in pixels of the raster, and the most cells along a side.
CELL, MOST = 64, 256


def pack_validity(valid: NDArray[np.bool_], width: int, height: int) -> bytes | None:
    """Reduce a thinned-out validity mask to a compressed grid of shares.

    Args:
        valid: True where there is data, (H, W), spread evenly over the raster.
        width: Columns of the raster.
        height: Rows of the raster.

    Returns:
        Numbers of rows and columns (uint16) and the share of each cell in 255ths, rounded down,
        deflated; None where every pixel is valid.
    """
    if valid.all():
        return None
    rows, cols = (
        min(MOST, math.ceil(side / CELL), count)
        for side, count in ((height, valid.shape[0]), (width, valid.shape[1]))
    )
    lines, columns = (
        np.arange(n) * count // n for n, count in ((rows, valid.shape[0]), (cols, valid.shape[1]))
    )
    counts = np.add.reduceat(np.add.reduceat(valid.astype(np.int64), lines, 0), columns, 1)
    sizes = np.outer(np.diff([*lines, valid.shape[0]]), np.diff([*columns, valid.shape[1]]))
    shares = (255 * counts // sizes).astype(np.uint8)
    return zlib.compress(np.array([rows, cols], np.uint16).tobytes() + shares.tobytes())


def unpack_validity(packed: bytes) -> NDArray[np.uint8]:
    """Return the grid of shares in 255ths, (rows, columns).

    Args:
        packed: What :func:`pack_validity` made.
    """
    raw = zlib.decompress(packed)
    rows, cols = np.frombuffer(raw, np.uint16, 2)
    return np.frombuffer(raw, np.uint8, offset=4).reshape(rows, cols)


def most_nodata(
    shares: NDArray[np.uint8] | None, width: int, height: int, col: float, row: float, extent: float
) -> float:
    """Bound the share of a square window that may hold no data, from above.

    A cell's missing pixels are taken to lie in the window as far as they fit there, and what
    reaches beyond the raster is missing.

    Args:
        shares: The grid of :func:`unpack_validity`; None where every pixel is valid.
        width: Columns of the raster.
        height: Rows of the raster.
        col: Left edge of the window in pixels.
        row: Upper edge.
        extent: Side in pixels.
    """
    inside = max(0.0, min(width, col + extent) - max(0.0, col))
    inside *= max(0.0, min(height, row + extent) - max(0.0, row))
    missing = extent * extent - inside
    if shares is not None:
        first_row, down = _covered(row, extent, height, shares.shape[0])
        first_col, across = _covered(col, extent, width, shares.shape[1])
        cells = shares[first_row : first_row + len(down), first_col : first_col + len(across)]
        area = width * height / shares.size
        holes = (255 - cells.astype(np.float64)) * (area / 255)
        missing += float(np.minimum(np.outer(down, across), holes).sum())
    return missing / (extent * extent)


def _covered(
    offset: float, extent: float, side: int, cells: int
) -> tuple[int, NDArray[np.float64]]:
    """Return the first cell a window covers along one axis, and how many pixels of each."""
    cell = side / cells
    low, high = max(0.0, offset), min(float(side), offset + extent)
    first, last = int(low / cell), min(cells, math.ceil(high / cell - 1e-9))
    edges = np.arange(first, max(last, first) + 1) * cell
    covered = np.minimum(edges[1:], high) - np.maximum(edges[:-1], low)
    return first, np.clip(covered, 0, None)
