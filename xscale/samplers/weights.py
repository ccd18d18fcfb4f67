"""How often each raster is drawn, and which cannot be."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .. import geo
from ..datasets.files import Files
from ..datasets.find import Rejected

type Balance = Literal['area', 'raster', 'gsd']

#: A 10.004 m raster is a 10 m raster.
TOLERANCE = 1.01


@dataclass(frozen=True, slots=True)
class Weights:
    """What can be drawn of each raster.

    Attributes:
        finest: Finest ground sample distance of its tiles in metres, (N,).
        coarsest: Coarsest one, (N,).
        weight: How often it is drawn, unnormalised, 0 for never, (N,).
        tiles: Tiles that cover its valid ground once at the finest, (N,).
        rejected: Rasters of the region that are never drawn, with the reason.
        padded: Rasters smaller than a tile that are drawn padded with invalid pixels.
        outside: How many rasters lie outside of the region.
    """

    finest: NDArray[np.float64]
    coarsest: NDArray[np.float64]
    weight: NDArray[np.float64]
    tiles: NDArray[np.float64]
    rejected: list[Rejected]
    padded: list[str]
    outside: int


def weigh(
    files: Files,
    size: int,
    gsd: tuple[float, float] | None,
    max_nodata: float,
    balance: Balance,
    temperature: float,
    shares: NDArray[np.float64],
) -> Weights:
    """Weigh rasters.

    Args:
        files: The rasters.
        size: Side of a tile in pixels.
        gsd: Finest and coarsest ground sample distance of tiles in metres; None for each
            raster's own.
        max_nodata: Largest share of a tile's pixels that may hold no data.
        balance: 'area', 'raster' (all alike), or 'gsd' (groups of like ground sample distance).
        temperature: For 'gsd': groups are drawn by area to the power of 1 / temperature.
        shares: How much of each raster lies in the region, (N,).
    """
    native, sides = files.gsd, files.shape * files.gsd[:, None]
    low, high = gsd or (0.0, math.inf)
    finest = np.maximum(native, low)
    # A tile may grow until it fills its raster; one that fills it already keeps its GSD.
    largest = np.maximum(sides.min(1) / size, finest)
    coarsest = np.maximum(np.minimum(largest, high), finest) if gsd else native
    tile = (size * finest)[:, None]
    coverage = np.minimum(1, sides / tile).prod(1)
    too_coarse = native > high * TOLERANCE
    too_small = coverage < 1 - max_nodata
    too_empty = sides.prod(1) * files.valid < (1 - max_nodata) * tile[:, 0] ** 2
    outside = shares == 0
    rejected = []
    for number in np.flatnonzero((too_coarse | too_small | too_empty) & ~outside).tolist():
        width, height = files.shape[number]
        shape = f'{width}×{height} px of {native[number]:.3g} m'
        wanted = f'a tile of {size}×{size} px of {finest[number]:.3g} m'
        if too_coarse[number]:
            reason = f'its {native[number]:.3g} m are coarser than the {high:.3g} m asked for'
        elif too_small[number]:
            reason = f'its {shape} cover less than {1 - max_nodata:.0%} of {wanted}'
        else:
            share = f'{files.valid[number]:.1%}'
            reason = f'{share} of its {shape} hold data, less than {1 - max_nodata:.0%} of {wanted}'
        rejected.append(Rejected(files.path(number), reason))
    fit = ~(too_coarse | too_small | too_empty | outside)
    padded = [files.path(number) for number in np.flatnonzero(fit & (coverage < 1)).tolist()]
    tiles = np.where(fit, np.maximum(sides / tile, 1).prod(1) * files.valid * shares, 0.0)
    weight = _balanced(tiles, finest, balance, temperature)
    return Weights(finest, coarsest, weight, tiles, rejected, padded, int(outside.sum()))


def _balanced(
    tiles: NDArray[np.float64], gsd: NDArray[np.float64], balance: Balance, temperature: float
) -> NDArray[np.float64]:
    if balance == 'area':
        return tiles
    fit = tiles > 0
    if balance == 'raster' or not fit.any():
        return fit.astype(np.float64)
    group = geo.gsd_groups(gsd[fit])
    area = np.bincount(group, tiles[fit])
    weight = np.zeros_like(tiles)
    # Inside a group by area.
    weight[fit] = tiles[fit] * ((area / area.sum()) ** (1 / temperature) / area)[group]
    return weight
