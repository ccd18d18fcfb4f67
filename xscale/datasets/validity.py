"""Where a raster holds data: a coarse grid of shares, and what it promises of a window."""

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Side of a cell in pixels of the thinned-out copy that is looked at.
CELL = 8

#: Shares of a cell without data that are told apart; one in between counts as the next larger.
LEVELS = np.array([0, 1, 2, 3, 4, 6, 8, 11, 14, 18, 23, 29, 36, 44, 54, 64]) / CELL**2

#: Deflated without a checksum: computing it takes longer than all else, and a draw needs a grid.
RAW = -15


@dataclass(frozen=True, slots=True)
class Validity:
    """Where a raster lacks data.

    Attributes:
        shape: Height and width of the thinned-out copy that was looked at; the raster's own where
            that is small enough to be looked at whole.
        levels: Share of each cell of 8 × 8 of its pixels that holds no data, rounded up to one of
            :data:`LEVELS`, (rows, columns).
    """

    shape: tuple[int, int]
    levels: NDArray[np.uint8]


def pack_validity(valid: NDArray[np.bool_]) -> bytes | None:
    """Reduce a thinned-out validity mask to a compressed grid of shares.

    Args:
        valid: True where there is data, (H, W), spread evenly over the raster.

    Returns:
        What :func:`unpack_validity` reads, the same for the same mask and no other; None where
        every pixel is valid.
    """
    if valid.all():
        return None
    starts = [np.arange(0, side, CELL) for side in valid.shape]
    missing = np.add.reduceat(np.add.reduceat(~valid, starts[0], 0, int), starts[1], 1)
    sides = [np.diff([*start, side]) for start, side in zip(starts, valid.shape, strict=True)]
    levels = np.searchsorted(LEVELS, missing / np.outer(*sides)).astype(np.uint8)
    shape = np.array(valid.shape, np.uint16)
    # Rasters with the same holes are told by it: those of like grids may have others.
    check = zlib.crc32(np.packbits(valid)).to_bytes(4)
    return shape.tobytes() + check + zlib.compress(levels.tobytes(), 9, RAW)


def unpack_validity(packed: bytes) -> Validity:
    """Return the grid that was packed.

    Args:
        packed: What :func:`pack_validity` made.
    """
    height, width = np.frombuffer(packed, np.uint16, 2).tolist()
    rows, columns = -(-height // CELL), -(-width // CELL)
    levels = np.frombuffer(zlib.decompress(packed[8:], RAW, rows * columns), np.uint8)
    return Validity((height, width), levels.reshape(rows, columns))


def join_validity(grids: Sequence[Validity]) -> Validity:
    """Bound from above what several rasters on one grid lack together.

    Args:
        grids: Where each lacks data; in a cell they are taken to lack different pixels.
    """
    missing = sum(LEVELS[grid.levels] for grid in grids)
    levels = np.searchsorted(LEVELS, np.minimum(missing, 1)).astype(np.uint8)
    return Validity(grids[0].shape, levels)


def most_nodata(
    validity: Validity | None, sides: Sequence[int], col: float, row: float, extent: float
) -> float:
    """Bound the share of a square window that may hold no data, from above.

    A cell's missing pixels are taken to lie in the window as far as they fit there, and what
    reaches beyond the raster is missing. It holds for a raster that was looked at whole; of a
    larger one every so many-th pixel was looked at, and smaller holes may be missed.

    Args:
        validity: Where the raster lacks data; None where every pixel is valid.
        sides: Columns and rows of the raster.
        col: Left edge of the window in pixels.
        row: Upper edge.
        extent: Side in pixels.
    """
    width, height = (
        max(0.0, min(side, offset + extent) - max(0.0, offset))
        for side, offset in zip(sides, (col, row), strict=True)
    )
    missing = extent * extent - width * height
    if validity is not None and width * height > 0:
        down, rows, heights = _covered(row, extent, sides[1], validity.shape[0])
        across, columns, widths = _covered(col, extent, sides[0], validity.shape[1])
        levels = validity.levels[rows, columns]
        if levels.any():
            holes = LEVELS[levels] * (heights[:, None] * widths)
            missing += float(np.minimum(down[:, None] * across, holes).sum())
    return missing / (extent * extent)


def _covered(
    offset: float, extent: float, side: int, thinned: int
) -> tuple[NDArray[np.float64], slice, NDArray[np.float64]]:
    """Find the cells a window covers along one axis.

    Returns:
        How many pixels of each it covers, which cells these are, and how many pixels they have.
    """
    cell, cells = CELL * side / thinned, -(-thinned // CELL)
    low, high = max(0.0, offset), min(float(side), offset + extent)
    first, last = min(int(low / cell), cells - 1), min(math.ceil(high / cell), cells)
    edges = np.arange(first, last + 1) * cell
    edges[-1] = min(edges[-1], side)
    sizes = edges[1:] - edges[:-1]
    covered = sizes.copy()
    covered[0] -= low - edges[0]
    covered[-1] -= edges[-1] - high
    return covered, slice(first, last), sizes
