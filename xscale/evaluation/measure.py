"""The protocols on the features of one encoder and one pooling, as plain numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import mean, stdev
from typing import Any

import torch
from torch import Tensor

from ..transforms import evenly
from .checks import Features, rows
from .collapse import check_collapse
from .intervals import Interval, Values, bootstrap, paired_difference
from .knn import knn_scores
from .linear import label_curve
from .metrics import classification_metrics, confusion_matrix, resampled_precision
from .retrieval import RANKS, retrieve, same_place
from .robustness import ScaleRobustness, scale_robustness

#: The two kinds of nearest neighbours: of Scale-MAE, and of TorchGeo's benchmarks.
NEIGHBOURS: dict[str, dict[str, Any]] = {
    'cosine_20': {'k': 20, 'metric': 'cosine'},
    'euclidean_5': {'k': 5, 'metric': 'euclidean'},
}

#: Images a collapse is judged by, and that look for one another, at most.
JUDGED, RETRIEVED = 4096, 5000


@dataclass(frozen=True, slots=True)
class Labels:
    """What the images show.

    Attributes:
        train: Shape (N,), int64, or (N, K), bool.
        test: Shape (M,) or (M, K).
        classes: Names of the K classes.
        val: Shape (V,) or (V, K), if there is a validation split.
    """

    train: Tensor
    test: Tensor
    classes: tuple[str, ...]
    val: Tensor | None = None

    @property
    def several(self) -> bool:
        """Whether an image may have several labels."""
        return self.test.ndim == 2


@dataclass(frozen=True, slots=True)
class Draws:
    """How intervals and probes are drawn.

    Attributes:
        samples: Bootstrap samples of test images.
        seed: Of everything.
        probes: Linear probes for each share of labels, with seeds of their own.
    """

    samples: int = 1000
    seed: int = 0
    probes: int = 3


def values(scores: Tensor, labels: Tensor) -> Values:
    """Return what the score is the mean of: hits, or of several labels a function for mAP.

    Args:
        scores: Shape (N, K).
        labels: Shape (N,) or (N, K).
    """
    if labels.ndim == 2:
        return resampled_precision(scores, labels)
    return (scores.argmax(1) == labels).float()


def knn(
    train: Features, test: Features, labels: Labels, draws: Draws
) -> tuple[dict[str, Any], Values]:
    """Measure both kinds of nearest neighbours at full scale.

    Args:
        train: Features of the gallery, (N, D).
        test: Features of the queries, (M, D).
        labels: What both show.
        draws: For the intervals.

    Returns:
        By kind ``score`` with its ``interval``, the metrics, and the confusion matrix as shares of
        each true class; and what the score of the first kind is the mean of.
    """
    found: dict[str, Any] = {}
    counted: list[Values] = []
    for name, kind in NEIGHBOURS.items():
        few = kind | {'k': min(kind['k'], len(train))}
        scores = knn_scores(train, labels.train, test, classes=len(labels.classes), **few)
        counted.append(own := values(scores, labels.test))
        interval = bootstrap(own, count=len(labels.test), samples=draws.samples, seed=draws.seed)
        found[name] = few | plain(interval) | classification_metrics(scores, labels.test)
        if not labels.several:
            counts = confusion_matrix(scores.argmax(1), labels.test, len(labels.classes)).double()
            shares = counts / counts.sum(1, keepdim=True).clamp(min=1)
            found[name]['confusion'] = [[round(v, 4) for v in row] for row in shares.tolist()]
    return found, counted[0]


def linear(
    train: Features,
    test: Features,
    val: Features | None,
    labels: Labels,
    shares: Sequence[float],
    draws: Draws,
) -> dict[str, Any]:
    """Train linear probes with a few and with all labels.

    Args:
        train: Features (N, D).
        test: Features (M, D).
        val: Features that choose the learning rate, if there are any.
        labels: What they show.
        shares: Shares of the training labels.
        draws: For the seeds.

    Returns:
        By share: mean ``score``, its standard deviation over the seeds, and every probe.
    """
    probes = label_curve(
        train,
        labels.train,
        test,
        labels.test,
        classes=len(labels.classes),
        shares=shares,
        seeds=[draws.seed + number for number in range(draws.probes)],
        val=val,
        val_labels=labels.val if val is not None else None,
    )
    found: dict[str, Any] = {}
    for share in shares:
        own = [probe for probe in probes if probe.share == share]
        scores = [probe.score for probe in own]
        found[f'{share:g}'] = {
            'score': mean(scores),
            'std': stdev(scores) if len(scores) > 1 else None,
            'labels': own[0].labels_used,
            'probes': [
                {'seed': probe.seed, 'score': probe.score, 'rate': probe.rate} for probe in own
            ],
        }
    return found


def robustness(
    train: Features,
    at: Mapping[float, Features],
    labels: Labels,
    draws: Draws,
    full: Values | None = None,
) -> dict[str, Any]:
    """Measure nearest neighbours of queries at several scales in a gallery at full scale.

    Args:
        train: Features of the gallery at full scale, (N, D).
        at: Features of the queries at each scale, (M, D).
        labels: What both show.
        draws: For the intervals.
        full: What :func:`knn` counted at full scale, which is then not looked for again.
    """
    kind = {**NEIGHBOURS['cosine_20']}
    kind['k'] = min(kind['k'], len(train))
    hits: dict[float, Values] = {}
    for scale, test in at.items():
        if scale == 1 and full is not None:
            hits[scale] = full
            continue
        scores = knn_scores(train, labels.train, test, classes=len(labels.classes), **kind)
        hits[scale] = values(scores, labels.test)
    return plain_curve(
        scale_robustness(hits, count=len(labels.test), samples=draws.samples, seed=draws.seed)
    )


def plain_curve(found: ScaleRobustness) -> dict[str, Any]:
    """Turn what was measured at several scales into plain numbers, coarse scales first.

    Args:
        found: What was measured.
    """
    scales = sorted(found.at)
    return {
        'scales': scales,
        'score': [found.at[scale].mean for scale in scales],
        'interval': [[found.at[scale].low, found.at[scale].high] for scale in scales],
        'mean': plain(found.mean),
        'reference': found.reference,
        'drop': {f'{scale:g}': plain(drop) for scale, drop in found.drop.items()},
    }


def retrieval(at: Mapping[float, Features], labels: Labels) -> dict[str, Any]:
    """Look for images of the class, and for the very place, at another scale.

    Queries and gallery are the test images, each at its scale; the image itself does not count as
    one of its class. Of many images some are taken, evenly chosen, for every one is compared with
    every other.

    Args:
        at: Features of the test images at each scale, (M, D).
        labels: What they show.

    Returns:
        ``scales``, the number of ``images``, and matrices over query (row) and gallery (column).
    """
    scales, count = sorted(at), len(labels.test)
    some = torch.tensor(evenly(count, RETRIEVED))
    shown = labels.test[some]
    features = {scale: rows(at[scale], some) for scale in scales}
    names = ['map', *(f'recall_{k}' for k in RANKS), *(f'place_{k}' for k in RANKS)]
    found: dict[str, Any] = {name: [] for name in names}
    for asked in scales:
        row = [_retrieved(features[asked], features[known], shown) for known in scales]
        for name in names:
            found[name].append([one[name] for one in row])
    return {'scales': scales, 'images': len(some)} | found


def _retrieved(queries: Tensor, gallery: Tensor, shown: Tensor) -> dict[str, float]:
    by_class = retrieve(gallery, shown, queries, shown, leave_out_own=True)
    place = same_place(gallery, queries)
    return {
        'map': by_class.mean_average_precision,
        **{f'recall_{k}': by_class.recall_at(k) for k in RANKS},
        **{f'place_{k}': float(place[k].double().mean()) for k in RANKS},
    }


def judge(features: Features) -> dict[str, Any]:
    """Tell whether features tell images apart.

    Args:
        features: Shape (N, D).
    """
    some = torch.tensor(evenly(len(features), JUDGED))
    return asdict(check_collapse(rows(features, some)))


def difference(first: Values, second: Values, count: int, draws: Draws) -> dict[str, Any]:
    """Compare two encoders on the same images.

    Args:
        first: What the first has of each image.
        second: What the second has.
        count: Number of images.
        draws: For the interval.

    Returns:
        First minus second: ``score`` and ``interval``.
    """
    return plain(
        paired_difference(first, second, count=count, samples=draws.samples, seed=draws.seed)
    )


def plain(interval: Interval) -> dict[str, Any]:
    """Turn a figure into plain numbers: ``score`` and ``interval``."""
    return {'score': interval.mean, 'interval': [interval.low, interval.high]}
