"""Masks hide what they say, and index patches only."""

import pytest
import torch

from xscale.errors import ConfigError
from xscale.models.masking import gather_tokens, masks_from_noise, random_masks

from ..tiny import seeded

CPU = torch.device('cpu')


@pytest.mark.parametrize(('count', 'ratio', 'visible'), [(64, 0.75, 16), (9, 0.5, 4), (5, 0.0, 5)])
def test_invariants(count: int, ratio: float, visible: int) -> None:
    masks = random_masks(6, count, ratio, seeded(), CPU)
    assert masks.keep.shape == (6, visible)
    assert masks.masked.sum(1).tolist() == [count - visible] * 6
    everything = torch.arange(count).expand(6, count)
    assert torch.equal(masks.restore.sort(1).values, everything)
    assert masks.keep.min() >= 0
    assert masks.keep.max() < count
    # Put back in image order, the visible ones stand where they came from.
    order = torch.cat([masks.keep, torch.full((6, count - visible), -1)], dim=1)
    restored = order.gather(1, masks.restore)
    assert torch.equal(restored, everything.where(~masks.masked, -1))


def test_largest_noise_is_hidden() -> None:
    masks = masks_from_noise(torch.tensor([[0.9, 0.1, 0.5, 0.3]]), 0.5)
    assert masks.keep.tolist() == [[1, 3]]
    assert masks.masked.tolist() == [[True, False, True, False]]


def test_images_differ_and_every_patch_is_hidden_sometimes() -> None:
    masks = random_masks(400, 16, 0.75, seeded(), CPU)
    share = masks.masked.float().mean(0)
    # Five standard deviations of a share of 0.75 over 400 draws.
    assert (share - 0.75).abs().max() < 5 * (0.75 * 0.25 / 400) ** 0.5


def test_only_the_given_generator_is_used() -> None:
    drawn = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        drawn.append(random_masks(3, 16, 0.5, seeded(5), CPU).keep)
    assert torch.equal(*drawn)
    assert not torch.equal(drawn[0], random_masks(3, 16, 0.5, seeded(6), CPU).keep)


@pytest.mark.parametrize('ratio', [1.0, 0.99, 1.5, -0.1])
def test_bad_ratio(ratio: float) -> None:
    with pytest.raises(ConfigError, match=f'ratio of {ratio}'):
        masks_from_noise(torch.rand(1, 16, generator=seeded()), ratio)


def test_gather_from_one_table_or_one_each() -> None:
    table = torch.randn(1, 5, 3, generator=seeded())
    index = torch.tensor([[4, 0], [2, 2]])
    expected = torch.stack([table[0, [4, 0]], table[0, [2, 2]]])
    assert torch.equal(gather_tokens(table, index), expected)
    assert torch.equal(gather_tokens(table.expand(2, -1, -1), index), expected)
