"""Labelled scenes of the world, as the aerial camera sees them: of one kind, or with a mask."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rasterio.transform import from_origin

from .materials import CLASSES
from .render import World
from .sensors import WORLD_CRS, Shot, save_shot, shoot_aerial

#: Share of a scene that its class covers at least. A town is mostly gardens, so roofs count more;
#: no square of ground is mostly road.
LEAST = {'water': 0.35, 'building': 0.1, 'forest': 0.6, 'field': 0.9, 'grass': 0.5}

#: Metres from the world of one seed to that of the next: their scenes show no common ground.
APART = 20_000.0

#: Labels that are looked at along a scene's side, and metres left free around the world.
LOOKS, MARGIN = 16, 16.0


def write_scenes(
    out: str | Path,
    *,
    seed: int = 0,
    extent: float = 5120.0,
    gsd: float = 1.0,
    size: int = 128,
    count: int = 60,
) -> dict[str, int]:
    """Write scenes of a world as GeoTIFFs in a folder for each class.

    The world is cut into squares that share no ground. A square is of the class that covers the
    most of it, measured by :data:`LEAST`; squares of which no class covers enough are left out.
    Files are ``<class>/<seed>_<number>.tif`` with the bands R, G, B, N of the aerial camera,
    uint8, in EPSG:32633; the world of each seed lies 20 km north of the one before.

    Args:
        out: Folder to write to, such as ``scenes/train``; files of the same name are replaced.
        seed: Seed of the world, which scenes are drawn from at random.
        extent: Side of the world in metres, at least 1280.
        gsd: Metres per pixel.
        size: Side of a scene in pixels.
        count: Scenes of a class, at most.

    Returns:
        Scenes written, by class; classes without any are left out.

    Raises:
        ValueError: If `extent` is too small for a world, or for a scene, or a number is not
            above 0.
    """
    side = _side(gsd, size, count, extent)
    world = World(seed, extent)
    kinds = _kinds(world, side)
    rng = np.random.default_rng([seed, 4])
    written = {}
    for number, name in enumerate(LEAST):
        found = np.argwhere(kinds == number)
        chosen = rng.permutation(len(found))[:count]
        for place, square in enumerate(found[chosen]):
            shot = _shoot(world, square, gsd, side)
            save_shot(Path(out, name, f'{seed}_{place:03d}.tif'), shot, shot.pixels, shot.bands)
        if len(found):
            written[name] = len(chosen)
    return written


def write_masked(
    out: str | Path,
    *,
    seed: int = 0,
    extent: float = 5120.0,
    gsd: float = 1.0,
    size: int = 128,
    count: int = 60,
) -> int:
    """Write scenes of a world as GeoTIFFs, each with a mask of the class of every pixel.

    The world is cut into squares that share no ground, and some are drawn, whatever they show.
    ``images/<seed>_<number>.tif`` is as :func:`write_scenes` writes it, and
    ``masks/<seed>_<number>.tif`` holds the numbers of :data:`CLASSES` on the same grid, uint8.

    Args:
        out: Folder to write to, such as ``masked/train``; files of the same name are replaced.
        seed: Seed of the world, which scenes are drawn from at random.
        extent: Side of the world in metres, at least 1280.
        gsd: Metres per pixel.
        size: Side of a scene in pixels.
        count: Scenes, at most.

    Returns:
        Scenes written.

    Raises:
        ValueError: If `extent` is too small for a world, or for a scene, or a number is not
            above 0.
    """
    side = _side(gsd, size, count, extent)
    world = World(seed, extent)
    rows = _rows(world, side)
    chosen = np.random.default_rng([seed, 5]).permutation(rows * rows)[:count]
    for place, number in enumerate(chosen):
        shot = _shoot(world, np.array(divmod(number, rows)), gsd, side)
        name = f'{seed}_{place:03d}.tif'
        save_shot(Path(out, 'images', name), shot, shot.pixels, shot.bands)
        save_shot(Path(out, 'masks', name), shot, shot.labels[None], ('label',))
    return len(chosen)


def _side(gsd: float, size: int, count: int, extent: float) -> float:
    """Side of a scene in metres."""
    if gsd <= 0 or size < 1 or count < 1:
        raise ValueError(f'gsd {gsd}, size {size}, count {count}: numbers above 0 are needed')
    side = gsd * size
    if side > extent - 2 * MARGIN:
        raise ValueError(f'a scene of {side:g} m came; the world has {extent - 2 * MARGIN:g} m')
    return side


def _rows(world: World, side: float) -> int:
    """How many squares lie along the side of a world."""
    return int((world.extent - 2 * MARGIN) / side)


def _shoot(world: World, square: NDArray[np.int64], gsd: float, side: float) -> Shot:
    """Picture of a square, by its row from the north and its column, placed as its seed says."""
    row, column = square
    middle = MARGIN + side * np.array([column + 0.5, _rows(world, side) - row - 0.5])
    shot = shoot_aerial(world, middle, WORLD_CRS, gsd, side)
    west, north = shot.affine.c, shot.affine.f + APART * world.seed
    return shot._replace(affine=from_origin(west, north, gsd, gsd))


def _kinds(world: World, side: float) -> NDArray[np.int64]:
    """Cut a world into squares, row by row from the north; numbers in `LEAST`, -1 for none."""
    rows = _rows(world, side)
    end = MARGIN + rows * side
    labels = world.render((MARGIN, MARGIN, end, end), side / LOOKS)[1]
    squares = labels.reshape(rows, LOOKS, rows, LOOKS)
    share = [(squares == CLASSES.index(name)).mean((1, 3)) / least for name, least in LEAST.items()]
    return np.where(np.max(share, 0) >= 1, np.argmax(share, 0), -1)
