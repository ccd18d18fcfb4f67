"""What covers the land: fields, woods, hedges, houses, and the order they are drawn in."""

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import LineString, Polygon
from shapely.ops import substring

from .materials import CROPS
from .network import draw_river, draw_roads, draw_streets, draw_water, place_settlements
from .noise import fractal, noise
from .shapes import Shapes, blob, frame, list_polygons, long_axis, rectangle, split

_HALL = 26.0  # metres of street front from which a building is a hall


def _farm(
    shapes: Shapes,
    rng: np.random.Generator,
    faces: list[Polygon],
    towns: shapely.Geometry,
    salt: int,
) -> None:
    """Cut the land between roads and river into blocks, and those into parcels and woods."""
    west, south, east, north = shapely.total_bounds(faces)
    sample = np.arange(west, east, 100.0), np.arange(south, north, 100.0)
    least = np.quantile(fractal(*sample, (2300.0, 900.0), salt, 1.0), 0.78)
    for block in [b for face in faces for b in split(face, rng, 450_000, 0.12)]:
        if rng.random() < 0.75:
            shapes.add(block.exterior.buffer(1.7), 'track', rng)
        area = float(rng.choice([12_000, 30_000, 60_000, 110_000]))
        hedged = rng.random() < 0.3
        for parcel in split(block, rng, area, 0.015):
            x, y = np.array(parcel.representative_point().coords[0])
            wood = fractal(np.array([x]), np.array([y]), (2300.0, 900.0), salt, 1.0)[0, 0]
            if wood > least and not towns.intersects(parcel):
                _wood(shapes, rng, parcel)
            else:
                _field(shapes, rng, parcel)
        if hedged:
            _hedge(shapes, rng, block.buffer(-3.5), gap=0.25)
        copse = blob(rng, shapely.get_coordinates(block)[rng.integers(4)], rng.uniform(15, 90))
        if rng.random() < 0.5 and not towns.intersects(copse):
            _wood(shapes, rng, copse)


def _field(shapes: Shapes, rng: np.random.Generator, parcel: Polygon) -> None:
    """One parcel: a crop with rows along the parcel, and across them on the headlands."""
    crop = str(rng.choice(list(CROPS), p=list(CROPS.values())))
    shape, axis = parcel.buffer(-rng.uniform(0.8, 2.2)), long_axis(parcel)
    first = len(shapes.rows)
    shapes.add(shape, crop, rng, axis=np.array([-axis[1], axis[0]]))
    reach = shapely.get_coordinates(parcel) @ axis
    middle = np.array(parcel.centroid.coords[0])
    middle += axis * ((reach.max() + reach.min()) / 2 - middle @ axis)
    inner = shape & rectangle(middle, axis, max(np.ptp(reach) - 30, 1), 4000)
    shapes.add(inner, crop, axis=axis)
    for i in range(first + 1, len(shapes.rows)):  # the headland has its field's colour
        shapes.rows[i] = (*shapes.rows[i][:3], *shapes.rows[first][3:])
    if crop == 'orchard':
        _grove(shapes, rng, inner, axis, spacing=6.5, jitter=0.4, radius=1.9, conifers=-1)


def _wood(shapes: Shapes, rng: np.random.Generator, parcel: Polygon) -> None:
    """One forest compartment: its own mixture, age and spacing; a few are felled."""
    if rng.random() < 0.06:
        shapes.add(parcel.buffer(-1), 'clearcut', rng)
        return
    shapes.add(parcel.buffer(1), 'understorey', rng)
    radius = float(rng.choice([1.8, 2.8, 3.6, 4.4], p=[0.15, 0.3, 0.35, 0.2]))
    conifers = float(rng.choice([0.05, 0.35, 0.95]))
    axis = long_axis(parcel)
    _grove(shapes, rng, parcel, axis, 1.75 * radius, 0.5 * radius, radius, conifers)


def _grove(
    shapes: Shapes, rng: np.random.Generator, area: Polygon, axis: NDArray,
    spacing: float, jitter: float, radius: float, conifers: float,
) -> None:  # fmt: skip
    """Fill `area` with trees; `conifers` is their share, negative for garden trees only."""
    if area.is_empty:
        return
    west, south, east, north = area.bounds
    reach = np.hypot(east - west, north - south) / 2 + spacing
    step = np.arange(-reach, reach, spacing)
    u, v = (a.ravel() for a in np.meshgrid(step, step))
    points = np.column_stack([u * axis[0] - v * axis[1], u * axis[1] + v * axis[0]])
    points += rng.normal(0, jitter, points.shape)
    points += ((west + east) / 2, (south + north) / 2)
    points = points[shapely.contains_xy(area, *points.T)]
    species = 2 if conifers < 0 else (rng.random(len(points)) < conifers).astype(int)
    shapes.plant(points, radius * rng.lognormal(0, 0.22, len(points)), species)


def _hedge(shapes: Shapes, rng: np.random.Generator, area: shapely.Geometry, gap: float) -> None:
    """Bushes and trees around the edge of `area`, with gaps on a share of its length."""
    for ring in shapely.get_parts(shapely.boundary(area)):
        along = np.arange(0, ring.length, 3.6)
        along = along[noise(along, np.zeros(1), 70.0, int(rng.integers(1 << 16)))[0] > 2 * gap - 1]
        points = shapely.get_coordinates(shapely.line_interpolate_point(ring, along))
        points += rng.normal(0, 0.9, points.shape)
        shapes.plant(points, rng.lognormal(0.75, 0.35, len(points)), 2)


def _houses(
    shapes: Shapes, rng: np.random.Generator, streets: list[LineString],
    shores: shapely.Geometry, town: NDArray, radius: float,
) -> None:  # fmt: skip
    """Plots, houses and gardens on both sides of the streets; halls on one side of the town."""
    frames, fronts, houses, works = [], [], [], rng.normal(0, 1, 2)
    for street in streets:
        for side in (-1, 1):
            along = rng.uniform(8, 16)
            while along < street.length - 8:
                point, axis = frame(street, along)
                normal = side * np.array([-axis[1], axis[0]])
                rim = np.hypot(*(point - town)) / radius
                toward = (point - town) @ works / np.hypot(*works) / radius
                hall = toward > max(0.5, 150 / radius) and rng.random() < 0.4
                front = (
                    rng.uniform(30, 75) if hall else rng.uniform(9, 15) * (1.5 if rim < 0.3 else 1)
                )
                depth = front * rng.uniform(0.4, 0.6) if hall else rng.uniform(8, 11.5)
                back = depth / 2 + (14 if hall else rng.uniform(7, 11))
                frames.append((point, axis, normal))
                fronts.append(front)
                houses.append(rectangle(point + normal * back, axis, front, depth))
                along += front + rng.uniform(3, 12)
    clash = shapely.intersects(houses, shapely.union_all(streets).buffer(5.5) | shores)
    one, other = shapely.STRtree(houses).query(shapely.buffer(houses, 3), 'intersects')
    for i in range(len(houses)):  # first come, first served
        rivals = other[one == i]
        clash[i] |= np.any(~clash[rivals[rivals < i]])
    standing = np.flatnonzero(~clash).tolist()
    for i in standing:
        _plot(shapes, rng, *frames[i], fronts[i])
    for i in standing:  # above all plots, or a neighbour's lawn would hide a house
        _roof(shapes, rng, houses[i], *frames[i][1:], fronts[i])


def _plot(
    shapes: Shapes, rng: np.random.Generator, point: NDArray, axis: NDArray, normal: NDArray,
    front: float,
) -> None:  # fmt: skip
    """The ground around a house, from the street back: a garden and its trees, or a yard."""
    hall = front > _HALL
    depth = front * 1.1 if hall else rng.uniform(34, 52)
    ground = 'yard' if hall else str(rng.choice(['lawn', 'beds', 'yard'], p=[0.72, 0.2, 0.08]))
    plot = rectangle(point + normal * depth / 2, axis, front + (24 if hall else 9), depth)
    shapes.add(plot, ground, rng, axis=normal)
    if not hall:
        places = rng.uniform([-0.5 * front, 20], [0.5 * front, depth], (rng.integers(1, 6), 2))
        points = point + places @ np.stack([axis, normal])
        shapes.plant(points, rng.uniform(1.4, 3.6, len(points)), 2)


def _roof(
    shapes: Shapes, rng: np.random.Generator, house: Polygon, axis: NDArray, normal: NDArray,
    front: float,
) -> None:  # fmt: skip
    """A house, most often with its ridge along the street, and its drive; or a hall."""
    hall = front > _HALL
    roofs = [0.1, 0.1, 0.2, 0.6] if hall else [0.6, 0.22, 0.15, 0.03]
    roof = str(rng.choice(['red roof', 'brown roof', 'slate roof', 'metal roof'], p=roofs))
    ridge = axis if hall or rng.random() < 0.8 else normal
    if not hall:
        side = np.array(house.centroid.coords[0]) + axis * rng.uniform(-3, 3)
        shapes.add(rectangle(side - normal * 6, normal, 14, 3.2), 'yard', rng)
    shapes.add(house, roof, rng, axis=ridge, height=8.0 if hall else rng.uniform(5.5, 9))


def compose(shapes: Shapes, rng: np.random.Generator, extent: float, salt: int) -> None:
    """Draw the whole world, from the ground up.

    Args:
        shapes: Where to draw it.
        rng: Where it is drawn from.
        extent: Side of the world in metres.
        salt: Salt of the noise that says where woods are.
    """
    land = shapely.box(0, 0, extent, extent)
    shapes.add(land.buffer(2000), 'grass')
    river = draw_river(rng, extent)
    surface, lakes = draw_water(rng, river, extent)
    centres, radii = place_settlements(rng, river, extent)
    roads = draw_roads(rng, centres, extent)
    shores = shapely.union_all([surface, *lakes]).buffer(15)
    places = [
        draw_streets(rng, roads, blob(rng, centre, 1.1 * radius) - shores, radius)
        for centre, radius in zip(centres, radii, strict=True)
    ]
    grounds = [shapely.union_all(t + s).buffer(24, cap_style='flat') for t, s in places]
    towns = shapely.union_all(grounds)
    lines = shapely.union_all([land.exterior, LineString(river), *roads])
    _farm(shapes, rng, list_polygons(shapely.polygonize(shapely.get_parts(lines))), towns, salt)
    shapes.add(towns, 'grass')
    shapes.add(surface.buffer(14), 'bank', rng)
    shapes.add(shapely.union_all(lakes).buffer(9), 'bank', rng)
    _hedge(shapes, rng, surface.buffer(7), gap=0.5)
    _hedge(shapes, rng, shapely.union_all(lakes).buffer(7), gap=0.4)
    for (through, streets), centre, radius in zip(places, centres, radii, strict=True):
        if through:
            _houses(shapes, rng, through + streets, shores, centre, radius)
    shapes.add(shapely.union_all(lakes), 'lake')
    shapes.add(surface, 'river')
    shapes.add(
        shapely.union_all([s for _, streets in places for s in streets]).buffer(2.8), 'tarmac'
    )
    for road in roads:
        shapes.add(road.buffer(6.0), 'bank', rng)
        if rng.random() < 0.4:
            _hedge(shapes, rng, (road.buffer(8.5) - towns), gap=0.35)
    for road in roads:
        shapes.add(road.buffer(3.9), 'tarmac', rng, tone=0.06)
        dashes = [substring(road, a, a + 5) for a in np.arange(0, road.length, 12.0)]
        shapes.add(shapely.union_all(dashes).buffer(0.2), 'paint')
