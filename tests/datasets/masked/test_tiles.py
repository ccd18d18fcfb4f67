"""Where tiles lie."""

import numpy as np
import pytest

from xscale.datasets.masked.tiles import anywhere, covering


@pytest.mark.parametrize(('width', 'height', 'size'), [(40, 30, 16), (32, 16, 16), (10, 50, 16)])
def test_each_pixel_is_counted_once(width: int, height: int, size: int) -> None:
    counted = np.zeros((height, width), int)
    for tile in covering(3, width, height, size):
        assert tile.image == 3
        assert 0 <= tile.col <= max(0, width - size)
        assert 0 <= tile.row <= max(0, height - size)
        rows = slice(tile.row + tile.top, tile.row + size)
        counted[rows, tile.col + tile.left : tile.col + size] += 1
    assert (counted == 1).all()


def test_anywhere_reaches_both_ends() -> None:
    rng = np.random.default_rng(0)
    found = [anywhere(0, 20, 10, 16, rng) for _ in range(200)]
    assert {tile.col for tile in found} == set(range(5))
    assert {tile.row for tile in found} == {0}
