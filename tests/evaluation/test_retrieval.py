"""Retrieval across scales against scikit-learn and small cases by hand."""

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score
from sklearn.metrics.pairwise import cosine_similarity
from torchmetrics.functional.retrieval import retrieval_average_precision, retrieval_hit_rate

from xscale.evaluation import EvaluationError, retrieval, retrieve, same_place

from ..tiny import seeded
from .features import clusters, several_labels


@pytest.mark.parametrize('cells', [2**21, 7 * 60])
def test_against_scikit_learn_and_torchmetrics(cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrieval, 'CELLS', cells)
    gallery, labels = clusters(60, 4, 8, noise=3)
    queries, query_labels = clusters(25, 4, 8, noise=3, seed=1)
    found = retrieve(gallery, labels, queries, query_labels)
    every = cosine_similarity(queries.numpy(), gallery.numpy())
    relevant = (query_labels[:, None] == labels).numpy()
    expected = [average_precision_score(r, s) for r, s in zip(relevant, every, strict=True)]
    np.testing.assert_allclose(found.precision, expected, atol=1e-6)
    assert found.mean_average_precision == pytest.approx(np.mean(expected))
    for query in range(25):
        # torchmetrics takes nothing whose score is not above 0 for found.
        score, right = torch.from_numpy(every[query] + 2), torch.from_numpy(relevant[query])
        assert retrieval_average_precision(score, right) == pytest.approx(expected[query], abs=1e-5)
        for rank in (1, 5, 10):
            assert found.recall[rank][query] == retrieval_hit_rate(score, right, top_k=rank)
    assert found.recall_at(1) < found.recall_at(5) <= found.recall_at(10)


def test_by_hand() -> None:
    """One query; right answers stand second and fourth: AP = (1/2 + 2/4) / 2."""
    gallery = torch.tensor([[1.0, 0.1], [1.0, 0.2], [1.0, 0.3], [1.0, 0.4]])
    query, label = torch.tensor([[1.0, 0.0]]), torch.tensor([1])
    found = retrieve(gallery, torch.tensor([0, 1, 0, 1]), query, label, ranks=[1, 2])
    assert found.precision.tolist() == [0.5]
    assert (found.recall_at(1), found.recall_at(2)) == (0, 1)


def test_the_own_place_can_be_left_out() -> None:
    features, labels = clusters(30, 3, 6, noise=2)
    kept = retrieve(features, labels, features, labels)
    assert kept.recall_at(1) == 1
    left_out = retrieve(features, labels, features, labels, leave_out_own=True)
    every = cosine_similarity(features.numpy())
    for query in range(30):
        others = np.arange(30) != query
        right = (labels == labels[query]).numpy()[others]
        expected = average_precision_score(right, every[query][others])
        assert left_out.precision[query] == pytest.approx(expected, abs=1e-6)
    assert left_out.recall_at(1) < 1


def test_classes_that_the_gallery_lacks() -> None:
    gallery, labels = clusters(20, 2, 6)
    found = retrieve(gallery, labels, gallery[:2], torch.tensor([0, 7]))
    assert found.precision.isnan().tolist() == [False, True]
    assert found.mean_average_precision == pytest.approx(float(found.precision[0]))
    assert not found.recall[10][1]


def test_several_labels() -> None:
    gallery, labels = several_labels(40, 4, 8)
    queries, query_labels = several_labels(10, 4, 8, seed=5)
    found = retrieve(gallery, labels, queries, query_labels)
    every = cosine_similarity(queries.numpy(), gallery.numpy())
    for query in range(10):
        right = (labels & query_labels[query]).any(1)
        if right.any():
            expected = average_precision_score(right, every[query])
            assert found.precision[query] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize('cells', [2**21, 3 * 50])
def test_same_place(cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrieval, 'CELLS', cells)
    gallery = torch.randn(50, 8, generator=seeded())
    queries = gallery + torch.randn(50, 8, generator=seeded(1))
    found = same_place(gallery, queries, ranks=[1, 5, 50])
    order = np.argsort(-cosine_similarity(queries.numpy(), gallery.numpy()), axis=1)
    place = [list(row).index(query) for query, row in enumerate(order)]
    assert found[1].tolist() == [p < 1 for p in place]
    assert found[5].tolist() == [p < 5 for p in place]
    assert 0.1 < found[1].float().mean() < found[5].float().mean() < 1
    assert found[50].all()


def test_one_answer_for_all_finds_no_place() -> None:
    same = torch.ones(20, 4)
    found = same_place(same, same)
    assert not any(each.any() for each in found.values())


def test_what_cannot_be_searched() -> None:
    gallery, labels = clusters(12, 3, 4)

    def ask(known=labels, asked=gallery, **options):
        return retrieve(gallery, known, asked, labels[: len(asked)], **options)

    with pytest.raises(EvaluationError, match='all 12 gallery labels are of class 1'):
        ask(torch.ones(12, dtype=torch.int64))
    with pytest.raises(EvaluationError, match='0 gallery labels came for 12'):
        ask(labels[:0])
    with pytest.raises(EvaluationError, match='both have several'):
        ask(torch.ones(12, 3, dtype=torch.bool))
    with pytest.raises(EvaluationError, match='each at least 1'):
        ask(ranks=[0, 1])
    with pytest.raises(EvaluationError, match='5 queries and a gallery of 12'):
        ask(asked=gallery[:5], leave_out_own=True)
    with pytest.raises(EvaluationError, match='5 queries and a gallery of 12'):
        same_place(gallery, gallery[:5])
    with pytest.raises(EvaluationError, match='12 of 12 query features are not finite'):
        ask(asked=gallery * torch.nan)
