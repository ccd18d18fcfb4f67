"""Keep some ground for validation."""

import numpy as np
from numpy.typing import NDArray

from ..datasets.files import Files
from ..errors import ConfigError
from .regions import BLOCK, DEGREE, Blocks, blocks_at, blocks_of, box_of
from .weights import Weights


def split_ground(
    files: Files, weights: Weights, size: int, share: float, seed: int
) -> tuple[Blocks, Blocks]:
    """Choose blocks of ground for validation, at random but by seed and place alone.

    Args:
        files: The rasters.
        weights: Their weights.
        size: Side of a tile in pixels.
        share: Share of the ground to keep, in 0..1; it is met as nearly as whole blocks can.
        seed: Seed of the choice.

    Returns:
        Where training tiles may lie, and validation tiles.

    Raises:
        ConfigError: If there is no ground to spare.
    """
    if not 0 < share < 1:
        raise ConfigError(f'val_share {share}: a share between 0 and 1 is needed')
    used = np.flatnonzero(weights.weight > 0)
    metres = size * weights.finest
    side = BLOCK * float((size * weights.coarsest[used]).max())
    ground = _ground(files.bounds, used, metres, side)
    order = sorted(ground, key=lambda block: _hash(block, seed))
    kept: set[tuple[int, int]] = set()
    wanted, have = share * sum(ground.values()), 0.0
    for block in order:
        if kept and have + ground[block] / 2 > wanted:
            continue
        kept.add(block)
        have += ground[block]
    if not kept or len(kept) == len(ground):
        raise ConfigError(
            f'val_share {share}: the rasters lie in {len(ground)} block(s) of ground of '
            f'{side / 1000:.3g} km (four tiles of the coarsest), which cannot be parted; '
            'choose a smaller size or gsd, or give more places'
        )
    blocks = frozenset(kept)
    return Blocks(side, blocks, 'train'), Blocks(side, blocks, 'validation')


def _ground(
    bounds: NDArray[np.float64],
    used: NDArray[np.integer],
    metres: NDArray[np.float64],
    side: float,
) -> dict[tuple[int, int], float]:
    """Measure the ground of each block in which a tile fits, in square degrees of latitude."""
    ground: dict[tuple[int, int], float] = {}
    small = bounds[used, 3] - bounds[used, 1] <= side / DEGREE
    middle = (bounds[:, 0] + bounds[:, 2]) / 2, (bounds[:, 1] + bounds[:, 3]) / 2
    # A raster smaller than a block counts where its middle is.
    rows, cols = blocks_at(middle[0][used], middle[1][used], side)
    for number, is_small, row, col in zip(used, small, rows.tolist(), cols.tolist(), strict=True):
        blocks = [(row, col)] if is_small else blocks_of(bounds[number], side)
        for block in blocks:
            area = _shared(bounds[number], box_of(block, side), metres[number] / DEGREE)
            if area > 0:
                ground[block] = ground.get(block, 0.0) + area
    return ground


def _shared(
    one: NDArray[np.float64], other: tuple[float, float, float, float], tile: float
) -> float:
    """Measure where two boxes overlap; 0 where a tile does not fit in."""
    tall = min(one[3], other[3]) - max(one[1], other[1])
    wide = min(one[2], other[2]) - max(one[0], other[0])
    wide *= np.cos(np.radians((one[1] + one[3]) / 2))
    return tall * wide if min(tall, wide) > 0.999 * tile else 0.0


def _hash(block: tuple[int, int], seed: int) -> int:
    """Return a number that depends on a block and the seed alone."""
    mixed = np.random.SeedSequence((block[0] + 2**31, block[1], seed))
    return int(mixed.generate_state(1, np.uint64)[0])
