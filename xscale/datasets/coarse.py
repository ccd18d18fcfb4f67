"""Read the ground of a tile from another raster, at that raster's own ground sample distance."""

import math

import numpy as np
import torch
from affine import Affine
from numpy.typing import NDArray
from rasterio.windows import Window
from torch.nn import functional as F

from .. import geo
from .windows import Pixels, Reader, Tile

#: Points along a side at which a change of reference system is computed; between them it is
#: linear to well below a thousandth of a pixel.
NODES = 17

#: Pixels by which the sides of a square may differ and it still counts as one.
SQUARE = 0.05

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


def read_square(reader: Reader, own: Grid, wanted: Grid, size: int) -> Pixels:
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
        shift = geo.compose(~own[1], wanted[1])
        # Grids of one reference system are upright, so a square is a window of both.
        if abs(shift.a - shift.e) * size < SQUARE:
            return reader.tile(Tile(-1, shift.c, shift.f, shift.a * size, size))
    return _warp(reader, own, wanted, size)


def _warp(reader: Reader, own: Grid, wanted: Grid, size: int) -> Pixels:
    """Interpolate between the raster's own pixels; those without data weigh nothing."""
    places = _places(own, wanted, size)
    window = _around(places, reader.width, reader.height)
    bands = len(reader.bands)
    if window is None:
        return np.zeros((bands, size, size), np.float32), np.zeros((size, size), bool)
    shape = round(window.height), round(window.width)
    values, valid = reader.window(window, shape)
    pixels = torch.from_numpy(np.concatenate([values, valid[None]], dtype=np.float32))
    # grid_sample counts from −1 at the first edge to 1 at the last one.
    start = np.array([window.col_off, window.row_off])
    share = (places - start) * 2 / np.array(shape[::-1]) - 1
    where = torch.from_numpy(share.astype(np.float32))
    sampled = F.grid_sample(pixels[None], where[None], align_corners=False)[0]
    weight = sampled[-1]
    there = weight >= 0.5
    image = sampled[:-1] / weight.clamp(min=0.5) * there
    return image.numpy(), there.numpy()


def _places(own: Grid, wanted: Grid, size: int) -> NDArray[np.float64]:
    """Locate the centres of a square's pixels on the raster, (size, size, 2), column first."""
    nodes = np.linspace(0, size, NODES)
    cols, rows = np.meshgrid(nodes, nodes)
    coordinates = geo.transformer(wanted[0], own[0]).transform(*geo.apply(wanted[1], cols, rows))
    lattice = np.stack(geo.apply(~own[1], *coordinates))
    # The pixels' centres in steps between nodes, and how far each lies behind its node.
    steps = (np.arange(size) + 0.5) * (NODES - 1) / size
    node = steps.astype(np.int64)
    part = steps - node
    down = lattice[:, node] * (1 - part[:, None]) + lattice[:, node + 1] * part[:, None]
    both = down[..., node] * (1 - part) + down[..., node + 1] * part
    return np.moveaxis(both, 0, -1)


def _around(places: NDArray[np.float64], width: int, height: int) -> Window | None:
    """Return the window of whole pixels that is needed to interpolate; None beyond the raster."""
    if not np.isfinite(places).all():
        return None
    low, high = places.min((0, 1)), places.max((0, 1))
    left, top = (max(0, math.floor(edge) - 1) for edge in low)
    right, bottom = (
        min(side, math.ceil(edge) + 1) for side, edge in zip((width, height), high, strict=True)
    )
    return Window(left, top, right - left, bottom - top) if right > left and bottom > top else None
