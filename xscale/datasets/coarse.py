"""Read the ground of a tile from another raster, at that raster's own ground sample distance."""

import math
from functools import lru_cache

import numpy as np
import torch
from affine import Affine
from numpy.typing import NDArray
from rasterio.windows import Window
from torch.nn import functional as F

from .. import geo
from .readers import RasterReader
from .windows import OFF, Pixels, Tile

#: Points along a side at which a change of reference system is computed; between them it is
#: linear to well below a thousandth of a pixel.
NODES = 17

#: Pixels of the raster for one that is wanted, from which on they are averaged, not interpolated.
AVERAGED = 1.5

#: A reference system, and the transform from pixels (column, row) to its coordinates.
type Grid = tuple[str, Affine]


def square_grid(grid: Grid, tile: Tile, size: int) -> Grid:
    """Return the grid that divides a tile's ground into other pixels.

    Args:
        grid: The grid of the tile's raster.
        tile: The tile.
        size: Pixels a side that are wanted.
    """
    crs, transform = grid
    step = tile.extent / size
    return crs, geo.compose(transform, Affine(step, 0, tile.col_off, 0, step, tile.row_off))


def read_square(reader: RasterReader, own: Grid, wanted: Grid, size: int) -> Pixels:
    """Read a square of ground that lies on another grid.

    Args:
        reader: The raster.
        own: The grid of the raster.
        wanted: The grid of the square, whose pixel (0, 0) is its upper-left one.
        size: Pixels a side.

    Returns:
        Values (C, size, size) float32, 0 where invalid, and validity (size, size).
    """
    if own[0] == wanted[0]:
        # Grids of one reference system are upright, so a square is a window of both.
        shift = geo.compose(~own[1], wanted[1])
        if shift.a > AVERAGED:
            return reader.tile(Tile(-1, shift.c, shift.f, shift.a * size, size))
        if _on_pixels(shift, size):
            return reader.tile(Tile(-1, round(shift.c), round(shift.f), size, size))
    return _warp(reader, own, wanted, size)


def _on_pixels(shift: Affine, size: int) -> bool:
    """Tell whether a square is whole pixels of the raster."""
    edges = shift.c, shift.f, shift.c + shift.a * size, shift.f + shift.e * size
    whole = [round(edge) for edge in edges]
    near = all(abs(edge - at) < OFF for edge, at in zip(edges, whole, strict=True))
    return near and whole[2] - whole[0] == whole[3] - whole[1] == size


def _warp(reader: RasterReader, own: Grid, wanted: Grid, size: int) -> Pixels:
    """Interpolate between the raster's own pixels; those without data weigh nothing."""
    nodes = _nodes(own, wanted, size)
    window = _around(nodes, reader.width, reader.height)
    if window is None:
        return np.zeros((reader.count, size, size), np.float32), np.zeros((size, size), bool)
    shape = round(window.height), round(window.width)
    values, valid = reader.window(window, shape)
    pixels = torch.from_numpy(np.concatenate([values, valid[None]], dtype=np.float32))
    # grid_sample counts from −1 at the first edge to 1 at the last one.
    start, sides = (
        np.array([window.col_off, window.row_off]),
        np.array([window.width, window.height]),
    )
    share = torch.from_numpy((nodes - start[:, None, None]) * 2 / sides[:, None, None] - 1).float()
    weights = _between(size)
    where = (weights @ share @ weights.mT).movedim(0, -1)
    sampled = F.grid_sample(pixels[None], where[None], align_corners=False)[0]
    weight = sampled[-1]
    there = weight >= 0.5
    image = sampled[:-1] / weight.clamp(min=0.5) * there
    return image.numpy(), there.numpy()


def _nodes(own: Grid, wanted: Grid, size: int) -> NDArray[np.float64]:
    """Locate a lattice of points of a square on the raster, column and row, (2, NODES, NODES)."""
    at = np.linspace(0, size, NODES)
    coordinates = geo.apply(wanted[1], *np.meshgrid(at, at))
    return np.stack(geo.apply(~own[1], *geo.transformer(wanted[0], own[0]).transform(*coordinates)))


@lru_cache(maxsize=64)
def _between(size: int) -> torch.Tensor:
    """Weigh the nodes along a side for the centre of each pixel, (size, NODES)."""
    steps = (torch.arange(size) + 0.5) * (NODES - 1) / size
    return (1 - (steps[:, None] - torch.arange(NODES)).abs()).clamp(min=0)


def _around(nodes: NDArray[np.float64], width: int, height: int) -> Window | None:
    """Return the window of whole pixels that is needed to interpolate; None beyond the raster."""
    if not np.isfinite(nodes).all():
        return None
    edges = [
        (axis.min(), axis.max(), side) for axis, side in zip(nodes, (width, height), strict=True)
    ]
    (left, right), (top, bottom) = (
        (max(0, math.floor(low) - 1), min(side, math.ceil(high) + 1)) for low, high, side in edges
    )
    return Window(left, top, right - left, bottom - top) if right > left and bottom > top else None
