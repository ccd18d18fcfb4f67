"""Features and labels as the protocols take them, and what is said of those they cannot take."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import XScaleError

#: One feature for each image, shape (N, D): a tensor on the host, or an array, which may lie on a
#: disk (``numpy.memmap``) and is then read in parts.
type Features = Tensor | NDArray[Any]

#: Rows of features that are looked at together.
ROWS = 8192


class EvaluationError(XScaleError, ValueError):
    """Features or labels that cannot be evaluated."""


def rows(features: Features, index: slice | Tensor) -> Tensor:
    """Read some features.

    Args:
        features: Shape (N, D).
        index: Which: a slice, or numbers of shape (n,).

    Returns:
        Shape (n, D), float32, in memory.
    """
    if isinstance(features, Tensor):
        return features[index].float()
    part = features[index if isinstance(index, slice) else index.numpy()]
    # A copy, for memory maps may be read-only, which tensors cannot be.
    return torch.from_numpy(np.array(part, dtype=np.float32))


def parts(count: int, size: int = ROWS) -> Iterator[slice]:
    """Cut ``count`` rows into slices of at most ``size``."""
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


def check_features(features: Features, name: str, like: Features | None = None) -> None:
    """Refuse features that no protocol can take.

    Args:
        features: Shape (N, D).
        name: What they are of, for the message, such as 'gallery'.
        like: Features that must have as many dimensions, if any.

    Raises:
        EvaluationError: If there are none, they are not of two dimensions, are of another width
            than ``like``, or are not finite.
    """
    if features.ndim != 2:
        raise EvaluationError(
            f'{name} features of shape {tuple(features.shape)} came; one row for each image is '
            'needed, shape (N, D): pool the tokens first'
        )
    if 0 in features.shape:
        raise EvaluationError(
            f'{name} features of shape {tuple(features.shape)} hold nothing; at least one image '
            'is needed: look at the split they were computed from'
        )
    if like is not None and features.shape[1] != like.shape[1]:
        raise EvaluationError(
            f'{name} features have {features.shape[1]} dimensions, those they are compared with '
            f'{like.shape[1]}; compute both with one encoder and one pooling'
        )
    bad = torch.cat([~rows(features, part).isfinite().all(1) for part in parts(len(features))])
    if bad.any():
        raise EvaluationError(
            f'{int(bad.sum())} of {len(bad)} {name} features are not finite, the first is number '
            f'{int(bad.nonzero()[0])}; look at the values of those images, compute the features '
            'in float32, or leave the images out'
        )


def check_labels(labels: Tensor, classes: int, count: int, name: str) -> None:
    """Refuse labels that do not fit the features or the classes.

    Args:
        labels: Shape (N,), int64, or (N, K), bool, where an image may have several.
        classes: Number K of classes.
        count: Number N of features.
        name: What they are of, for the message.

    Raises:
        EvaluationError: If their number, type or values are wrong.
    """
    if len(labels) != count:
        raise EvaluationError(
            f'{len(labels)} {name} labels came for {count} images; one for each is needed'
        )
    if labels.ndim == 2:
        if labels.dtype != torch.bool or labels.shape[1] != classes:
            raise EvaluationError(
                f'{name} labels of shape {tuple(labels.shape)} and type {labels.dtype} came; '
                f'several labels an image are bool, one column for each of {classes} classes'
            )
    elif labels.ndim != 1 or labels.is_floating_point() or labels.dtype == torch.bool:
        raise EvaluationError(
            f'{name} labels of shape {tuple(labels.shape)} and type {labels.dtype} came; one '
            'label an image is a whole number, shape (N,)'
        )
    elif count and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise EvaluationError(
            f'{name} labels go from {int(labels.min())} to {int(labels.max())}; with {classes} '
            f'classes they are 0 to {classes - 1}'
        )


def check_same_kind(labels: Tensor, others: Tensor) -> None:
    """Refuse one label an image on one side and several on the other.

    Args:
        labels: Shape (N,) or (N, K).
        others: Shape (M,) or (M, K).

    Raises:
        EvaluationError: If they are not of one kind.
    """
    if labels.ndim != others.ndim:
        raise EvaluationError(
            f'labels of shapes {tuple(labels.shape)} and {tuple(others.shape)} came; both sides '
            'have one label an image, shape (N,), or both have several, shape (N, K)'
        )


def check_several_classes(labels: Tensor, name: str) -> None:
    """Refuse labels that are all of one class, where every answer would be right.

    Args:
        labels: Shape (N,) or (N, K).
        name: What they are of, for the message.

    Raises:
        EvaluationError: If fewer than two classes are there.
    """
    present = labels.any(0).nonzero()[:, 0] if labels.ndim == 2 else labels.unique()
    if len(present) < 2:
        which = f'of class {int(present[0])}' if len(present) else 'of no class'
        every = f'all {len(labels)} {name} labels are {which}'
        came = every if len(labels) else f'no {name} label came'
        raise EvaluationError(
            f'{came}; at least two classes are needed to tell anything apart: look at the folders '
            'or the split the labels come from'
        )
