"""Where tiles lie in an image: anywhere, or side by side."""

from typing import NamedTuple

import numpy as np


class Part(NamedTuple):
    """A window in pixels of an image.

    Attributes:
        col: First column.
        row: First row.
        width: Columns.
        height: Rows.
    """

    col: int
    row: int
    width: int
    height: int


class Tile(NamedTuple):
    """A square of an image.

    Attributes:
        image: Number of the image.
        col: First column.
        row: First row.
        left: Columns at its left that another tile counts.
        top: Rows at its top, likewise.
    """

    image: int
    col: int
    row: int
    left: int = 0
    top: int = 0


def covering(image: int, width: int, height: int, size: int) -> list[Tile]:
    """Cover an image with tiles, row by row.

    The last of a row and of a column are moved back into the image; what they then share with
    their neighbours is counted once.

    Args:
        image: Its number.
        width: Its columns.
        height: Its rows.
        size: Side of a tile in pixels.
    """
    return [
        Tile(image, col, row, left, top)
        for row, top in _along(height, size)
        for col, left in _along(width, size)
    ]


def _along(length: int, size: int) -> list[tuple[int, int]]:
    last = max(0, length - size)
    return [(min(start, last), start - min(start, last)) for start in range(0, length, size)]


def anywhere(image: int, width: int, height: int, size: int, rng: np.random.Generator) -> Tile:
    """Draw a tile that lies inside an image, or begins with it where the image is smaller.

    Args:
        image: Its number.
        width: Its columns.
        height: Its rows.
        size: Side of a tile in pixels.
        rng: What it is drawn with.
    """
    col, row = (int(rng.integers(max(0, side - size) + 1)) for side in (width, height))
    return Tile(image, col, row)
