"""Join overlapping windows into finished rows, with a strip of the map in memory and no more.

Windows come row by row. Each adds its probabilities, weighed by how far a pixel lies from the
window's edge, where a model sees least around it; rows that no later window reaches are finished:
divided by the sum of their weights, handed on and forgotten. Rows that no window showed are not
handed on: the map is empty there.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from .plan import BLOCK

#: Bytes that the sums of a strip may take.
BUDGET = 2**28

#: Takes finished rows: left column, upper row, probabilities (K, H, W), and which are valid (H, W).
type Emit = Callable[[int, int, NDArray[np.float32], NDArray[np.bool_]], None]


def taper(size: int, overlap: int) -> NDArray[np.float32]:
    """Weigh the pixels of a window: 1 in its middle, falling smoothly to its edges.

    The weights rise as the square of a sine, so those of two neighbours add up to 1; they are
    nowhere 0, for the pixels at the edge of a map lie in one window alone.

    Args:
        size: Side of the window in pixels.
        overlap: Pixels over which the weights rise.

    Returns:
        Shape (size, size).
    """
    edge = np.minimum(np.arange(size), np.arange(size)[::-1]) + 0.5
    side = np.sin(np.pi / 2 * np.minimum(edge / max(overlap, 0.5), 1)) ** 2
    return np.outer(side, side).astype(np.float32)


def swath_columns(classes: int, size: int) -> int:
    """Return how many columns a strip may have for its sums to stay within :data:`BUDGET`.

    Args:
        classes: Probabilities of each pixel.
        size: Side of a window in pixels.
    """
    column = 4 * classes * (size + BLOCK)
    return max(BUDGET // column // BLOCK, 1) * BLOCK


class Strip:
    """The rows of one swath of a map that windows are still being added to.

    Attributes:
        top: Upper row of the strip in the map.
        bottom: Row of the map below which nothing was added yet.
    """

    def __init__(
        self, classes: int, left: int, right: int, height: int, weight: NDArray, emit: Emit
    ) -> None:
        """Begin at the upper edge of a map.

        Args:
            classes: Probabilities of each pixel (K).
            left: First column of the swath.
            right: The column after its last.
            height: Rows of the map.
            weight: Of the pixels of a window, (S, S).
            emit: What takes finished rows.
        """
        self.left, self.right, self.height = left, right, height
        self.weight, self.emit = weight, emit
        self.top = self.bottom = 0
        # The rows of a window, and those of a block that are not handed on yet.
        shape = len(weight) + BLOCK, right - left
        self.sums = np.zeros((classes, *shape), np.float32)
        self.weights = np.zeros(shape, np.float32)
        self.valid = np.zeros(shape, bool)

    def add(
        self, col: int, row: int, probabilities: NDArray[np.float32], valid: NDArray[np.bool_]
    ) -> None:
        """Add a window; what lies beyond the swath is left out.

        Args:
            col: Left column of the window in the map.
            row: Its upper row, not above that of the window before.
            probabilities: Of each class, (K, S, S).
            valid: True where the map is to hold something, (S, S).
        """
        while row - self.top >= BLOCK:
            self._hand_on(BLOCK)
        size = len(self.weight)
        first, last = max(col, self.left), min(col + size, self.right)
        inside, across = slice(first - col, last - col), slice(first - self.left, last - self.left)
        down = slice(row - self.top, row - self.top + size)
        weight = self.weight[:, inside]
        self.sums[:, down, across] += probabilities[..., inside] * weight
        self.weights[down, across] += weight
        self.valid[down, across] |= valid[:, inside]
        self.bottom = row + size

    def close(self) -> None:
        """Hand on the rows that are left, down to the lower edge of the map."""
        while self.top < self.height:
            self._hand_on(min(BLOCK, self.height - self.top))

    def _hand_on(self, rows: int) -> None:
        """Finish the upper rows and make room for as many below."""
        used = max(self.bottom - self.top, 0)
        if used:
            weights = self.weights[:rows]
            seen = weights > 0
            finished = np.zeros((len(self.sums), *weights.shape), np.float32)
            np.divide(self.sums[:, :rows], weights, out=finished, where=seen)
            self.emit(self.left, self.top, finished, self.valid[:rows] & seen)
        kept = max(used - rows, 0)
        # Plane by plane: NumPy copies what it moves within itself.
        for plane in (*self.sums, self.weights, self.valid):
            plane[:kept] = plane[rows : rows + kept]
            plane[kept:used] = 0
        self.top += rows
