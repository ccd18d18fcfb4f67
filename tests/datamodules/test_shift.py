"""The shift between two images of one place is measured below a pixel."""

import numpy as np
import pytest
from numpy.typing import NDArray

from xscale.datamodules.shift import CLEAR, measure_shift


def ground(size: int, down: float, right: float, seed: int = 0) -> NDArray[np.float64]:
    """Return smooth blobs at random places, moved by some pixels."""
    rng = np.random.default_rng(seed)
    rows, cols = np.indices((size, size))
    image = np.zeros((size, size))
    for row, col, height, width in rng.random((150, 4)) * [size, size, 1, 1]:
        away = (rows - row - down) ** 2 + (cols - col - right) ** 2
        image += (height - 0.5) * np.exp(-away / (2 * (1.5 + 3 * width) ** 2))
    return image


@pytest.mark.parametrize(('down', 'right'), [(0, 0), (0.5, -0.5), (3.25, 1.5), (-2, 4.75)])
def test_a_shift_is_found(down: float, right: float) -> None:
    one, other = ground(96, 0, 0), ground(96, down, right)
    # The second sensor sees other brightness, the other way round.
    shift = measure_shift(one, 40 - 7 * other, np.ones((96, 96), bool))
    assert shift[:2] == pytest.approx((down, right), abs=0.15)
    assert shift.clear > CLEAR


def test_missing_data_does_not_matter() -> None:
    one, other = ground(96, 0, 0), ground(96, 1, -1)
    valid = np.ones((96, 96), bool)
    valid[:, :30] = False
    expected = measure_shift(one, other, valid)
    assert expected[:2] == pytest.approx((1, -1), abs=0.2)
    other[:, :30] = 1e6
    assert measure_shift(one, other, valid) == pytest.approx(expected)


def test_holes_are_no_edges() -> None:
    def bright(moved: int) -> NDArray[np.float64]:
        wave = np.sin((np.indices((96, 96)).sum(0) - 2 * moved) / 25)
        return 100 + ground(96, moved, moved) + 2 * wave

    valid = ground(96, 0, 0, seed=9) < 0.25
    shift = measure_shift(bright(0), bright(3), valid)
    assert shift[:2] == pytest.approx((3, 3), abs=0.3)


def test_nothing_in_common_is_unclear() -> None:
    shifts = [
        measure_shift(ground(64, 0, 0, seed), ground(64, 0, 0, seed + 50), np.ones((64, 64), bool))
        for seed in range(8)
    ]
    assert np.median([shift.clear for shift in shifts]) < CLEAR
