"""Pixels to serve, and tiles read of them."""

import numpy as np
from numpy.typing import NDArray

from xscale.datasets import Rasters
from xscale.datasets.rasters import TileSlice
from xscale.datasets.windows import Tile

from ..server import Server

SIDE, BLOCK, CHUNK = 1024, 256, 1 << 14


def noise(bands: int, side: int) -> NDArray[np.uint16]:
    return np.random.default_rng(0).integers(1, 9999, (bands, side, side), dtype=np.uint16)


def read(rasters: Rasters, *tile: int) -> dict[str, NDArray]:
    """Read a tile: left, top, and side in pixels of the raster and of the tile."""
    nowhere = slice(0.0, 1.0)
    place = TileSlice((nowhere, nowhere, nowhere), Tile(0, *tile), 10.0)
    return {name: value.numpy() for name, value in rasters[place].items()}


def asked(server: Server) -> list[tuple[str, str]]:
    return [(request.method, request.range) for request in server.asked()]
