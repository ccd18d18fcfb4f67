"""Keep some ground for validation."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..datasets.files import Files
from ..errors import ConfigError
from .blocks import DEGREE, MANY, Blocks, boxes_of, numbers, touched
from .regions import Region
from .weights import Weights

#: Side of a block of ground in tiles.
BLOCK = 4


def split_ground(
    files: Files,
    weights: Weights,
    size: int,
    share: float,
    seed: int,
    region: Region | None = None,
) -> tuple[Blocks, Blocks]:
    """Choose blocks of ground for validation, at random but by seed and place alone.

    More dates of the same places, or another order of the files, change nothing.

    Args:
        files: The rasters.
        weights: Their weights.
        size: Side of a tile in pixels.
        share: Share of the ground to keep, in 0..1; it is met as nearly as whole blocks can.
        seed: Seed of the choice.
        region: Where tiles may lie at all; anywhere by default.

    Returns:
        Where training tiles may lie, and validation tiles.

    Raises:
        ConfigError: If there is no ground to spare.
    """
    if not 0 < share < 1:
        raise ConfigError(f'val_share {share}: a share between 0 and 1 is needed')
    used = np.flatnonzero(weights.weight > 0)
    tile = size * weights.coarsest[used]
    side = BLOCK * float(tile.max())
    blocks, ground = _ground(files.bounds[used], tile, side, region)
    if len(blocks) < 2:
        raise ConfigError(
            f'val_share {share}: the rasters lie in {len(blocks)} block(s) of ground of '
            f'{side / 1000:.3g} km (four tiles of the coarsest), which cannot be parted; '
            'choose a smaller size or gsd, or give more places'
        )
    kept = frozenset(blocks[_choose(ground, share, _mixed(blocks, seed))].tolist())
    return Blocks(side, kept, 'train'), Blocks(side, kept, 'validation')


def _choose(
    ground: NDArray[np.float64], share: float, order: NDArray[np.uint64]
) -> NDArray[np.integer]:
    """Choose blocks in an order until their ground comes nearest to a share of all."""
    wanted, have, kept = share * ground.sum(), 0.0, list[int]()
    for number in np.argsort(order).tolist():
        if have + ground[number] / 2 <= wanted and len(kept) < len(ground) - 1:
            kept.append(number)
            have += ground[number]
    return np.array(kept) if kept else np.lexsort([order, ground])[:1]


def _ground(
    bounds: NDArray[np.float64], tile: NDArray[np.float64], side: float, region: Region | None
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Measure the ground of each block in which a tile of any size fits.

    Args:
        bounds: West, south, east, north of the rasters in degrees, (N, 4).
        tile: Side of their coarsest tiles in metres, (N,).
        side: Side of a block in metres.
        region: Where tiles may lie at all.

    Returns:
        Numbers of the blocks, (M,), and their ground in square degrees of latitude, (M,).
    """
    places = pd.DataFrame(bounds.round(6)).assign(tile=tile).drop_duplicates().index.to_numpy()
    found = [
        _pieces(bounds[part], tile[part] / DEGREE, side, region)
        for part in np.split(places, range(MANY, len(places), MANY))
    ]
    pieces, ground = (np.concatenate(one) for one in zip(*found, strict=True))
    block, at = np.unique(pieces, return_inverse=True)
    # Of several rasters of a block the one that shows most of it: dates do not add up.
    largest = np.zeros(len(block))
    np.maximum.at(largest, at, ground)
    return block, largest


def _pieces(
    bounds: NDArray[np.float64], tile: NDArray[np.float64], side: float, region: Region | None
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Cut rasters up by blocks; leave out pieces in which no tile fits.

    Returns:
        The block of each piece and its ground, (M,).
    """
    raster, row, col = touched(bounds, side)
    box, whole = boxes_of(row, col, side), bounds[raster]
    low, high = np.maximum(box[:, :2], whole[:, :2]), np.minimum(box[:, 2:], whole[:, 2:])
    # Degrees of latitude, of which a degree of longitude is this much.
    scale = np.ones_like(low)
    scale[:, 0] = np.cos(np.radians((low[:, 1] + high[:, 1]) / 2))
    fits = ((high - low) * scale > 0.999 * tile[raster, None]).all(1)
    low, high, scale, tile = low[fits], high[fits], scale[fits], tile[raster[fits], None]
    ground = ((high - low) * scale).prod(1)
    if region is not None:
        # Where the middle of a tile may lie that is wholly in the block.
        first, last = low + tile / scale / 2, high - tile / scale / 2
        ground *= region.shares(np.column_stack([first, np.maximum(last, first + 1e-9)]))
    some = ground > 0
    return numbers(row, col, side)[fits][some], ground[some]


def _mixed(blocks: NDArray[np.int64], seed: int) -> NDArray[np.uint64]:
    """Return numbers that depend on each block and the seed alone (SplitMix64)."""
    mixed = blocks.astype(np.uint64) + np.uint64(seed * 0x9E3779B97F4A7C15 % 2**64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return mixed ^ (mixed >> np.uint64(31))
