"""Nearest neighbours of frozen features, and what they vote for."""

from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import UnknownNameError
from .checks import (
    EvaluationError,
    Features,
    check_features,
    check_labels,
    check_several_classes,
    parts,
    rows,
)

#: How near two features are.
Metric = Literal['cosine', 'euclidean']

#: Similarities held at a time: 64 MiB.
CELLS = 2**24


class Neighbours(NamedTuple):
    """The nearest of a gallery, nearest first.

    Attributes:
        indices: Their numbers in the gallery, shape (M, k), int64.
        similarities: Cosine, or minus the Euclidean distance, shape (M, k), float32.
    """

    indices: Tensor
    similarities: Tensor


def neighbours(
    gallery: Features, queries: Features, k: int, *, metric: Metric = 'cosine'
) -> Neighbours:
    """Find the nearest of a gallery for each query.

    By cosine both sides are read in parts and the best so far kept, so they may be larger than
    memory. By Euclidean distance scikit-learn finds them.

    Args:
        gallery: Shape (N, D).
        queries: Shape (M, D).
        k: How many, at most N.
        metric: 'cosine' or 'euclidean'.

    Raises:
        EvaluationError: If features cannot be compared, or the gallery has fewer than k.
        UnknownNameError: If there is no such metric.
    """
    if metric not in get_args(Metric):
        raise UnknownNameError('metric', metric, get_args(Metric))
    check_features(gallery, 'gallery')
    check_features(queries, 'query', gallery)
    if not 1 <= k <= len(gallery):
        raise EvaluationError(
            f'{k} neighbours were asked for, the gallery holds {len(gallery)} images; choose k '
            f'between 1 and {len(gallery)}, or take a larger gallery'
        )
    if metric == 'euclidean':
        return _euclidean(gallery, queries, k)
    found = [_nearest(gallery, rows(queries, part), k) for part in parts(len(queries), 1024)]
    return Neighbours(*(torch.cat(column) for column in zip(*found, strict=True)))


def _nearest(gallery: Features, queries: Tensor, k: int) -> Neighbours:
    """Find the nearest by cosine of a few queries, part by part of the gallery."""
    queries = F.normalize(queries, dim=-1)
    best = queries.new_empty(len(queries), 0)
    index = torch.empty(len(queries), 0, dtype=torch.int64)
    for part in parts(len(gallery), max(k, CELLS // len(queries))):
        similarity = queries @ F.normalize(rows(gallery, part), dim=-1).mT
        numbers = torch.arange(part.start, part.stop).expand(len(queries), -1)
        best, index = torch.cat([best, similarity], 1), torch.cat([index, numbers], 1)
        best, chosen = best.topk(min(k, best.shape[1]), dim=1)
        index = index.gather(1, chosen)
    return Neighbours(index, best)


def _euclidean(gallery: Features, queries: Features, k: int) -> Neighbours:
    """Find the nearest by distance, as scikit-learn does."""
    from sklearn.neighbors import NearestNeighbors

    search = NearestNeighbors(n_neighbors=k).fit(_array(gallery))
    distance, index = search.kneighbors(_array(queries))
    return Neighbours(torch.from_numpy(index), -torch.from_numpy(distance).float())


def _array(features: Features) -> object:
    return features.detach().float().numpy() if isinstance(features, Tensor) else features


def knn_scores(
    gallery: Features,
    labels: Tensor,
    queries: Features,
    *,
    k: int,
    classes: int,
    metric: Metric = 'cosine',
    temperature: float = 0.07,
) -> Tensor:
    """Let the nearest of a gallery vote for the classes of queries.

    By 'cosine', a vote weighs exp(similarity / temperature) (Wu et al., CVPR 2018,
    arXiv:1805.01978); Scale-MAE (Reed et al., ICCV 2023, arXiv:2212.14532) takes k = 20 and 0.07.
    By 'euclidean' all weigh the same, as in scikit-learn's ``KNeighborsClassifier``; TorchGeo's
    benchmarks take k = 5. (lightly's ``knn_predict`` ranks classes as 'cosine' does; it gives no
    scores, and takes neither parts of a gallery nor several labels.)

    Args:
        gallery: Features whose labels are known, shape (N, D).
        labels: Their labels, shape (N,), int64, or (N, K), bool.
        queries: Features to classify, shape (M, D).
        k: How many neighbours vote.
        classes: Number K of classes.
        metric: 'cosine' or 'euclidean'.
        temperature: Divides the cosine; has no unit.

    Returns:
        The weighted share of neighbours that have each class, shape (M, K), float32. Of one label
        an image the answer is the largest, the first where two are alike.

    Raises:
        EvaluationError: If features or labels cannot be used, or all labels are of one class.
        UnknownNameError: If there is no such metric.
    """
    check_labels(labels, classes, len(gallery), 'gallery')
    check_several_classes(labels, 'gallery')
    if not temperature > 0:
        raise EvaluationError(f'a temperature of {temperature} came; above 0 is needed')
    near = neighbours(gallery, queries, k, metric=metric)
    weight = torch.ones_like(near.similarities)
    if metric == 'cosine':
        weight = (near.similarities / temperature).softmax(1)
    voted = labels[near.indices]
    if labels.ndim == 1:
        votes = weight.new_zeros(len(weight), classes).scatter_add_(1, voted, weight)
    else:
        votes = (weight[:, None] @ voted.float())[:, 0]
    return votes / weight.sum(1, keepdim=True)
