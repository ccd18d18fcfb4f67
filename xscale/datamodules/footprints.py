"""Where a model was trained, kept small enough for a checkpoint."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

#: More boxes than this are merged.
MOST = 100_000

#: Side of the squares they are merged to, in degrees.
SIDE = 0.1


def footprints_of(bounds: NDArray[np.float64], most: int = MOST) -> Tensor:
    """Return the ground of rasters as a checkpoint keeps it.

    Args:
        bounds: West, south, east, north in degrees, (N, 4); NaN where nobody says.
        most: More boxes than this become the squares of a grid that they touch, of
            :data:`SIDE` degrees or as much coarser as it takes.

    Returns:
        Boxes without doubles, shape (M, 4), float32.
    """
    boxes = known = np.unique(bounds[np.isfinite(bounds).all(1)], axis=0)
    side = SIDE
    while len(boxes) > most:
        boxes = _merged(known, side)
        side *= 2
    return torch.from_numpy(boxes.astype(np.float32))


def _merged(boxes: NDArray[np.float64], side: float) -> NDArray[np.float64]:
    """Replace boxes by the squares of a grid that they touch; large ones grow to its lines."""
    # Not cut into single squares: a raster of a degree would become a hundred of them.
    low = np.floor(boxes[:, :2] / side)
    high = np.maximum(np.ceil(boxes[:, 2:] / side), low + 1)
    return np.unique(np.column_stack([low, high]), axis=0) * side
