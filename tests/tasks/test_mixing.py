"""Mixup and CutMix."""

import numpy as np
import pytest
import torch

from xscale.tasks.mixing import Mixing

from ..tiny import seeded


def batch(count: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    image = torch.randn(count, 3, 16, 16, generator=seeded())
    return image, torch.ones(count, 1, 16, 16, dtype=torch.bool), torch.arange(count) % 3


@pytest.mark.parametrize('count', [1, 4, 5])
def test_shares_are_those_of_the_pixels(count: int) -> None:
    image, valid, label = batch(count)
    mixed, there, shares = Mixing(0.8, 0.0, 0.0, 3, False)(image, valid, label, seed=3)
    assert there.all()
    torch.testing.assert_close(shares.sum(1), torch.ones(count))
    even = count - count % 2
    assert torch.equal(mixed[even:], image[even:])
    for i in range(even):
        other = even - 1 - i
        difference = (image[i] - image[other]).flatten()
        lam = (mixed[i] - image[other]).flatten() @ difference / (difference @ difference)
        assert 0 < lam < 1
        if label[i] != label[other]:
            assert shares[i, label[i]] == pytest.approx(lam.item(), abs=1e-4)


def test_draws_come_from_the_seed_alone() -> None:
    mix = Mixing(0.8, 1.0, 0.1, 3, False)
    first = [mix(*batch(4), seed=seed) for seed in (1, 2)]
    np.random.seed(99)  # noqa: NPY002
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    again = mix(*batch(4), seed=1)
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002
    for one, other in zip(first[0], again, strict=True):
        assert torch.equal(one, other)
    assert not torch.equal(first[0][0], first[1][0])


def test_what_is_missing_in_one_is_missing_in_the_mixture() -> None:
    image, valid, label = batch(4)
    image[0, :, 0], valid[0, :, 0] = torch.nan, False
    mixed, there, _ = Mixing(0.8, 0.0, 0.0, 3, False)(image, valid, label, seed=3)
    assert mixed.isfinite().all()
    assert not there[[0, 3], :, 0].any()
    assert there[:, :, 1:].all()
    assert there[[1, 2]].all()


def test_several_labels() -> None:
    image, valid, _ = batch(4)
    label = torch.tensor([[1, 1], [0, 1], [0, 0], [1, 0]])
    _, _, shares = Mixing(0.0, 1.0, 0.0, 2, True)(image, valid, label, seed=0)
    assert shares.shape == (4, 2)
    assert shares[0, 0] == 1
    assert 0 <= shares[0, 1] <= 1
