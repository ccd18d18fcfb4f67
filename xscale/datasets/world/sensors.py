"""Two sensors over the world, and the GeoTIFFs they deliver."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, Resampling
from rasterio.transform import from_origin
from rasterio.warp import reproject, transform, transform_bounds

from .materials import CLASSES, COLORS
from .noise import Float
from .render import World, majority

WORLD_CRS = 'EPSG:32633'

#: Easting and northing of the world's south-west corner, near 12.2 E 49.4 N: close to zone 32.
WORLD_ORIGIN = (300_000.0, 5_480_000.0)

_AERIAL = {
    'town': ('EPSG:3857', 0.6),
    'river': ('EPSG:32632', 0.8),
    'forest': ('EPSG:3035', 1.0),
    'village': ('EPSG:32632', 0.8),
}

_CAMERA = np.array(  # the camera's R, G, B, N from blue, green, red, nir
    [[0, 0.08, 0.92, 0], [0.06, 0.90, 0.04, 0], [0.9, 0.1, 0, 0], [0, 0, 0.06, 0.94]]
)
_WHITE = np.array([0.27, 0.25, 0.24, 0.66])  # reflectance that saturates it


def _blur(picture: Float, sigma: float, every: int = 1) -> Float:
    """Gaussian blur by `sigma` pixels, then averages of blocks: (C, H k, W k) to (C, H, W)."""
    reach = int(np.ceil(3 * sigma))
    bell = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    taps = np.convolve(bell / bell.sum(), np.full(every, 1 / every)).astype(np.float32)
    for axis in (1, 2):
        wide = np.moveaxis(picture, axis, 0)
        wide = np.pad(wide, [(reach, reach), (0, 0), (0, 0)], 'edge')
        last = picture.shape[axis] - every + 1
        total = taps[0] * wide[:last:every]
        for i, tap in enumerate(taps[1:], 1):
            total += tap * wide[i : i + last : every]
        picture = np.moveaxis(total, 0, axis)
    return picture


class Shot(NamedTuple):
    """A sensor's picture (4, H, W) with its labels (H, W) and what a GeoTIFF needs to know."""

    pixels: NDArray[np.uint16] | NDArray[np.uint8]
    labels: NDArray[np.uint8]
    crs: str
    affine: Affine
    gsd: float
    bands: tuple[str, ...]
    nodata: int | None = None


def _sentinel2(world: World) -> Shot:
    """The whole world at 10 m: reflectance times 10,000."""
    side = world.extent // 10 * 10
    fine, classes = world.render((0, world.extent - side, side, world.extent), 10 / 3)
    picture = _blur(fine, 1.3, every=3)  # 0.43 of a pixel: contrast 0.25 at Nyquist
    rng = np.random.default_rng([world.seed, 2])
    picture += rng.standard_normal(picture.shape, np.float32) * (0.0006 + 0.004 * picture)
    numbers = np.rint(10_000 * picture.clip(0.0001, 1)).astype(np.uint16)  # 0 is nodata
    east, north = WORLD_ORIGIN
    affine = from_origin(east, north + world.extent, 10, 10)
    labels = majority(classes, 3)
    return Shot(numbers, labels, WORLD_CRS, affine, 10.0, ('B02', 'B03', 'B04', 'B08'), 0)


def shoot_aerial(world: World, middle: NDArray, crs: str, gsd: float, side: float) -> Shot:
    """A square of `side` metres around `middle` (x, y) as a camera sees it, warped to `crs`."""
    place = [[v] for v in middle + WORLD_ORIGIN]
    latitude = transform(WORLD_CRS, 'EPSG:4326', *place)[1][0]
    step = gsd / np.cos(np.radians(latitude)) if crs == 'EPSG:3857' else gsd
    (x,), (y,) = transform(WORLD_CRS, crs, *place)
    size = int(np.ceil(side / gsd - 1e-6))  # 0.8 m is no binary number
    half = size / 2 * step
    affine = from_origin(x - half, y + half, step, step)
    ground = np.array(transform_bounds(crs, WORLD_CRS, x - half, y - half, x + half, y + half))
    ground += [-9, -9, 9, 9] - np.tile(WORLD_ORIGIN, 2)  # the kernels reach beyond the tile
    fine, classes = world.render(tuple(ground.tolist()), 0.75 * gsd)
    grid = {
        'src_transform': from_origin(*(ground[[0, 3]] + WORLD_ORIGIN), 0.75 * gsd, 0.75 * gsd),
        'src_crs': WORLD_CRS, 'dst_transform': affine, 'dst_crs': crs,
    }  # fmt: skip
    picture, labels = np.zeros((4, size, size), np.float32), np.zeros((size, size), np.uint8)
    reproject(_blur(fine, 0.7), picture, resampling=Resampling.cubic, **grid)
    reproject(classes, labels, resampling=Resampling.nearest, **grid)
    light = (np.einsum('cb,bhw->chw', _CAMERA, picture) + 0.006).clip(0)  # 0.006 of haze
    light = (light / _WHITE[:, None, None]) ** 0.72  # a tone curve, as orthophotos have
    rng = np.random.default_rng([world.seed, 3, *middle.astype(int)])
    numbers = 255 * light + rng.standard_normal(light.shape, np.float32) * 1.5
    numbers = np.rint(numbers.clip(1, 255)).astype(np.uint8)  # no 0: black is no empty border
    return Shot(numbers, labels, crs, affine, gsd, ('R', 'G', 'B', 'N'))


def _places(labels: NDArray[np.uint8], side: int, margin: int) -> dict[str, NDArray[np.float64]]:
    """Middles (row, column) of four apart squares, of `side` pixels, with different content."""
    total = np.array(
        [np.pad(labels == c, ((1, 0), (1, 0))).cumsum(0).cumsum(1) for c in range(len(CLASSES))]
    )
    share = (
        total[:, side:, side:]
        - total[:, :-side, side:]
        - total[:, side:, :-side]
        + total[:, :-side, :-side]
    )
    water, _, building, forest, field, _ = share[:, margin:-margin, margin:-margin] / side**2
    wanted = {
        'town': building,
        'river': water - 4 * building + 0.05 * forest,
        'forest': field.clip(0, 0.4) + forest.clip(0, 0.5),
        'village': building + 0.02 * forest.clip(0, 0.2),
    }
    places, used, room = {}, np.zeros(water.shape), 3 * side // 2  # the village is no suburb
    for name, score in wanted.items():
        row, column = np.unravel_index((score - used).argmax(), score.shape)
        used[max(0, row - room) : row + room, max(0, column - room) : column + room] += 10
        places[name] = np.array([row, column]) + margin + side / 2
    return places


def save_shot(path: Path, shot: Shot, pixels: NDArray, bands: tuple[str, ...]) -> Path:
    """Write (C, H, W), the picture or the labels of a shot, tiled and with overviews."""
    labels, aerial = bands == ('label',), bands[0] == 'R'
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(
        path, 'w', driver='GTiff', crs=shot.crs, transform=shot.affine, dtype=pixels.dtype,
        count=len(pixels), height=pixels.shape[1], width=pixels.shape[2],
        nodata=None if labels else shot.nodata, tiled=True, blockxsize=256, blockysize=256,
        compress='deflate', **({'photometric': 'RGB', 'alpha': 'NO'} if aerial else {}),
    ) as dst:  # fmt: skip
        dst.write(pixels)
        dst.descriptions = bands
        dst.update_tags(GSD=shot.gsd)
        if labels:
            dst.update_tags(CLASSES=','.join(CLASSES))
            dst.write_colormap(1, dict(enumerate(COLORS)))
        if aerial:
            rgb = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
            dst.colorinterp = (*rgb, ColorInterp.undefined)
    with rasterio.open(path, 'r+') as dst:
        dst.build_overviews([2, 4, 8], Resampling.mode if labels else Resampling.average)
    return path


def write_world(
    out: str | Path, *, seed: int = 0, extent: float = 10_240.0
) -> dict[str, list[Path]]:
    """Write a world as GeoTIFFs of two sensors, with a label map for each.

    `images/sentinel2` covers the world at 10 m in EPSG:32633 (uint16, reflectance times 10,000,
    nodata 0, bands B02, B03, B04, B08). `images/aerial` holds tiles at 0.6 to 1 m (uint8, bands
    R, G, B, N, no nodata), each in another reference system: a town in EPSG:3857, a river in
    EPSG:32632, a wood's edge in EPSG:3035 and a village in EPSG:32632. They measure 1080 m a side
    from an extent of 5400 m on, a fifth of the extent below, and below 5400 m there are only the
    first two. `labels` mirrors `images`, on the same grids. The tag GSD is metres on the ground.

    Args:
        out: Folder to write to; files of the same name are replaced.
        seed: Seed of the world and of the sensors' noise.
        extent: Side of the world in metres, at least 1280.

    Returns:
        Paths under 'images' and, in the same order, 'labels'.

    Raises:
        ValueError: If `extent` is too small.
    """
    world = World(seed, extent)
    shots = {'sentinel2/world_20240615.tif': _sentinel2(world)}
    labels = shots['sentinel2/world_20240615.tif'].labels
    side = min(1080.0, 0.2 * extent)
    places = _places(labels, round(side / 10), 3 + round(0.005 * side))
    for name in list(_AERIAL)[: 4 if extent >= 5400 else 2]:
        row, column = places[name]
        middle = np.array([10 * column, extent - 10 * row])
        shots[f'aerial/{name}_20240702.tif'] = shoot_aerial(world, middle, *_AERIAL[name], side)
    images, maps = Path(out, 'images'), Path(out, 'labels')
    return {
        'images': [save_shot(images / n, s, s.pixels, s.bands) for n, s in shots.items()],
        'labels': [save_shot(maps / n, s, s.labels[None], ('label',)) for n, s in shots.items()],
    }
