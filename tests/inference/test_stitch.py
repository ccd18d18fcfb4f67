"""Stitching against sums over the whole map, and the memory it takes."""

import tracemalloc

import numpy as np
import pytest
from numpy.typing import NDArray

from xscale.inference.plan import BLOCK, Plan, starts
from xscale.inference.stitch import BUDGET, Strip, swath_columns, taper

CLASSES = 3


def answer(col: int, row: int, size: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Make up the answer to a window, another one for each."""
    rng = np.random.default_rng([col, row])
    values = rng.random((CLASSES, size, size), np.float32)
    return values / values.sum(0), rng.random((size, size)) > 0.6


def stitched(plan: Plan) -> tuple[NDArray[np.float32], NDArray[np.bool_], list[int]]:
    """Stitch a plan's windows: probabilities, validity, and the rows handed on at a time."""
    values = np.full((CLASSES, plan.height, plan.width), -1, np.float32)
    valid = np.zeros((plan.height, plan.width), bool)
    bands = []

    def emit(left: int, top: int, rows: NDArray[np.float32], there: NDArray[np.bool_]) -> None:
        assert top % BLOCK == left % BLOCK == 0
        place = slice(top, top + rows.shape[1]), slice(left, left + rows.shape[2])
        assert (values[:, *place] == -1).all()
        values[:, *place], valid[place] = rows, there
        bands.append(rows.shape[1])

    for left, right in plan.swaths:
        weight = taper(plan.size, plan.overlap)
        strip = Strip(CLASSES, left, right, plan.height, weight, emit)
        for window in plan.windows(left, right):
            strip.add(*window, *answer(*window, plan.size))
        strip.close()
    return values, valid, bands


def summed(plan: Plan) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Add all windows up in one array as large as the map."""
    size, weight = plan.size, taper(plan.size, plan.overlap)
    high, wide = max(plan.height, size), max(plan.width, size)
    sums, weights = np.zeros((CLASSES, high, wide)), np.zeros((high, wide))
    valid = np.zeros((high, wide), bool)
    for row in starts(plan.height, size, plan.overlap):
        for col in starts(plan.width, size, plan.overlap):
            place = slice(row, row + size), slice(col, col + size)
            values, there = answer(col, row, size)
            sums[:, *place] += values * weight
            weights[place] += weight
            valid[place] |= there
    inside = slice(plan.height), slice(plan.width)
    return (sums / weights)[:, *inside], valid[inside]


@pytest.mark.parametrize('overlap', [0, 10, 30])
@pytest.mark.parametrize(
    'shape', [(40, 40), (17, 9), (700, 50), (50, 700), (600, 300), (257, 513)], ids=str
)
def test_a_strip_is_the_sum_over_the_map(shape: tuple[int, int], overlap: int) -> None:
    plan = Plan(shape[1], shape[0], 40, overlap, BLOCK)
    values, valid, bands = stitched(plan)
    expected, there = summed(plan)
    np.testing.assert_allclose(values, expected, atol=1e-6)
    np.testing.assert_array_equal(valid, there)
    assert set(bands[:-1]) <= {BLOCK, shape[0] % BLOCK}


def test_what_no_window_showed_is_not_handed_on() -> None:
    found = []
    strip = Strip(1, 0, 50, 1500, taper(40, 10), lambda *rows: found.append(rows))
    ones = np.ones((1, 40, 40), np.float32), np.ones((40, 40), bool)
    strip.add(0, 400, *ones)
    strip.add(10, 1000, *ones)
    strip.close()
    assert [top for _, top, _, _ in found] == [256, 768, 1024]
    values, valid = np.zeros((1500, 50), np.float32), np.zeros((1500, 50), bool)
    for _, top, rows, there in found:
        values[top : top + BLOCK], valid[top : top + BLOCK] = rows[0], there
    expected = np.zeros((1500, 50), bool)
    expected[400:440, :40] = expected[1000:1040, 10:50] = True
    np.testing.assert_array_equal(valid, expected)
    np.testing.assert_allclose(values, expected, rtol=1e-6)


@pytest.mark.parametrize(('size', 'overlap'), [(32, 8), (32, 0), (33, 16), (224, 56)])
def test_weights_of_neighbours_add_up_to_one(size: int, overlap: int) -> None:
    weight = taper(size, overlap)
    assert weight.shape == (size, size)
    assert (weight > 0).all()
    assert weight.max() == pytest.approx(1)
    np.testing.assert_array_equal(weight, weight.T)
    np.testing.assert_array_equal(weight, weight[::-1])
    line = weight[size // 2]
    if overlap:
        np.testing.assert_allclose(line[-overlap:] + line[:overlap], 1, atol=1e-6)
        assert (np.diff(line[:overlap]) > 0).all()
    else:
        assert (line == 1).all()


@pytest.mark.parametrize('classes', [2, 20, 255])
@pytest.mark.parametrize('size', [64, 224, 1024])
def test_sums_stay_within_the_budget(classes: int, size: int) -> None:
    columns = swath_columns(classes, size)
    assert columns % BLOCK == 0
    taken = 4 * classes * (size + BLOCK) * columns
    assert columns >= BLOCK
    assert taken <= BUDGET or columns == BLOCK


def peak(height: int) -> int:
    """Measure the most memory that stitching a map of some height takes."""
    plan = Plan(300, height, 64, 16, 512)
    weight, one = taper(64, 16), answer(0, 0, 64)
    tracemalloc.start()
    strip = Strip(CLASSES, 0, 300, height, weight, lambda *rows: None)
    for window in plan.windows(0, 300):
        strip.add(*window, *one)
        assert strip.sums.shape[1] == 64 + BLOCK
    strip.close()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most


def test_memory_does_not_grow_with_the_map() -> None:
    assert peak(8000) < 1.05 * peak(1000)
