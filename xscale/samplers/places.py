"""Places on one raster that lie in a region: where to look for them when there are few."""

import heapq
from itertools import count

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

from .. import geo

#: Most boxes that stand for a region on one raster.
MOST = 256

#: Longest straight line in degrees: it is none in other reference systems.
STRAIGHT = 0.05


def places_of(shape: shapely.Geometry, crs: str, transform: Affine) -> NDArray[np.float64]:
    """Find where a region lies on a raster.

    Args:
        shape: The part of the region that the raster reaches, in degrees.
        crs: CRS of the raster's grid.
        transform: Pixel (column, row) to CRS coordinates.

    Returns:
        Left, upper, right and lower edge in pixels of boxes that cover it, (N, 4).
    """
    return cover(on_grid(shape, crs, transform))


def on_grid(shape: shapely.Geometry, crs: str, transform: Affine) -> shapely.Geometry:
    """Return a shape in degrees in the pixels of a grid.

    Args:
        shape: The shape in degrees.
        crs: CRS of the grid.
        transform: Pixel (column, row) to CRS coordinates.
    """
    to_pixels, to_grid = ~transform, geo.transformer(geo.LONLAT, crs)

    def pixels(places: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.column_stack(geo.apply(to_pixels, *to_grid.transform(*places.T)))

    return shapely.transform(shapely.segmentize(shape, STRAIGHT), pixels)


def draw_place(
    generator: np.random.Generator,
    boxes: NDArray[np.float64],
    limits: tuple[float, float, float, float],
) -> tuple[float, float] | None:
    """Draw a place uniformly over boxes.

    Args:
        generator: Source of randomness.
        boxes: Boxes that do not overlap, (N, 4).
        limits: A box beyond which no place is wanted.

    Returns:
        The place (x, y); None if there is none.
    """
    which, across, down = generator.random(3)
    low, high = np.maximum(boxes[:, :2], limits[:2]), np.minimum(boxes[:, 2:], limits[2:])
    areas = np.clip(high - low, 0, None).prod(1).cumsum()
    if not len(areas) or areas[-1] <= 0:
        return None
    box = int(np.searchsorted(areas, which * areas[-1], side='right'))
    (x, y), (right, lower) = low[box].tolist(), high[box].tolist()
    return x + across * (right - x), y + down * (lower - y)


def cover(shape: shapely.Geometry) -> NDArray[np.float64]:
    """Cover a shape with boxes that do not overlap, until half of their area is the shape's.

    Args:
        shape: Polygons.

    Returns:
        Least x, least y, largest x, largest y of each box, (N, 4).
    """
    boxes: list[tuple[float, int, shapely.Geometry]] = []
    order = count()

    def add(part: shapely.Geometry) -> None:
        if part.area > 0:
            # The box with most room to spare comes first, as the most negative number.
            heapq.heappush(boxes, (part.area - shapely.box(*part.bounds).area, next(order), part))

    add(shape)
    while len(boxes) < MOST and sum(-spare for spare, _, _ in boxes) > shape.area:
        _, _, part = heapq.heappop(boxes)
        for half in _halves(part.bounds):
            add(shapely.clip_by_rect(part, *half))
    return np.array([part.bounds for _, _, part in boxes]).reshape(-1, 4)


def _halves(box: tuple[float, float, float, float]) -> list[tuple[float, float, float, float]]:
    """Cut a box in two across its longer side."""
    left, upper, right, lower = box
    x, y = (left + right) / 2, (upper + lower) / 2
    if right - left > lower - upper:
        return [(left, upper, x, lower), (x, upper, right, lower)]
    return [(left, upper, right, y), (left, y, right, lower)]
