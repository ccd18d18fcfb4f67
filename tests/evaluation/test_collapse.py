"""Collapse: the numbers on features of known spread, and what is said of them."""

import pytest
import torch
from torch import Tensor

from xscale.evaluation import (
    EvaluationError,
    check_collapse,
    effective_rank,
    feature_std,
    mean_cosine,
)

from ..tiny import seeded


def orthogonal(rows: int, rank: int) -> Tensor:
    """Draw directions that are orthogonal to one another and to the mean, shape (rows, rank)."""
    draws = torch.randn(rows, rank, generator=seeded())
    return torch.linalg.qr(torch.cat([torch.ones(rows, 1), draws], dim=1)).Q[:, 1:]


def test_isotropic_features() -> None:
    features = torch.randn(4096, 64, generator=seeded())
    assert feature_std(features) == pytest.approx(1, abs=0.01)
    assert effective_rank(features) == pytest.approx(64, rel=0.01)


def test_collapsed_features() -> None:
    features = torch.randn(1, 64, generator=seeded()).expand(32, 64)
    assert feature_std(features) < 1e-6
    assert effective_rank(torch.ones(32, 64)) == 1


@pytest.mark.parametrize('rank', [1, 3, 16])
def test_features_of_some_rank(rank: int) -> None:
    features = orthogonal(64, rank) @ orthogonal(128, rank).T + 0.1
    assert effective_rank(features) == pytest.approx(rank, rel=1e-3)
    assert effective_rank(7 * features) == pytest.approx(rank, rel=1e-3)


def test_unequal_directions() -> None:
    """Singular values 3 and 1: exp(−¾ ln ¾ − ¼ ln ¼) = 4 / 3^¾."""
    features = orthogonal(64, 2) * torch.tensor([3.0, 1.0]) @ orthogonal(128, 2).T
    assert effective_rank(features) == pytest.approx(4 / 3**0.75, rel=1e-4)


def test_feature_std_by_hand() -> None:
    """Of directions (1, 0) and (0, 1): √½ in each dimension, times √2."""
    assert feature_std(torch.tensor([[5.0, 0.0], [0.0, 0.1]])) == pytest.approx(1)
    # The length of a feature says nothing.
    assert feature_std(torch.tensor([[1.0, 1.0], [9.0, 9.0]])) < 1e-6


def test_mean_cosine_is_that_of_all_pairs() -> None:
    features = torch.randn(20, 7, generator=seeded()) + 0.3
    unit = torch.nn.functional.normalize(features.double(), dim=1)
    every = (unit @ unit.T)[~torch.eye(20, dtype=torch.bool)].mean()
    assert mean_cosine(features) == pytest.approx(float(every), abs=1e-12)
    assert mean_cosine(torch.tensor([[1.0, 0.0], [0.0, 2.0], [-3.0, 0.0]])) == pytest.approx(-1 / 3)


def test_verdicts() -> None:
    features = torch.randn(32, 16, generator=seeded())
    assert check_collapse(features).verdict.startswith('not collapsed')
    same = check_collapse(1e-4 * features + 1)
    assert same.collapsed
    assert same.verdict.startswith('collapsed')
    # One direction only: far apart, and yet of no use.
    line = check_collapse(features[:, :1] * torch.ones(16))
    assert line.feature_std > 0.5
    assert line.collapsed
    few = check_collapse(features[:7])
    assert few.collapsed is None
    assert few.verdict.startswith('7 images are too few')


def test_what_cannot_be_looked_at() -> None:
    with pytest.raises(EvaluationError, match='at least two'):
        check_collapse(torch.ones(1, 4))
    with pytest.raises(EvaluationError, match=r'1 of 3 image features are not finite.*number 2'):
        check_collapse(torch.tensor([[1.0], [2.0], [torch.nan]]))
