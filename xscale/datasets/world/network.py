"""What holds the land together: the river, the settlements, the roads and the streets."""

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import LineString, Polygon
from shapely.ops import substring

from .shapes import blob, frame, list_polygons


def draw_river(rng: np.random.Generator, extent: float) -> NDArray[np.float64]:
    """Let a river meander from one side of the world to the opposite.

    Args:
        rng: Where its course is drawn from.
        extent: Side of the world in metres.

    Returns:
        Its centre line (N, 2).
    """
    t = np.arange(-600, extent + 600, 12.0)
    phase = 2 * np.pi * t / 950 + 1.6 * np.sin(
        2 * np.pi * t / rng.uniform(2500, 4000) + rng.uniform(0, 6)
    )
    swing = 150 + 90 * np.sin(2 * np.pi * t / 3100 + rng.uniform(0, 6))
    drift = 0.07 * extent * np.sin(2 * np.pi * t / (1.3 * extent) + rng.uniform(0, 6))
    line = np.stack(
        [
            t - 70 * np.sin(2 * phase),
            extent * rng.uniform(0.35, 0.65) + drift + swing * np.sin(phase),
        ],
        1,
    )
    return line[:, ::-1] if rng.random() < 0.5 else line


def draw_water(
    rng: np.random.Generator, river: NDArray, extent: float
) -> tuple[Polygon, list[Polygon]]:
    """Widen the river, and put a few lakes beside it.

    Args:
        rng: Where the lakes are drawn from.
        river: Centre line (N, 2).
        extent: Side of the world in metres.

    Returns:
        The river's surface, and the lakes.
    """
    pairs = shapely.linestrings(np.stack([river[:-1], river[1:]], 1))
    s = np.arange(len(pairs))
    surface = shapely.union_all(
        shapely.buffer(pairs, 19 + 5 * np.sin(s / 17) + 3 * np.sin(s / 7.3))
    )
    lakes = []
    for _ in range(max(1, round(extent / 2500))):
        bank = river[rng.integers(len(river))].clip(0.1 * extent, 0.9 * extent)
        centre = bank + rng.choice([-1, 1], 2) * rng.uniform(150, 300)
        lakes += list_polygons(blob(rng, centre, rng.uniform(70, 200)) - surface.buffer(35))
    return surface, lakes


def place_settlements(
    rng: np.random.Generator, river: NDArray, extent: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Place a town near the river, and villages far apart.

    Args:
        rng: Where the places are drawn from.
        river: Centre line (N, 2).
        extent: Side of the world in metres.

    Returns:
        Centres (N, 2) and radii (N,) in metres; the town comes first.
    """
    count = 1 + round(0.6 * (extent / 2560) ** 2)
    centres = [extent / 2 + rng.uniform(-0.12, 0.12, 2) * extent]
    centre = river[np.linalg.norm(river - centres[0], axis=1).argmin()]
    radii = np.append(np.clip(0.085 * extent, 150, 720), rng.uniform(150, 300, count - 1))
    offset = centres[0] - centre
    centres[0] = centre + offset / np.hypot(*offset) * (0.6 * radii[0] + 60)
    while len(centres) < count:
        tries = rng.uniform(0.08, 0.92, (40, 2)) * extent
        room = np.linalg.norm(tries[:, None] - np.array(centres), axis=-1).min(1)
        room = np.minimum(room, 4 * np.linalg.norm(tries[:, None] - river, axis=-1).min(1))
        centres.append(tries[room.argmax()])
    return np.array(centres), radii


def _road(rng: np.random.Generator, start: NDArray, end: NDArray) -> LineString:
    """A gently winding road between two points."""
    length = np.hypot(*(end - start))
    t = np.linspace(0, 1, max(8, int(length / 30)))[:, None]
    sway = sum(rng.normal(0, 0.05 * length / k**1.5) * np.sin(k * np.pi * t) for k in range(1, 7))
    normal = np.array([start[1] - end[1], end[0] - start[0]]) / length
    return LineString(start + (end - start) * t + sway * normal)


def draw_roads(rng: np.random.Generator, towns: NDArray, extent: float) -> list[LineString]:
    """Join the settlements to each other and to the world's four sides.

    Args:
        rng: Where the roads are drawn from.
        towns: Centres of the settlements (N, 2).
        extent: Side of the world in metres.
    """
    roads, joined = [], [0]
    while len(joined) < len(towns):
        gaps = np.linalg.norm(towns[joined][:, None] - towns[None], axis=-1)
        gaps[:, joined] = np.inf
        i, j = np.unravel_index(gaps.argmin(), gaps.shape)
        roads.append(_road(rng, towns[joined[i]], towns[j]))
        joined.append(int(j))
    for i, gaps in enumerate(np.linalg.norm(towns[:, None] - towns[None], axis=-1)):
        if len(towns) > 3 and i % 2:  # a second way out, so that the roads form loops
            roads.append(_road(rng, towns[i], towns[np.argsort(gaps)[2]]))
    for side in range(4):
        place = rng.uniform(0.2, 0.8) * extent
        edge = np.array(
            [(place, -1.0), (place, extent + 1), (-1.0, place), (extent + 1, place)][side]
        )
        nearest = np.linalg.norm(towns - edge, axis=1).argmin()
        roads.append(_road(rng, towns[nearest], edge))
    return roads


def draw_streets(
    rng: np.random.Generator, roads: list[LineString], area: shapely.Geometry, radius: float
) -> tuple[list[LineString], list[LineString]]:
    """Let streets branch off the roads through a settlement.

    Args:
        rng: Where the streets are drawn from.
        roads: All roads.
        area: The settlement's ground, that no street leaves.
        radius: Metres from its middle to its limits.

    Returns:
        The parts of the roads within `area`, and the streets.
    """
    through = [p for r in roads for p in shapely.get_parts(r & area) if p.length > 60]
    streets, limits = list(through), shapely.get_parts(area.boundary)
    for street in streets:  # the list grows while it is walked: branches have branches
        for along in np.arange(rng.uniform(20, 60), street.length - 20, 62.0):
            point, axis = frame(street, along + rng.uniform(-8, 8))
            for side in (-1, 1):
                turn = side * (np.pi / 2 + rng.normal(0, 0.1)) + np.arctan2(axis[1], axis[0])
                heading = turn + rng.normal(0, 0.25) * np.linspace(0, 1, 8)
                steps = (
                    np.stack([np.cos(heading), np.sin(heading)], 1)
                    * rng.uniform(90, 0.9 * radius)
                    / 8
                )
                path = LineString(point + np.cumsum(np.vstack([axis * 0, steps]), 0))
                net = shapely.multilinestrings([*streets, *limits])
                meets = shapely.line_locate_point(path, shapely.get_parts(path & net))
                branch = substring(path, 0, meets[meets > 5].min(initial=path.length))
                probes = shapely.line_interpolate_point(branch, [0.45, 0.6, 0.75], normalized=True)
                if branch.length > 70 and shapely.distance(probes, net).min() > 34:
                    streets.append(branch)
    return through, streets[len(through) :]
