"""Find images of a class, or of one place, in a gallery at another GSD."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from .checks import (
    EvaluationError,
    Features,
    check_features,
    check_labels,
    check_same_kind,
    check_several_classes,
    parts,
    rows,
)
from .metrics import average_precision

#: Similarities held at a time: 8 MiB, and some times that to sort them.
CELLS = 2**21
RANKS = (1, 5, 10)


@dataclass(frozen=True, slots=True)
class Retrieval:
    """What was found.

    Attributes:
        recall: For each rank k, whether each query has at least one image of its class among the
            first k, shape (M,), bool; their mean is recall@k.
        precision: Average precision of each query over the whole gallery, shape (M,), float64;
            their mean is mAP. NaN where the gallery holds none of its class.
    """

    recall: dict[int, Tensor]
    precision: Tensor

    @property
    def mean_average_precision(self) -> float:
        """MAP: the mean over the queries whose class is in the gallery."""
        return float(self.precision.nanmean())

    def recall_at(self, rank: int) -> float:
        """Return the share of queries that have one of their class among the first."""
        return float(self.recall[rank].double().mean())


def retrieve(
    gallery: Features,
    labels: Tensor,
    queries: Features,
    query_labels: Tensor,
    *,
    ranks: Sequence[int] = RANKS,
    leave_out_own: bool = False,
) -> Retrieval:
    """Rank a gallery for each query by cosine and look for the query's class.

    Args:
        gallery: Features, usually at another GSD, shape (N, D).
        labels: Their classes, shape (N,), int64; or (N, K), bool, and then an image that shares a
            label is looked for.
        queries: Features, shape (M, D).
        query_labels: Their classes, likewise.
        ranks: Each k of recall@k.
        leave_out_own: Query i and image i of the gallery show one place, which does not count as
            found.

    Raises:
        EvaluationError: If features, labels or ranks cannot be used, or all are of one class.
    """
    _check(gallery, queries, ranks, leave_out_own)
    check_same_kind(labels, query_labels)
    if labels.ndim == 2:
        classes = labels.shape[1]
    else:
        classes = 1 + max([*labels.tolist(), *query_labels.tolist()], default=0)
    check_labels(labels, classes, len(gallery), 'gallery')
    check_labels(query_labels, classes, len(queries), 'query')
    check_several_classes(labels, 'gallery')
    hits: dict[int, list[Tensor]] = {rank: [] for rank in ranks}
    precision = []
    for part, similarity in _similarities(gallery, queries):
        if leave_out_own:
            # Below every cosine, so that it is ranked last, and not relevant.
            _own(similarity, part).fill_(-2.0)
        relevant = _relevant(query_labels[part], labels)
        if leave_out_own:
            _own(relevant, part).fill_(False)
        precision.append(average_precision(similarity, relevant))
        first = similarity.topk(min(max(ranks), len(gallery)), dim=1).indices
        found = relevant.gather(1, first)
        for rank in ranks:
            hits[rank].append(found[:, :rank].any(1))
    return Retrieval({rank: torch.cat(each) for rank, each in hits.items()}, torch.cat(precision))


def same_place(
    gallery: Features, queries: Features, *, ranks: Sequence[int] = RANKS
) -> dict[int, Tensor]:
    """Look for the image of the same place, which has the same number on both sides.

    Images as similar as the right one are ranked before it, so an encoder that has one answer for
    all images finds nothing.

    Args:
        gallery: Features of images at one GSD, shape (N, D).
        queries: Features of the same images at another, in the same order, shape (N, D).
        ranks: Each k of recall@k.

    Returns:
        For each k, whether each query has its place among the first k, shape (N,), bool; their
        mean is recall@k.

    Raises:
        EvaluationError: If features or ranks cannot be used, or the two sides are not of the same
            images.
    """
    _check(gallery, queries, ranks, True)
    place = []
    for part, similarity in _similarities(gallery, queries):
        own = _own(similarity, part)[:, None]
        place.append((similarity >= own).sum(1))
    placed = torch.cat(place)
    return {rank: placed <= rank for rank in ranks}


def _check(gallery: Features, queries: Features, ranks: Sequence[int], same_images: bool) -> None:
    check_features(gallery, 'gallery')
    check_features(queries, 'query', gallery)
    if not ranks or min(ranks) < 1:
        raise EvaluationError(f'ranks {list(ranks)} came; some, each at least 1, are needed')
    if same_images and len(gallery) != len(queries):
        raise EvaluationError(
            f'{len(queries)} queries and a gallery of {len(gallery)} came; to find the same place '
            'both must be the same images, in one order'
        )


def _similarities(gallery: Features, queries: Features) -> Iterator[tuple[slice, Tensor]]:
    """Compare some queries at a time with the whole gallery.

    Yields:
        Which queries, and their cosines, shape (n, N), float32.
    """
    for part in parts(len(queries), max(1, CELLS // len(gallery))):
        some = F.normalize(rows(queries, part), dim=-1)
        columns = [
            some @ F.normalize(rows(gallery, other), dim=-1).mT for other in parts(len(gallery))
        ]
        yield part, torch.cat(columns, dim=1)


def _own(matrix: Tensor, part: slice) -> Tensor:
    """Return, as a view, where each query meets its own number in the gallery, shape (n,)."""
    return matrix[:, part].diagonal()


def _relevant(queries: Tensor, gallery: Tensor) -> Tensor:
    """Tell which of the gallery share a class with each query, shape (n, N), bool."""
    if gallery.ndim == 1:
        return queries[:, None] == gallery
    return queries.float() @ gallery.float().mT > 0
