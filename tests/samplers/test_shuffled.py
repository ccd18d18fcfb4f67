"""An order of samples for each epoch."""

import numpy as np
import pytest

from xscale.errors import ConfigError
from xscale.samplers import Draw, ShuffledSampler


def sampler(count: int = 10, batch_size: int = 4, **options: int) -> ShuffledSampler:
    return ShuffledSampler(range(count), batch_size=batch_size, fingerprint='some', **options)


def test_each_once_and_whole_batches() -> None:
    found = list(sampler())
    assert len(found) == len(sampler()) == 12
    assert sorted(draw.number for draw in found[:10]) == list(range(10))
    assert {draw.epoch for draw in found} == {0}
    assert len(list(sampler(3, 8))) == 8


def test_another_order_in_another_epoch_and_of_another_seed() -> None:
    one, other = sampler(), sampler(seed=1)
    assert one.batch(1, 2) == one.batch(1, 2)
    orders = [[draw.number for draw in s.batch(e, 0)] for s, e in ((one, 0), (one, 1), (other, 0))]
    assert len({tuple(order) for order in orders}) == 3
    one.set_epoch(3)
    assert list(one)[:4] == one.batch(3, 0)


def test_processes_share_each_batch() -> None:
    ranks = [list(sampler(rank=rank, world_size=2)) for rank in (0, 1)]
    assert [*ranks[0][:2], *ranks[1][:2]] == sampler().batch(0, 0)
    with pytest.raises(ConfigError, match='does not divide over 3'):
        sampler(world_size=3)


def test_a_generator_of_seed_epoch_and_number_alone() -> None:
    np.random.seed(5)  # noqa: NPY002
    values = [
        Draw(number, epoch).generator(seed).random()
        for number, epoch, seed in ((2, 1, 0), (2, 1, 0), (1, 2, 0), (2, 1, 1), (2, 0, 1))
    ]
    assert values[0] == values[1]
    assert len(set(values)) == 4
