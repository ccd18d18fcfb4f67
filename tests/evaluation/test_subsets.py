"""Subsets of labels hold every class, and depend on the seed alone."""

import pytest
import torch

from xscale.evaluation import EvaluationError, label_subset
from xscale.evaluation.subsets import at_most, hold_out

from ..tiny import seeded

LABELS = torch.cat([torch.zeros(200), torch.ones(50), torch.full((3,), 2)]).long()


@pytest.mark.parametrize(
    ('share', 'counts'), [(0.01, [2, 1, 1]), (0.1, [20, 5, 1]), (1, [200, 50, 3])]
)
def test_each_class_alike_and_at_least_one(share: float, counts: list[int]) -> None:
    order = torch.randperm(len(LABELS), generator=seeded())
    drawn = label_subset(LABELS[order], share, seed=3)
    assert LABELS[order][drawn].bincount().tolist() == counts
    assert len(drawn.unique()) == len(drawn)


def test_seeds() -> None:
    torch.manual_seed(1)
    drawn = label_subset(LABELS, 0.1, seed=3)
    torch.manual_seed(2)
    assert torch.equal(drawn, label_subset(LABELS, 0.1, seed=3))
    assert not torch.equal(drawn, label_subset(LABELS, 0.1, seed=4))
    # The few lie among the many.
    assert torch.isin(label_subset(LABELS, 0.01, seed=3), drawn).all()


def test_several_labels() -> None:
    labels = torch.rand(300, 6, generator=seeded()) < torch.tensor([0.5, 0.3, 0.1, 0.05, 0.01, 0])
    small, large = (label_subset(labels, share, seed=1) for share in (0.01, 0.2))
    for drawn in (small, large):
        assert torch.equal(labels[drawn].any(0), labels.any(0))
    assert len(large) == 60
    assert torch.isin(small, large).all()


def test_hold_out_leaves_every_class() -> None:
    images = torch.arange(0, len(LABELS), 2)
    first, second = hold_out(LABELS, images, 0.2, seed=0)
    assert torch.equal(torch.cat([first, second]).sort().values, images)
    assert LABELS[first].bincount().tolist() == [80, 20, 1]
    assert LABELS[second].bincount().tolist() == [20, 5, 1]
    # Of a single image nothing can be held out.
    assert len(hold_out(torch.arange(4), torch.arange(4), 0.5)[1]) == 0


@pytest.mark.parametrize('share', [0, -1, 1.01, float('nan')])
def test_what_is_no_share(share: float) -> None:
    with pytest.raises(EvaluationError, match='up to 1 is needed'):
        label_subset(LABELS, share)


@pytest.mark.parametrize('count', [3, 4, 21, 100, 252])
def test_at_most(count: int) -> None:
    order = torch.randperm(len(LABELS), generator=seeded())
    drawn = at_most(LABELS[order], count, seed=3)
    assert len(drawn.unique()) == len(drawn) == count
    counts = LABELS[order][drawn].bincount(minlength=3)
    assert (counts >= 1).all()
    expected = LABELS.bincount() * count / len(LABELS)
    assert ((counts - expected).abs() <= 1.5).all()
    assert torch.equal(drawn, at_most(LABELS[order], count, seed=3))
    assert count == 252 or not torch.equal(drawn, at_most(LABELS[order], count, seed=4))


def test_at_most_of_few_and_of_several_labels() -> None:
    assert at_most(LABELS, 253).tolist() == list(range(253))
    with pytest.raises(EvaluationError, match='2 images were asked for, and there are 3 classes'):
        at_most(LABELS, 2)
    labels = torch.rand(300, 6, generator=seeded()) < torch.tensor([0.5, 0.3, 0.1, 0.05, 0.01, 0])
    drawn = at_most(labels, 33)
    assert len(drawn) == 33
    assert torch.equal(labels[drawn].any(0), labels.any(0))
