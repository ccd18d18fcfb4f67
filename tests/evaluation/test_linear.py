"""The linear probe against scikit-learn's logistic regression on the same features."""

import time
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.preprocessing import StandardScaler

from xscale.evaluation import (
    EvaluationError,
    ProbeSettings,
    label_curve,
    label_subset,
    linear_probe,
)
from xscale.evaluation.fitting import RATES, Split, best

from ..tiny import seeded
from .features import clusters, several_labels


@pytest.mark.parametrize('decay', [0.01, 0.1])
def test_converged_with_weight_decay_it_is_logistic_regression(decay: float) -> None:
    """Both minimise one convex function: C = 1 / (labels · weight decay)."""
    train, labels = clusters(120, 4, 10, noise=2)
    test, test_labels = clusters(80, 4, 10, noise=2, seed=1)
    settings = ProbeSettings(rates=[0.3], epochs=600, batch=120, weight_decay=decay)
    probe = linear_probe(train, labels, test, test_labels, classes=4, settings=settings)
    scaler = StandardScaler().fit(train.double().numpy())
    reference = LogisticRegression(C=1 / (120 * decay), tol=1e-8, max_iter=1000)
    reference.fit(scaler.transform(train.double().numpy()), labels.numpy())
    expected = reference.predict_proba(scaler.transform(test.double().numpy()))
    np.testing.assert_allclose(probe.scores.softmax(1), expected, atol=1e-4)
    assert probe.score == (expected.argmax(1) == test_labels.numpy()).mean()


def test_several_labels_are_one_regression_each() -> None:
    train, labels = several_labels(150, 3, 8)
    test, test_labels = several_labels(90, 3, 8, seed=4)
    settings = ProbeSettings(rates=[0.3], epochs=600, batch=150, weight_decay=0.02)
    probe = linear_probe(train, labels, test, test_labels, classes=3, settings=settings)
    scaler = StandardScaler().fit(train.numpy())
    reference = OneVsRestClassifier(LogisticRegression(C=1 / (150 * 0.02), tol=1e-8))
    reference.fit(scaler.transform(train.numpy()), labels.numpy())
    expected = reference.predict_proba(scaler.transform(test.numpy()))
    np.testing.assert_allclose(probe.scores.sigmoid(), expected, atol=1e-4)
    np.testing.assert_array_equal(probe.predictions, expected > 0.5)
    precision = average_precision_score(test_labels.numpy(), expected, average='macro')
    assert probe.score == pytest.approx(precision, abs=1e-9)


def test_with_the_search_it_is_within_the_seeds_of_logistic_regression() -> None:
    """Each seed draws other labels; what they change is the spread to stay within."""
    train, labels = clusters(1200, 5, 16, noise=2.5)
    test, test_labels = clusters(1000, 5, 16, noise=2.5, seed=1)
    seeds = range(4)
    probes = label_curve(train, labels, test, test_labels, classes=5, shares=[0.5], seeds=seeds)
    expected = []
    for seed in seeds:
        drawn = label_subset(labels, 0.5, seed)
        scaler = StandardScaler().fit(train[drawn].numpy())
        reference = LogisticRegression().fit(scaler.transform(train[drawn].numpy()), labels[drawn])
        expected.append(reference.score(scaler.transform(test.numpy()), test_labels))
    assert 0.6 < min(expected) < max(expected) < 0.9
    scores = [probe.score for probe in probes]
    assert abs(np.mean(scores) - np.mean(expected)) <= np.std(expected)
    assert np.abs(np.subtract(scores, expected)).max() <= np.ptp(expected)
    assert all(probe.chosen_on == 120 and probe.labels_used == 600 for probe in probes)


def test_the_rate_is_the_one_best_on_validation() -> None:
    """On the split that is given, and nothing else: other labels choose another rate."""
    train, labels = clusters(60, 3, 20, noise=4)
    val, val_labels = clusters(300, 3, 20, noise=4, seed=2)
    settings = ProbeSettings(rates=[1e-6, 1e-1], epochs=20)
    given = {'classes': 3, 'val': val, 'settings': settings}
    right = linear_probe(train, labels, val, val_labels, val_labels=val_labels, **given)
    assert (right.rate, right.chosen_on) == (0.1, 300)
    single = {
        rate: linear_probe(
            train,
            labels,
            val,
            val_labels,
            classes=3,
            settings=ProbeSettings(rates=[rate], epochs=20),
        ).score
        for rate in settings.rates
    }
    assert single[right.rate] == right.score == max(single.values())


def test_equal_scores_go_to_the_lower_loss_and_divergence_comes_last() -> None:
    labels = torch.tensor([0, 1])
    split = Split(torch.zeros(2, 1), labels, torch.arange(2))
    sure = torch.tensor([[5.0, -5.0], [-5.0, 5.0]])
    logits = torch.stack([sure / 50, sure, sure * torch.nan, -sure])
    assert best(logits, split) == 1
    # What is not a number is taken for the first class, which here is right.
    first = Split(torch.zeros(2, 1), torch.tensor([0, 0]), torch.arange(2))
    assert best(torch.stack([sure[[0, 0]], sure * torch.nan]), first) == 0
    several = Split(torch.zeros(2, 1), torch.eye(2, dtype=torch.bool), torch.arange(2))
    assert best(logits, several) == 1


def test_few_labels() -> None:
    train, labels = clusters(500, 10, 16)
    test, test_labels = clusters(200, 10, 16, seed=1)
    probes = label_curve(train, labels, test, test_labels, classes=10, seeds=[0, 1])
    assert [(p.share, p.seed) for p in probes] == [(s, d) for s in (0.01, 0.1, 1) for d in (0, 1)]
    assert [p.labels_used for p in probes] == [10, 10, 50, 50, 500, 500]
    # With one label a class there is none to choose the rate with: the middle one.
    assert [p.chosen_on for p in probes] == [0, 0, 10, 10, 100, 100]
    assert probes[0].rate == sorted(RATES)[4]
    assert probes[0].score < probes[2].score < probes[4].score
    assert probes[0].score > 0.15
    assert not torch.equal(probes[0].scores, probes[1].scores)


def test_it_depends_on_the_seed_alone() -> None:
    train, labels = clusters(100, 4, 8)
    results = []
    for outer in (1, 2):
        torch.manual_seed(outer)
        results.append(linear_probe(train, labels, train, labels, classes=4, seed=5, share=0.5))
    assert torch.equal(results[0].scores, results[1].scores)
    assert torch.equal(results[0].predictions, results[0].scores.argmax(1))


def test_features_on_disk(tmp_path: Path) -> None:
    train, labels = clusters(100, 4, 8)
    np.save(tmp_path / 'x.npy', train.numpy())
    on_disk = np.load(tmp_path / 'x.npy', mmap_mode='r')
    first, second = (linear_probe(x, labels, x, labels, classes=4) for x in (train, on_disk))
    assert torch.equal(first.scores, second.scores)


def test_scale_and_constants_do_not_matter() -> None:
    train, labels = clusters(100, 4, 8)
    probe = linear_probe(train, labels, train, labels, classes=4)
    moved = torch.cat([train * 1e-3 + 1, torch.full((100, 1), 7.0)], dim=1)
    again = linear_probe(moved, labels, moved, labels, classes=4)
    torch.testing.assert_close(again.scores, probe.scores, atol=0.02, rtol=0.02)


def test_it_is_fast() -> None:
    """The size of a small benchmark: eight rates for a hundred epochs."""
    train = torch.randn(1100, 192, generator=seeded())
    labels = torch.arange(1100) % 10
    start = time.process_time()
    linear_probe(train, labels, train, labels, classes=10)
    assert time.process_time() - start < 5


def test_what_cannot_be_probed() -> None:
    train, labels = clusters(12, 3, 4)

    def ask(features=train, known=labels, test=train, test_known=labels, **options):
        return linear_probe(features, known, test, test_known, **{'classes': 3} | options)

    with pytest.raises(EvaluationError, match='all 12 training labels are of class 0'):
        ask(known=torch.zeros(12, dtype=torch.int64))
    with pytest.raises(EvaluationError, match='2 training labels came for 3 classes'):
        ask(train[:2], labels[:2])
    with pytest.raises(EvaluationError, match=r'training features .* hold nothing'):
        ask(train[:0], labels[:0])
    with pytest.raises(EvaluationError, match='test features have 3 dimensions'):
        ask(test=train[:, :3])
    with pytest.raises(EvaluationError, match='3 of 12 training features are not finite'):
        ask(torch.cat([train[:9], train[9:] * torch.inf]))
    with pytest.raises(EvaluationError, match='both have several'):
        ask(test_known=torch.ones(12, 3, dtype=torch.bool))
    with pytest.raises(EvaluationError, match='validation labels go from 0 to 5'):
        ask(val=train, val_labels=torch.arange(12) % 6)
    with pytest.raises(EvaluationError, match='give both or neither'):
        ask(val=train)
    with pytest.raises(EvaluationError, match='some above 0'):
        ProbeSettings(rates=[])
    with pytest.raises(EvaluationError, match='0 epochs'):
        ProbeSettings(epochs=0)
