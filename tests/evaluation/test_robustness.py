"""Accuracy across scales: the numbers by hand, and that they are paired."""

import pytest
import torch

from xscale.evaluation import EvaluationError, bootstrap, resampled_precision, scale_robustness

from ..tiny import seeded


def test_by_hand() -> None:
    """Of ten images nine are right at full size, six at half and three at a quarter."""
    hits = {0.25: torch.arange(10) < 3, 1.0: torch.arange(10) < 9, 0.5: torch.arange(10) < 6}
    found = scale_robustness(hits)
    assert list(found.at) == [1.0, 0.5, 0.25]
    assert [each.mean for each in found.at.values()] == pytest.approx([0.9, 0.6, 0.3])
    assert found.mean.mean == pytest.approx(0.6)
    assert {scale: each.mean for scale, each in found.drop.items()} == pytest.approx(
        {0.5: 0.3, 0.25: 0.6}
    )
    assert found.reference == 1.0


def test_intervals_are_of_images_not_of_images_and_scales() -> None:
    """The same images at four scales are no four times as many."""
    hits = torch.rand(400, generator=seeded()) < 0.7
    found = scale_robustness(dict.fromkeys((0.125, 0.25, 0.5, 1.0), hits))
    assert found.mean == pytest.approx(bootstrap(hits))
    assert all(each == (0, 0, 0) for each in found.drop.values())


def test_the_mean_is_that_of_each_image() -> None:
    hits = {scale: torch.rand(100, generator=seeded(n)) < scale for n, scale in enumerate((0.5, 1))}
    found = scale_robustness(hits, samples=300, seed=2)
    both = torch.stack(list(hits.values())).double().mean(0)
    assert found.mean == pytest.approx(bootstrap(both, samples=300, seed=2))


def test_several_labels_an_image() -> None:
    scores = torch.randn(60, 3, generator=seeded())
    labels = scores > 0.5
    worse = scores + torch.randn(60, 3, generator=seeded(1))
    values = {1.0: resampled_precision(scores, labels), 0.5: resampled_precision(worse, labels)}
    found = scale_robustness(values, count=60, samples=100)
    assert found.at[1.0] == (1, 1, 1)
    assert found.drop[0.5].low > 0
    assert found.drop[0.5].mean == pytest.approx(1 - found.at[0.5].mean)


def test_what_cannot_be_summed_up() -> None:
    hits = torch.ones(5)
    with pytest.raises(EvaluationError, match='no scale came'):
        scale_robustness({})
    with pytest.raises(EvaluationError, match='each must be above 0'):
        scale_robustness({1.0: hits, 0.0: hits})
    with pytest.raises(EvaluationError, match='of 4 and of 5 images'):
        scale_robustness({1.0: hits, 0.5: hits[:4]})
    with pytest.raises(EvaluationError, match='unknown number of images'):
        scale_robustness({1.0: lambda index: index.sum(1)})
