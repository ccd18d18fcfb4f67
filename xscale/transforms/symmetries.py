"""Quarter turns and flips, which leave the ground in an image as it is."""

from torch import Tensor

#: How many there are, the first of which changes nothing.
SYMMETRIES = 8


def turned(image: Tensor, number: int) -> Tensor:
    """Turn a square image by quarters, and flip it.

    Args:
        image: Shape (..., S, S).
        number: Which of the symmetries of a square, 0 to 7: so many quarter turns, and from 4 on
            flipped from left to right before.
    """
    flipped = image.flip(-1) if number >= 4 else image
    return flipped.rot90(number % 4, (-2, -1)).contiguous()
