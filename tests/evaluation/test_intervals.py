"""Intervals: deterministic, of the right width, and paired."""

import math

import pytest
import torch

from xscale.evaluation import (
    EvaluationError,
    bootstrap,
    intervals,
    mean_average_precision,
    paired_difference,
    resampled_precision,
)

from ..tiny import seeded


def test_of_a_share_it_is_the_binomial_one() -> None:
    """The standard error of a share p of N is √(p(1 − p) / N)."""
    hits = torch.arange(1000) < 800
    found = bootstrap(hits, samples=4000)
    error = 1.96 * math.sqrt(0.8 * 0.2 / 1000)
    assert found.mean == 0.8
    assert found.low == pytest.approx(0.8 - error, abs=0.1 * error)
    assert found.high == pytest.approx(0.8 + error, abs=0.1 * error)


def test_it_holds_the_truth_as_often_as_it_says() -> None:
    truth = torch.rand(300, 200, generator=seeded()) < 0.7
    held = [low <= 0.7 <= high for _, low, high in (bootstrap(hits, samples=400) for hits in truth)]
    # 95 % of 300, and twice its standard error.
    assert sum(held) / 300 == pytest.approx(0.95, abs=0.025)


def test_the_seed_decides() -> None:
    values = torch.randn(100, generator=seeded())
    torch.manual_seed(1)
    first = bootstrap(values, seed=3)
    torch.manual_seed(2)
    assert first == bootstrap(values, seed=3)
    assert first != bootstrap(values, seed=4)


def test_a_function_is_measured_on_the_same_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    values = torch.randn(100, generator=seeded())
    # In parts, as for many images.
    monkeypatch.setattr(intervals, 'CELLS', 1000)
    assert bootstrap(lambda index: values.double()[index].mean(1), count=100) == bootstrap(values)


def test_mean_average_precision() -> None:
    scores = torch.randn(60, 4, generator=seeded())
    labels = (scores + torch.randn(60, 4, generator=seeded(1))) > 0.8
    found = bootstrap(resampled_precision(scores, labels), count=60, samples=200)
    assert found.mean == pytest.approx(mean_average_precision(scores, labels))
    assert found.low < found.mean < found.high


def test_what_is_hard_for_both_cancels_out() -> None:
    """Two models that differ on 30 of 1000 images, of which the better wins 27."""
    second = torch.rand(1000, generator=seeded()) < 0.6
    first = second.clone()
    first[second.nonzero()[:3, 0]] = False
    first[(~second).nonzero()[:27, 0]] = True
    found = paired_difference(first, second)
    assert found.mean == pytest.approx(0.024)
    assert found.low > 0
    alone = bootstrap(first)
    assert found.high - found.low < 0.5 * (alone.high - alone.low)
    reverse = paired_difference(second, first)
    assert (reverse.mean, reverse.low, reverse.high) == pytest.approx(
        (-found.mean, -found.high, -found.low), abs=1e-12
    )
    assert paired_difference(first, first) == (0, 0, 0)


def test_what_has_no_interval() -> None:
    values = torch.ones(5)
    with pytest.raises(EvaluationError, match='0 images'):
        bootstrap(values[:0])
    with pytest.raises(EvaluationError, match=r'unknown number of images.*\(count\)'):
        bootstrap(lambda index: index.sum(1))
    with pytest.raises(EvaluationError, match='1 of 5 values are not finite'):
        bootstrap(values.index_fill(0, torch.tensor(2), torch.nan))
    with pytest.raises(EvaluationError, match=r'shape \(1, 5\)'):
        bootstrap(values[None])
    with pytest.raises(EvaluationError, match='0 samples'):
        bootstrap(values, samples=0)
    with pytest.raises(EvaluationError, match='of 4 and of 5 images'):
        paired_difference(values, values[:4])
