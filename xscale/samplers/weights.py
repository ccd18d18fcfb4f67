"""How often each raster is drawn, and which cannot be."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .. import geo
from ..datasets.files import Files
from ..datasets.index import Rejected

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
        rejected: Rasters that are never drawn, with the reason.
        padded: Rasters smaller than a tile that are drawn padded with invalid pixels.
    """

    finest: NDArray[np.float64]
    coarsest: NDArray[np.float64]
    weight: NDArray[np.float64]
    tiles: NDArray[np.float64]
    rejected: list[Rejected]
    padded: list[str]


def weigh(
    files: Files,
    size: int,
    gsd: tuple[float, float] | None,
    max_nodata: float,
    balance: Balance,
    temperature: float,
    reached: NDArray[np.bool_],
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
        reached: Whether the region reaches the raster, (N,).
    """
    native, sides = files.gsd, files.shape * files.gsd[:, None]
    low, high = gsd or (0.0, math.inf)
    finest = np.maximum(native, low)
    # A tile may grow until it fills its raster; one that fills it already keeps its GSD.
    largest = np.maximum(sides.min(1) / size, finest)
    coarsest = np.maximum(np.minimum(largest, high), finest) if gsd else native
    tile = (size * finest)[:, None]
    coverage = np.minimum(1, sides / tile).prod(1)
    tiles = np.maximum(sides / tile, 1).prod(1) * files.valid
    too_coarse = native > high * TOLERANCE
    too_small = coverage < 1 - max_nodata
    too_empty = sides.prod(1) * files.valid < (1 - max_nodata) * tile[:, 0] ** 2
    fit = reached & ~too_coarse & ~too_small & ~too_empty
    rejected = []
    for number in np.flatnonzero(~fit).tolist():
        width, height = files.shape[number]
        shape = f'{width}×{height} px of {native[number]:.3g} m'
        wanted = f'a tile of {size}×{size} px of {finest[number]:.3g} m'
        if too_coarse[number]:
            reason = f'its {native[number]:.3g} m are coarser than the {high:.3g} m asked for'
        elif too_small[number]:
            reason = f'its {shape} cover less than {1 - max_nodata:.0%} of {wanted}'
        elif too_empty[number]:
            share = f'{files.valid[number]:.1%}'
            reason = f'{share} of its {shape} hold data, less than {1 - max_nodata:.0%} of {wanted}'
        else:
            reason = 'lies outside of the region'
        rejected.append(Rejected(files.path(number), reason))
    padded = [files.path(number) for number in np.flatnonzero(fit & (coverage < 1)).tolist()]
    weight = np.where(fit, _balanced(tiles, finest, fit, balance, temperature), 0.0)
    return Weights(finest, coarsest, weight, np.where(fit, tiles, 0.0), rejected, padded)


def _balanced(
    tiles: NDArray[np.float64],
    gsd: NDArray[np.float64],
    fit: NDArray[np.bool_],
    balance: Balance,
    temperature: float,
) -> NDArray[np.float64]:
    if balance == 'raster':
        return np.ones_like(tiles)
    if balance == 'area':
        return tiles
    group = geo.gsd_groups(gsd)
    area = np.bincount(group, np.where(fit, tiles * gsd**2, 0))
    wanted = np.zeros_like(area)
    wanted[area > 0] = (area[area > 0] / area.sum()) ** (1 / temperature)
    # Inside a group by area.
    return np.divide(
        tiles * gsd**2 * wanted[group], area[group], where=fit, out=np.zeros_like(tiles)
    )
