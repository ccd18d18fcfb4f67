"""The globe in square blocks of ground, some of which are kept apart for validation."""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import shapely
from numpy.typing import NDArray

#: Metres of a degree of latitude.
DEGREE = 111_320.0

#: Rasters whose blocks are looked at together; each may touch hundreds.
MANY = 2**16

#: Rows of blocks are this far apart in the number of a block.
ROW = 2**32


@dataclass(frozen=True, slots=True)
class Blocks:
    """Ground of one part of the data: a region for the sampler.

    A training tile touches no kept block; a validation tile lies wholly inside them. So no two
    share ground, whatever rasters, sensors and dates they are from.

    Attributes:
        side: Side of a block in metres.
        kept: Numbers of the blocks kept for validation.
        part: Whose tiles these are.
    """

    side: float
    kept: frozenset[int]
    part: Literal['train', 'validation']

    def shares(self, bounds: NDArray[np.float64]) -> NDArray[np.float64]:
        """Count how many of the blocks that each raster touches are this part's."""
        kept = np.fromiter(self.kept, np.int64, len(self.kept))
        shares = []
        for part in np.split(bounds, range(MANY, len(bounds), MANY)):
            owner, row, col = touched(part, self.side)
            own = np.isin(numbers(row, col, self.side), kept, invert=self.part == 'train')
            shares.append(np.bincount(owner, own) / np.bincount(owner))
        return np.concatenate(shares)

    def within(self, bounds: NDArray[np.float64]) -> shapely.Geometry | None:
        """Return the kept blocks a raster touches; training tiles lie nearly anywhere."""
        if self.part == 'train':
            return None
        _, row, col = touched(bounds[None], self.side)
        kept = [number in self.kept for number in numbers(row, col, self.side).tolist()]
        boxes = shapely.box(*boxes_of(row[kept], col[kept], self.side).T)
        return shapely.intersection(shapely.union_all(boxes), shapely.box(*bounds))

    def holds(self, box: NDArray[np.float64]) -> bool:
        """Tell whether a tile lies in this part's ground."""
        kept = [number in self.kept for number in blocks_of(box, self.side)]
        return all(kept) if self.part == 'validation' else not any(kept)


@lru_cache(maxsize=4096)
def around(row: int, side: float) -> int:
    """Count the blocks of a row around the globe; their rows are of equal latitude.

    Args:
        row: The row, from the equator.
        side: Side of a block in metres.
    """
    latitude = min(max((row + 0.5) * side / DEGREE, -90), 90)
    return max(1, math.floor(360 * DEGREE * math.cos(math.radians(latitude)) / side))


def blocks_of(box: NDArray[np.float64], side: float) -> list[int]:
    """Return the numbers of the blocks that a box touches.

    Args:
        box: West, south, east, north in degrees, (4,).
        side: Side of a block in metres.
    """
    west, south, east, north = box.tolist()
    found = []
    for row in range(math.floor(south * DEGREE / side), math.floor(north * DEGREE / side) + 1):
        count = around(row, side)
        first, last = (math.floor((lon + 180) / 360 * count) for lon in (west, east))
        found += [row * ROW + col % count for col in range(first, last + 1)]
    return found


def touched(
    boxes: NDArray[np.float64], side: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Find the blocks that each of many boxes touches.

    Args:
        boxes: West, south, east, north in degrees, (N, 4).
        side: Side of a block in metres.

    Returns:
        The box, row and column of each touch, (M,); beyond 180 degrees columns count on.
    """
    south, north = np.floor(boxes[:, 1::2].T * DEGREE / side).astype(np.int64)
    box, row = _ranges(south, north)
    west, east = (boxes[box, ::2].T + 180) / 360 * _around(row, side)
    touch, col = _ranges(np.floor(west).astype(np.int64), np.floor(east).astype(np.int64))
    return box[touch], row[touch], col


def _ranges(
    first: NDArray[np.int64], last: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the whole numbers of many ranges one after another, and which range each is of."""
    counts = last - first + 1
    owner = np.repeat(np.arange(len(first)), counts)
    return owner, np.arange(len(owner)) - (counts.cumsum() - counts - first)[owner]


def _around(row: NDArray[np.int64], side: float) -> NDArray[np.int64]:
    rows, at = np.unique(row, return_inverse=True)
    return np.array([around(one, side) for one in rows.tolist()], np.int64)[at]


def numbers(row: NDArray[np.int64], col: NDArray[np.int64], side: float) -> NDArray[np.int64]:
    """Number blocks.

    Args:
        row: Their rows, (N,).
        col: Their columns, (N,).
        side: Side of a block in metres.
    """
    return row * ROW + col % _around(row, side)


def boxes_of(row: NDArray[np.int64], col: NDArray[np.int64], side: float) -> NDArray[np.float64]:
    """Return west, south, east, north of blocks in degrees, (N, 4).

    Args:
        row: Their rows, (N,).
        col: Their columns, (N,).
        side: Side of a block in metres.
    """
    wide, tall = 360 / _around(row, side), side / DEGREE
    west = col * wide - 180
    return np.column_stack([west, row * tall, west + wide, (row + 1) * tall])
