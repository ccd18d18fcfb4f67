"""Which rasters show the same ground at another ground sample distance?"""

import math
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from ..datasets.files import Files
from .regions import TURNS

#: Nanoseconds of a day.
DAY = 86_400e9

#: A span of time this long is that of a raster without a date.
UNKNOWN = 500 * 365 * DAY

#: Partners of one footprint that a raster has at most, those of the nearest dates.
MOST = 16

#: Rasters whose partners are looked for at once.
MANY = 2**14


@dataclass(frozen=True, slots=True)
class Partners:
    """Pairs of rasters that show the same ground.

    Attributes:
        fine: Row of the finer raster of each pair, ascending, (P,).
        coarse: Row of the coarser one, (P,).
        share: Share of the finer one's box that the other covers, (P,).
        days: Days between them; NaN where a date is not known, (P,).
    """

    fine: NDArray[np.int64]
    coarse: NDArray[np.int64]
    share: NDArray[np.float64]
    days: NDArray[np.float64]

    def __len__(self) -> int:
        """Count the pairs."""
        return len(self.fine)

    def take(self, which: NDArray[np.bool_]) -> 'Partners':
        """Return some of the pairs.

        Args:
            which: True for those, (P,).
        """
        return Partners(self.fine[which], self.coarse[which], self.share[which], self.days[which])


def find_partners(
    files: Files,
    ratio: tuple[float, float] = (1.2, math.inf),
    max_days: float | None = None,
) -> Partners:
    """Pair every raster with coarser ones of the same ground.

    Args:
        files: The rasters.
        ratio: Least and largest ground sample distance of the coarser over that of the finer.
        max_days: Days that may lie between them; any number by default. A raster whose date is
            not known pairs with any.
    """
    boxes = shapely.box(*files.bounds.T)
    tree = shapely.STRtree(boxes)
    # A box beyond 180 degrees is looked for a turn around the globe from there, too.
    turns = TURNS if np.abs(files.bounds[:, ::2]).max(initial=0) > 180 else TURNS[:1]
    found = []
    for start in range(0, len(boxes), MANY):
        rows = np.arange(start, min(start + MANY, len(boxes)))
        for turn in turns:
            moved = shapely.transform(boxes[rows], lambda place, by=(turn, 0): place + by)
            own, other = tree.query(moved, predicate='intersects')
            found.append(_fitting(files, rows[own], other, turn, ratio, max_days))
    fine, coarse, share, days = (np.concatenate(part) for part in zip(*found, strict=True))
    order = np.lexsort([coarse, fine])
    return Partners(fine[order], coarse[order], share[order], days[order])


def _fitting(
    files: Files,
    fine: NDArray[np.int64],
    coarse: NDArray[np.int64],
    turn: float,
    ratio: tuple[float, float],
    max_days: float | None,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Keep the pairs whose ground sample distances and dates fit."""
    scale = files.gsd[coarse] / files.gsd[fine]
    fits = (scale >= ratio[0]) & (scale <= ratio[1])
    fine, coarse = fine[fits], coarse[fits]
    days = days_apart(files.times[fine], files.times[coarse])
    share = _covered(files.bounds[fine] + np.array([turn, 0, turn, 0]), files.bounds[coarse])
    fits = share > 0
    if max_days is not None:
        fits &= ~(days > max_days)
    fine, coarse, share, days = fine[fits], coarse[fits], share[fits], days[fits]
    # Rasters of one footprint, such as the dates of a granule.
    place = np.unique(files.bounds[coarse].round(4), axis=0, return_inverse=True)[1].ravel()
    order = np.lexsort([coarse, days, place, fine])
    pair = fine[order] * (len(order) + 1) + place[order]
    # The number of each pair among those of its finer raster and its place.
    near = order[np.arange(len(order)) - np.searchsorted(pair, pair) < MOST]
    return fine[near], coarse[near], share[near], days[near]


def days_apart(one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.float64]:
    """Count the days between spans of time.

    Args:
        one: First and last moment in nanoseconds, (N, 2).
        other: Likewise.

    Returns:
        Whole days, 0 where they overlap; NaN where one is not known, (N,).
    """
    # Times without a date span all that 64 bits hold, and their difference more than that.
    (start, stop), (begin, end) = one.T.astype(np.float64), other.T.astype(np.float64)
    gap = np.maximum(begin - stop, start - end) / DAY
    known = np.maximum(stop - start, end - begin) < UNKNOWN
    return np.where(known, np.ceil(np.clip(gap, 0, None)), np.nan)


def _covered(box: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Measure the share of each box that another covers, (N,)."""
    low, high = np.maximum(box[:, :2], other[:, :2]), np.minimum(box[:, 2:], other[:, 2:])
    return np.clip(high - low, 0, None).prod(1) / (box[:, 2:] - box[:, :2]).prod(1)
