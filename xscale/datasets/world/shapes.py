"""Shapes on the ground: how they are cut, and the list of them that becomes a world."""

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import LineString, Polygon

from .materials import MATERIAL_ID


def frame(line: LineString, along: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where a line is, and where it heads, at a distance along it.

    Args:
        line: The line.
        along: Metres from its start.

    Returns:
        Point and unit direction, (2,) each.
    """
    ends = shapely.line_interpolate_point(
        line, [along, max(along - 1, 0), min(along + 1, line.length)]
    )
    point, before, after = shapely.get_coordinates(ends)
    return point, (after - before) / max(np.hypot(*(after - before)), 1e-9)


def rectangle(centre: NDArray, axis: NDArray, length: float, width: float) -> Polygon:
    """Rectangle whose length lies along an axis.

    Args:
        centre: Its middle (2,).
        axis: Unit vector (2,).
        length: Metres along the axis.
        width: Metres across it.
    """
    a, b = axis * length / 2, np.array([-axis[1], axis[0]]) * width / 2
    return Polygon([centre + a + b, centre - a + b, centre - a - b, centre + a - b])


def long_axis(polygon: Polygon) -> NDArray[np.float64]:
    """Unit vector (2,) along the longer side of the smallest rectangle around a polygon.

    Args:
        polygon: The polygon.
    """
    corners = shapely.get_coordinates(shapely.oriented_envelope(polygon))
    sides = np.diff(corners[:3], axis=0)
    side = sides[np.hypot(*sides.T).argmax()]
    return side / np.hypot(*side)


def list_polygons(geometry: shapely.Geometry) -> list[Polygon]:
    """List the polygons of a geometry that are worth drawing, those above 100 square metres.

    Args:
        geometry: Any geometry.
    """
    return [p for p in shapely.get_parts(geometry) if p.geom_type == 'Polygon' and p.area > 100]


def split(polygon: Polygon, rng: np.random.Generator, area: float, skew: float) -> list[Polygon]:
    """Halve a polygon until its pieces are small.

    Args:
        polygon: The polygon.
        rng: Where the cuts are drawn from.
        area: Square metres that the pieces have, more or less.
        skew: Deviation of the cuts from a right angle, in radians.
    """
    done, todo = [], [polygon]
    while todo:
        piece = todo.pop()
        if piece.area < area * rng.uniform(0.7, 2.2):
            done.append(piece)
            continue
        axis = long_axis(piece)
        if rng.random() < 0.3:  # now and then lengthwise: strips
            axis = np.array([-axis[1], axis[0]])
        turn = rng.normal(0, skew)
        axis = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ axis
        size = 2 * np.sqrt(piece.area) + piece.length
        spread = shapely.get_coordinates(piece) @ axis
        cut = spread.min() + np.ptp(spread) * rng.uniform(0.36, 0.64)
        middle = np.array(piece.centroid.coords[0])
        half = rectangle(middle + axis * (cut - middle @ axis - size / 2), axis, size, 2 * size)
        todo += list_polygons(piece & half) + list_polygons(piece - half)
    return done


def blob(rng: np.random.Generator, centre: NDArray, radius: float) -> Polygon:
    """An irregular round shape: a lake, a copse, the limits of a village.

    Args:
        rng: Where its outline is drawn from.
        centre: Its middle (2,).
        radius: Metres, on average.
    """
    angle = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    waves = np.zeros_like(angle)
    for k in (2, 3, 5, 7):
        waves += 0.34 / k * np.sin(k * angle + rng.uniform(0, 6))
    ring = np.stack([np.cos(angle), np.sin(angle)], 1)
    return Polygon(centre + radius * (1 + waves).clip(0.3)[:, None] * ring)


class Shapes:
    """Surfaces in drawing order, and trees: what the builders fill and the renderer reads.

    Attributes:
        polygons: The surfaces; each hides those before it.
        rows: Material, axis (x, y), tone, hue and height of each surface.
        trees: Arrays (N, 4) of x, y, radius and species.
    """

    def __init__(self) -> None:
        self.polygons: list[Polygon] = []
        self.rows: list[tuple[float, ...]] = []
        self.trees: list[NDArray[np.float64]] = []

    def add(
        self, shape: shapely.Geometry, material: str, rng: np.random.Generator | None = None, *,
        axis: NDArray | None = None, tone: float = 0.1, height: float = 0.0,
    ) -> None:  # fmt: skip
        """Draw above all that was drawn before.

        Args:
            shape: Any geometry; only its polygons are drawn.
            material: Name of what covers it.
            rng: Varies brightness and hue; None leaves them alone.
            axis: Unit vector (2,) along the rows or the ridge; None for the long side.
            tone: Deviation of the brightness and of the hue.
            height: Metres above the ground.
        """
        varied = (0.0, 0.0) if rng is None else rng.normal(0, tone, 2)
        for polygon in shapely.get_parts(shape):
            if polygon.geom_type == 'Polygon' and not polygon.is_empty:
                x, y = long_axis(polygon) if axis is None else axis
                self.polygons.append(polygon)
                self.rows.append((MATERIAL_ID[material], x, y, *varied, height))

    def plant(self, points: NDArray, radius: NDArray, species: NDArray | int) -> None:
        """Add trees.

        Args:
            points: Where they stand (N, 2).
            radius: Metres of their crowns (N,).
            species: Row of `SPECIES` (N,), or one for all.
        """
        kind = np.broadcast_to(species, len(points))
        self.trees.append(np.column_stack([points, radius, kind]))
