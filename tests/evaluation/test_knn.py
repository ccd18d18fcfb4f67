"""Nearest neighbours against scikit-learn, lightly and small cases by hand."""

from pathlib import Path

import numpy as np
import pytest
import torch
from lightly.utils.benchmarking import knn_predict
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.neighbors import KNeighborsClassifier
from torch.nn import functional as F

from xscale.errors import UnknownNameError
from xscale.evaluation import EvaluationError, knn, knn_scores, neighbours

from ..tiny import seeded
from .features import clusters, several_labels


@pytest.mark.parametrize('temperature', [0.07, 0.5])
def test_weighted_cosine_is_lightlys(temperature: float) -> None:
    gallery, labels = clusters(300, 7, 12)
    queries, _ = clusters(90, 7, 12, seed=1)
    scores = knn_scores(gallery, labels, queries, k=20, classes=7, temperature=temperature)
    unit, bank = F.normalize(queries, dim=1), F.normalize(gallery, dim=1).T
    ranked = knn_predict(unit, bank, labels, 7, knn_k=20, knn_t=temperature)
    assert torch.equal(scores.argmax(1), ranked[:, 0])
    torch.testing.assert_close(scores.sum(1), torch.ones(90))


def test_votes_by_hand() -> None:
    gallery = torch.tensor([[1.0, 0.0], [0.0, 5.0], [-2.0, 0.0]])
    scores = knn_scores(
        gallery,
        torch.tensor([0, 1, 1]),
        torch.tensor([[3.0, 0.0]]),
        k=2,
        classes=3,
        temperature=0.5,
    )
    first = np.exp(1 / 0.5) / (np.exp(1 / 0.5) + 1)
    torch.testing.assert_close(scores, torch.tensor([[first, 1 - first, 0]], dtype=torch.float32))


@pytest.mark.parametrize('dim', [2, 40])
def test_euclidean_is_scikit_learns_ties_included(dim: int) -> None:
    """Features on a small lattice: many distances and many votes are alike."""
    gallery = torch.randint(3, (200, dim), generator=seeded()).float()
    labels = torch.randint(6, (200,), generator=seeded(1))
    queries = torch.randint(3, (150, dim), generator=seeded(2)).float()
    scores = knn_scores(gallery, labels, queries, k=5, classes=6, metric='euclidean')
    reference = KNeighborsClassifier(5).fit(gallery.numpy(), labels.numpy())
    np.testing.assert_allclose(scores, reference.predict_proba(queries.numpy()), atol=1e-6)
    np.testing.assert_array_equal(scores.argmax(1), reference.predict(queries.numpy()))


def test_cosine_and_euclidean_agree_on_unit_features() -> None:
    gallery, _ = clusters(50, 5, 8)
    gallery = F.normalize(gallery, dim=1)
    cosine, euclidean = (
        neighbours(gallery[5:], gallery[:5], 4, metric=m) for m in ('cosine', 'euclidean')
    )
    assert torch.equal(cosine.indices, euclidean.indices)
    torch.testing.assert_close(
        2 - 2 * cosine.similarities, euclidean.similarities**2, atol=1e-5, rtol=0
    )


def test_parts_and_maps_on_disk_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery, queries = clusters(500, 5, 16)[0], clusters(40, 5, 16, seed=1)[0]
    every = cosine_similarity(queries.numpy(), gallery.numpy())
    expected = np.argsort(-every, axis=1)[:, :10]
    monkeypatch.setattr(knn, 'CELLS', 40 * 33)
    for name, array in [('gallery', gallery), ('queries', queries)]:
        np.save(tmp_path / f'{name}.npy', array.numpy())
    on_disk = [np.load(tmp_path / f'{name}.npy', mmap_mode='r') for name in ('gallery', 'queries')]
    for pair in ((gallery, queries), on_disk):
        near = neighbours(*pair, 10)
        np.testing.assert_array_equal(near.indices, expected)
        np.testing.assert_allclose(
            near.similarities, np.take_along_axis(every, expected, 1), atol=1e-5
        )
    scores = [
        knn_scores(a, torch.arange(500) % 5, b, k=5, classes=5, metric='euclidean')
        for a, b in ((gallery, queries), on_disk)
    ]
    assert torch.equal(*scores)


@pytest.mark.parametrize('metric', ['cosine', 'euclidean'])
def test_several_labels_are_averaged(metric: knn.Metric) -> None:
    gallery, labels = several_labels(80, 4, 10)
    queries, _ = several_labels(9, 4, 10, seed=5)
    scores = knn_scores(gallery, labels, queries, k=6, classes=4, metric=metric)
    near = neighbours(gallery, queries, 6, metric=metric)
    for query in range(9):
        weight = np.ones(6)
        if metric == 'cosine':
            weight = np.exp(near.similarities[query].numpy() / 0.07)
        expected = np.average(labels[near.indices[query]].numpy(), axis=0, weights=weight)
        np.testing.assert_allclose(scores[query], expected, rtol=1e-4)


def test_what_cannot_be_asked() -> None:
    gallery, labels = clusters(12, 3, 4)
    queries = gallery[:2]

    def ask(features=gallery, known=labels, asked=queries, k=3, **options):
        return knn_scores(features, known, asked, k=k, classes=3, **options)

    assert ask(k=12).shape == (2, 3)
    with pytest.raises(EvaluationError, match=r'13 neighbours .* gallery holds 12'):
        ask(k=13)
    with pytest.raises(EvaluationError, match='all 12 gallery labels are of class 2'):
        ask(known=torch.full((12,), 2))
    with pytest.raises(EvaluationError, match='5 gallery labels came for 12 images'):
        ask(known=labels[:5])
    with pytest.raises(EvaluationError, match=r'labels go from 0 to 3; with 3 classes'):
        ask(known=labels + (labels == 2))
    with pytest.raises(EvaluationError, match='is a whole number'):
        ask(known=labels.float())
    with pytest.raises(EvaluationError, match='one column for each of 3 classes'):
        ask(known=torch.ones(12, 2, dtype=torch.bool))
    with pytest.raises(EvaluationError, match='hold nothing'):
        ask(asked=queries[:0])
    with pytest.raises(EvaluationError, match=r'query features have 3 dimensions.*with 4'):
        ask(asked=queries[:, :3])
    with pytest.raises(EvaluationError, match='pool the tokens first'):
        ask(asked=queries[None])
    with pytest.raises(EvaluationError, match=r'1 of 2 query features are not finite.*number 1'):
        ask(asked=queries.index_put((torch.tensor(1), torch.tensor(2)), torch.tensor(torch.nan)))
    with pytest.raises(EvaluationError, match='temperature of 0'):
        ask(temperature=0)
    with pytest.raises(UnknownNameError, match="unknown metric 'manhattan'"):
        ask(metric='manhattan')
