"""The world: a landscape, and the picture of it at any pixel size."""

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.features import rasterize
from rasterio.transform import from_origin

from .landscape import compose
from .materials import CLASSES, LABELS, SPECIES, TRAITS
from .noise import Float, fractal, lattice_values, noise
from .shapes import Shapes

#: Side of the smallest world, in metres.
MIN_EXTENT = 1280.0

_TILE = 1024  # pixels a side that are drawn at once
_SHADOW = np.array([-0.4, 0.75])  # metres of shadow, east and north, per metre of height
_SUN = -_SHADOW / np.hypot(*_SHADOW)
_SKYLIGHT = np.array([0.50, 0.42, 0.38, 0.42], np.float32)  # share of light left in the shade

Bounds = tuple[float, float, float, float]


class World:
    """A square of land: farmland, woods, a river, villages and a town.

    Ground coordinates are metres, x to the east and y to the north, from 0 to `extent`. Texture
    that a pixel cannot resolve fades out, so a coarse render is the average of a fine one up to
    sampling noise.

    Args:
        seed: The landscape is a pure function of it and of `extent`.
        extent: Side of the square in metres, at least 1280.

    Raises:
        ValueError: If `extent` is too small to hold a landscape.
    """

    def __init__(self, seed: int = 0, extent: float = 10_240.0) -> None:
        if not extent >= MIN_EXTENT:
            raise ValueError(f'extent is {extent} m; a world needs at least {MIN_EXTENT:g} m')
        self.seed, self.extent = seed, float(extent)
        rng = np.random.default_rng([seed, 1])
        self._salt = int(rng.integers(1 << 20))
        shapes = Shapes()
        compose(shapes, rng, self.extent, self._salt)
        self._polygons = np.array(shapes.polygons)
        rows = np.array(shapes.rows)
        self._material, self._height = rows[:, 0].astype(int), rows[:, 5]
        self._axis, self._tone, self._hue = rows[:, 1:3], rows[:, 3], rows[:, 4]
        self._centre = shapely.get_coordinates(shapely.centroid(self._polygons))
        self._index = shapely.STRtree(self._polygons)
        self._plant(np.concatenate(shapes.trees))

    def _plant(self, trees: NDArray[np.float64]) -> None:
        """Keep the trees (N, 4) that do not stand in water, on a road or in a house."""
        barred = self._polygons[LABELS[self._material] <= CLASSES.index('building')]
        stands = shapely.STRtree(shapely.points(trees[:, :2]))
        inside = stands.query(shapely.buffer(barred, 1.3), 'intersects')[1]
        self._trees = np.delete(trees, inside, axis=0)
        height = 3.0 * self._trees[:, 2] + 3.0
        self._tree_height = height * np.where(self._trees[:, 3] == 1, 1.25, 1.0)
        built = self._height > 0
        near, far = self._polygons[built], self._height[built, None, None] * _SHADOW
        corners = shapely.get_coordinates(near).reshape(len(near), 5, 2)
        shade = shapely.multipoints(np.concatenate([corners, corners + far], 1))
        self._shadow_index = shapely.STRtree(shapely.convex_hull(shade))

    def render(self, bounds: Bounds, gsd: float) -> tuple[Float, NDArray[np.uint8]]:
        """Picture and labels of a rectangle of ground.

        Above 3.4 m the world is drawn finer and averaged, so small objects mix within a pixel.

        Args:
            bounds: West, south, east, north in ground metres, within 0 to `extent`.
            gsd: Metres per pixel; the size in pixels is the nearest whole number, anchored
                north-west.

        Returns:
            Reflectance (4, H, W) of blue, green, red and near infrared, 0 to 1, and the labels
            (H, W), indices into `CLASSES` (of a mixed pixel, the most common one).

        Raises:
            ValueError: If the bounds are empty or leave the world, or `gsd` is not positive.
        """
        west, south, east, north = bounds
        if not gsd > 0:
            raise ValueError(f'gsd is {gsd}; it needs to be a positive number of metres per pixel')
        if not (0 <= west < east <= self.extent and 0 <= south < north <= self.extent):
            raise ValueError(
                f'bounds are {bounds}; they need west < east and south < north '
                f'within 0 to {self.extent:g} m'
            )
        height, width = (max(1, round(side / gsd)) for side in (north - south, east - west))
        k = int(np.ceil(gsd / 3.4))
        fine, step = gsd / k, max(1, _TILE // k)
        picture = np.empty((4, height, width), np.float32)
        labels = np.empty((height, width), np.uint8)
        for top in range(0, height, step):
            for left in range(0, width, step):
                rows, columns = min(step, height - top), min(step, width - left)
                x = west + (left * k + np.arange(columns * k, dtype=np.float64) + 0.5) * fine
                y = north - (top * k + np.arange(rows * k, dtype=np.float64) + 0.5) * fine
                here = np.s_[top : top + rows, left : left + columns]
                colors, classes = self._draw(x, y, fine)
                picture[:, *here], labels[here] = _mean(colors, k), majority(classes, k)
        return picture, labels

    def _draw(
        self, x: NDArray[np.float64], y: NDArray[np.float64], gsd: float
    ) -> tuple[Float, NDArray[np.uint8]]:
        """Colours (4, H, W) and labels (H, W) at the ground points `x` (W,), `y` (H,)."""
        box = shapely.box(x[0] - gsd, y[-1] - gsd, x[-1] + gsd, y[0] + gsd)
        shape, affine = (len(y), len(x)), from_origin(x[0] - gsd / 2, y[0] + gsd / 2, gsd, gsd)
        hits = np.sort(self._index.query(box))
        burn = zip(self._polygons[hits], range(len(hits)), strict=True)
        ids = rasterize(burn, shape, transform=affine, dtype='int32')
        colors = self._surface(hits, ids, x, y, gsd)
        labels = LABELS[self._material[hits]][ids]

        grown = 30 + gsd  # the longest tree shadow, and a crown
        near = np.flatnonzero(
            (np.abs(self._trees[:, 0] - x.mean()) < np.ptp(x) / 2 + grown)
            & (np.abs(self._trees[:, 1] - y.mean()) < np.ptp(y) / 2 + grown)
        )
        trees, tall = self._trees[near], self._tree_height[near]
        shades = trees[:, :3].copy()
        shades[:, :2] += 0.55 * tall[:, None] * _SHADOW  # of the crown's middle, not of its top
        shadow = _stamp(shades, tall, x, y, gsd) >= 0
        cast = self._shadow_index.geometries[self._shadow_index.query(box)]
        if len(cast):
            shadow |= rasterize(cast, shape, transform=affine, dtype='uint8') > 0
        shadow &= labels != CLASSES.index('building')
        colors *= np.where(shadow, _SKYLIGHT[:, None, None], 1)
        self._crowns(colors, labels, trees, _stamp(trees[:, :3], tall, x, y, gsd), x, y, gsd)
        return colors.clip(0.002, 1), labels

    def _surface(
        self, hits: NDArray, ids: NDArray[np.int32], x: NDArray, y: NDArray, gsd: float
    ) -> Float:
        """Colour (4, H, W) of the ground and roofs; `ids` (H, W) point into `hits`."""

        def spread(values: NDArray) -> Float:
            return np.asarray(values, np.float32)[ids]

        def trait(name: str) -> Float:
            return TRAITS[name][self._material[hits]]

        def texture(salt: int, *periods: float) -> Float:
            return fractal(x, y, periods, self._salt + salt, gsd)

        # Metres across the rows, from the middle of each surface; zero on a gable's ridge.
        normal = self._axis[hits][:, ::-1] * [-1, 1]
        start = np.sum(normal * (self._centre[hits] - [x[0], y[0]]), axis=1)
        across = spread(normal[:, 0]) * (x - x[0]).astype(np.float32)
        across += spread(normal[:, 1]) * (y - y[0]).astype(np.float32)[:, None] - spread(start)
        pitched = (self._height[hits] > 0) & (trait('cover')[:, 0] < 0.2)
        slope = spread(0.45 * pitched * (normal @ _SUN)) * np.clip(across / gsd, -1, 1)

        soil = texture(1, 520.0, 190.0, 75.0, 28.0)
        across += 1.6 * noise(x, y, 140.0, self._salt + 2)
        period, rows = trait('period'), trait('rows')
        phase = spread(2 * np.pi / np.where(period > 0, period, np.inf)) * across
        sharp = np.where(period > 2 * gsd, np.sinc(gsd / np.maximum(period, 1e-6)), 0)
        density = spread(trait('density') - rows / 2) - spread(rows * sharp / 2) * np.cos(phase)
        density += spread(0.35 * trait('patchy')) * soil
        wheel = np.abs(np.abs(across % 24 - 12) - 0.9)
        hit = np.clip((0.6 + gsd) / 2 - wheel, 0, min(0.6, gsd)) / gsd  # share of the pixel
        density = (density * (1 - spread(trait('tram')) * hit)).clip(0, 1)

        light = 1 + slope + spread(trait('grain')) * texture(3, 7.0, 3.4, 1.9, 1.1)
        light *= spread(np.exp(self._tone[hits]))
        soil = 1 + 0.13 * soil
        hue = np.array([0.1, -0.15, 0.5, -0.3]) * self._hue[hits, None]
        cover, ground = trait('cover') * (1 + hue), trait('ground') * (1 + 0.3 * hue)
        colors = np.empty((4, *ids.shape), np.float32)
        for band, color in enumerate(colors):
            below = spread(ground[:, band]) * soil
            color[:] = (below + (spread(cover[:, band]) - below) * density) * light
        return colors

    def _crowns(
        self, colors: Float, labels: NDArray[np.uint8], trees: NDArray, tops: NDArray[np.int32],
        x: NDArray, y: NDArray, gsd: float,
    ) -> None:  # fmt: skip
        """Paint the crowns over `colors` (4, H, W); `tops` (H, W) is the uppermost tree or -1."""
        row, column = np.nonzero(tops >= 0)
        tree = trees[tops[row, column]].astype(np.float64)
        toward = ((x[column] - tree[:, 0]) * _SUN[0] + (y[row] - tree[:, 1]) * _SUN[1]) / tree[:, 2]
        rim = ((x[column] - tree[:, 0]) ** 2 + (y[row] - tree[:, 1]) ** 2) / tree[:, 2] ** 2
        east, north = np.round(tree[:, :2].T * 8).astype(np.int64)
        own = lattice_values(east, north, self._salt)
        leaves = fractal(x, y, (2.4, 1.2), self._salt + 4, gsd)[row, column]
        stand = fractal(x, y, (260.0, 60.0), self._salt + 5, gsd)[row, column]
        light = (1.0 + 0.62 * toward - 0.25 * rim) * (0.75 + 0.5 * own)
        light *= 1 + 0.12 * leaves + 0.15 * stand
        color = SPECIES[tree[:, 3].astype(int)] * light[:, None].clip(0.22)
        color[:, 2] *= 0.85 + 0.3 * own  # some crowns are yellower
        colors[:, row, column] = color.T
        labels[row, column] = CLASSES.index('forest')


def _stamp(
    trees: NDArray[np.float64], height: NDArray, x: NDArray, y: NDArray, gsd: float
) -> NDArray[np.int32]:
    """Index (H, W) of the tree (N, 3: x, y, radius) whose dome is highest at each point, or -1."""
    shape = (len(y), len(x))
    best = np.zeros(shape[0] * shape[1], np.int64)
    reach = np.ceil(trees[:, 2] / gsd + 0.5).astype(int)
    for r in np.unique(reach):
        who = np.flatnonzero(reach == r)
        step = np.arange(-r, r + 1)
        column = np.round((trees[who, 0] - x[0]) / gsd).astype(int)[:, None, None] + step
        row = np.round((y[0] - trees[who, 1]) / gsd).astype(int)[:, None, None] + step[:, None]
        east = x[0] + column * gsd - trees[who, 0, None, None]
        south = y[0] - row * gsd - trees[who, 1, None, None]
        away = (east**2 + south**2) / trees[who, 2, None, None] ** 2
        inside = (away < 1) & (column >= 0) & (column < shape[1]) & (row >= 0) & (row < shape[0])
        rise = (height[who, None, None] * (1 - 0.4 * away) * 1000).astype(np.int64) << 32
        key = rise + who[:, None, None] + 1
        np.maximum.at(best, (row * shape[1] + column)[inside], key[inside])
    return ((best & 0xFFFFFFFF) - 1).astype(np.int32).reshape(shape)


def _mean(pixels: Float, k: int) -> Float:
    """Average of k by k blocks: (C, H k, W k) to (C, H, W)."""
    c, h, w = pixels.shape
    return pixels.reshape(c, h // k, k, w // k, k).mean((2, 4))


def majority(labels: NDArray[np.uint8], k: int) -> NDArray[np.uint8]:
    """Most common label of k by k blocks.

    Args:
        labels: Indices into `CLASSES`, shape (H k, W k).
        k: Side of a block in pixels.

    Returns:
        Labels (H, W).
    """
    votes = np.stack(
        [_mean((labels == c)[None].astype(np.float32), k)[0] for c in range(len(CLASSES))]
    )
    return votes.argmax(0).astype(np.uint8)
