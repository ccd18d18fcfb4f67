"""Which images show ground that an encoder was pretrained on."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

#: Degrees by which boxes may overlap and count as apart: they are kept as float32, whose steps
#: near 180 degrees are 1.5e-5, about two metres on the ground.
SLACK = 2e-5


def seen_warnings(contract: Mapping[str, Any], footprints: Tensor) -> list[str]:
    """Warn of test images whose ground was trained on.

    Args:
        contract: The input contract of a checkpoint.
        footprints: As for :func:`seen_footprints`.
    """
    seen = int(seen_footprints(contract, footprints).sum())
    if not seen:
        return []
    return [
        f'{seen} of {len(footprints)} test images looked at show ground it was pretrained on: its '
        'score says little of new places'
    ]


def seen_footprints(contract: Mapping[str, Any], footprints: Tensor) -> Tensor:
    """Tell which images touch ground that an encoder was pretrained on.

    Args:
        contract: The input contract of a checkpoint; its ``footprints`` are west, south, east,
            north of the rasters it was pretrained on in degrees, shape (M, 4).
        footprints: The same of the images, shape (N, 4), float64; NaN where nobody says.

    Returns:
        True for an image whose ground was seen, shape (N,), bool; all False where either side
        does not know where it lies.
    """
    import shapely

    seen = torch.zeros(len(footprints), dtype=torch.bool)
    trained = contract.get('footprints')
    placed = footprints.isfinite().all(1)
    if trained is None or not len(trained) or not placed.any():
        return seen
    west, south, east, north = footprints[placed].double().numpy().T
    # A box smaller than the slack becomes its middle.
    across = (east - west).clip(0, 2 * SLACK) / 2
    down = (north - south).clip(0, 2 * SLACK) / 2
    tree = shapely.STRtree(shapely.box(*trained.double().numpy().T))
    hits = torch.zeros(len(west), dtype=torch.bool)
    # Past the antimeridian boxes go on beyond 180 degrees.
    for turn in (-360, 0, 360):
        sides = west + across + turn, south + down, east - across + turn, north - down
        # The nearest one alone: of a thousand dates of one place each would be a pair.
        found = tree.query_nearest(shapely.box(*sides), max_distance=1e-9, all_matches=False)[0]
        hits[torch.from_numpy(found)] = True
    seen[placed] = hits
    return seen
