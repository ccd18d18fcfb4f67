"""A few of many."""

from itertools import pairwise

import pytest

from xscale.transforms import evenly


@pytest.mark.parametrize(('count', 'most'), [(10, 4), (7, 7), (3, 9), (1, 5), (10**9, 1000)])
def test_first_and_last_and_none_twice(count: int, most: int) -> None:
    found = evenly(count, most)
    assert len(found) == min(count, most)
    assert len(set(found)) == len(found)
    assert found[0] == 0
    assert found[-1] == count - 1 or most == 1
    gaps = [after - before for before, after in pairwise(found)]
    assert not gaps or max(gaps) - min(gaps) <= 1


def test_of_none() -> None:
    assert evenly(0, 5) == []
    assert evenly(5, 1) == [0]
