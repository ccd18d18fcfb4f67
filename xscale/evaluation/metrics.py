"""How good predictions are, as one figure."""

from collections.abc import Callable

import torch
from torch import Tensor

from .checks import EvaluationError, check_labels


def confusion_matrix(predictions: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Count what was taken for what.

    Args:
        predictions: Predicted classes, shape (N,), int64.
        labels: True classes, shape (N,), int64.
        classes: Number K of classes.

    Returns:
        Images of each true class (row) that were taken for each class (column), shape (K, K).

    Raises:
        EvaluationError: If there is no image, or they are not classes.
    """
    from torchmetrics.functional.classification import multiclass_confusion_matrix

    _check(labels, labels, classes)
    check_labels(predictions, classes, len(labels), 'predicted')
    # torchmetrics knows no task of fewer than two classes.
    matrix = multiclass_confusion_matrix(predictions, labels, max(classes, 2))
    return matrix[:classes, :classes]


def classification_metrics(scores: Tensor, labels: Tensor) -> dict[str, float]:
    """Measure predictions of classes.

    Args:
        scores: A score for each class, shape (N, K); votes, probabilities or logits.
        labels: Shape (N,), int64, or (N, K), bool, where an image may have several.

    Returns:
        Of one label an image: 'accuracy', the share of images that are right; 'class_accuracy',
        that share averaged over the classes that are there (balanced accuracy); 'macro_f1', F1
        averaged over the classes that are there or predicted. Of several labels an image:
        'mean_average_precision', averaged over the classes that are there.

    Raises:
        EvaluationError: If there is no image, or scores and labels do not fit.
    """
    from torchmetrics.functional.classification import multiclass_f1_score

    _check(scores, labels, scores.shape[-1])
    if labels.ndim == 2:
        return {'mean_average_precision': mean_average_precision(scores, labels)}
    predictions, classes = scores.argmax(1), scores.shape[1]
    matrix = confusion_matrix(predictions, labels, classes).double()
    right, there = matrix.diag(), matrix.sum(1)
    f1 = multiclass_f1_score(predictions, labels, max(classes, 2), average='macro')
    return {
        'accuracy': float(right.sum() / there.sum()),
        # torchmetrics' counts a class that is predicted and never there as one of accuracy 0.
        'class_accuracy': float((right / there)[there > 0].mean()),
        'macro_f1': float(f1),
    }


def average_precision(scores: Tensor, relevant: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return the area under each row's curve of precision over recall, without interpolation.

    As scikit-learn's ``average_precision_score``, ties and weights included, of many rows at once.
    (torchmetrics takes one row, and puts scores beyond 0..1 through a sigmoid, which makes ties.)

    Args:
        scores: Shape (..., N).
        relevant: Whether each is what is looked for, shape (..., N), bool.
        weight: How often each counts, shape (..., N); once by default.

    Returns:
        Shape (...), float64; NaN where nothing is relevant.
    """
    counted = torch.ones_like(scores, dtype=torch.float64) if weight is None else weight.double()
    scores, relevant, counted = torch.broadcast_tensors(scores, relevant, counted)
    scores, order = scores.sort(dim=-1, descending=True)
    counted = counted.gather(-1, order)
    found = counted * relevant.gather(-1, order)
    # Those of one score are retrieved together: the last of them has the precision of all.
    last = torch.ones_like(scores, dtype=torch.bool)
    last[..., :-1] = scores[..., :-1] != scores[..., 1:]
    place = torch.arange(scores.shape[-1], device=scores.device).expand_as(scores)
    place = place.where(last, scores.shape[-1]).flip(-1).cummin(-1).values.flip(-1)
    precision = found.cumsum(-1) / counted.cumsum(-1).clamp(min=torch.finfo(torch.float64).tiny)
    return (precision.gather(-1, place) * found).sum(-1) / found.sum(-1)


def mean_average_precision(scores: Tensor, labels: Tensor) -> float:
    """Average the average precision over the classes that are there (macro mAP).

    Args:
        scores: Shape (N, K).
        labels: Shape (N, K), bool.

    Returns:
        0 to 1; NaN where no image has a label.

    Raises:
        EvaluationError: If there is no image, or scores and labels do not fit.
    """
    _check(scores, labels, scores.shape[-1])
    return float(average_precision(scores.mT, labels.mT).nanmean())


def resampled_precision(scores: Tensor, labels: Tensor) -> Callable[[Tensor], Tensor]:
    """Return the macro mAP as a function of the images it is measured on, for ``bootstrap``.

    Args:
        scores: Shape (N, K).
        labels: Shape (N, K), bool.

    Returns:
        A function from numbers of images, shape (S, n), repeated or not, to mAP, shape (S,).

    Raises:
        EvaluationError: If there is no image, or scores and labels do not fit.
    """
    _check(scores, labels, scores.shape[-1])

    def measured(index: Tensor) -> Tensor:
        often = torch.zeros(len(index), len(scores), dtype=torch.float64)
        often.scatter_add_(1, index, torch.ones_like(index, dtype=torch.float64))
        classes = [
            average_precision(score, label, often)
            for score, label in zip(scores.mT, labels.mT, strict=True)
        ]
        return torch.stack(classes).nanmean(0)

    return measured


def _check(scores: Tensor, labels: Tensor, classes: int) -> None:
    """Refuse no images, and scores that do not fit the labels."""
    if not len(labels):
        raise EvaluationError('no image came; nothing can be measured on an empty split')
    check_labels(labels, classes, len(scores), 'true')
    bad = int((~scores.isfinite()).sum())
    if bad:
        raise EvaluationError(
            f'{bad} of {scores.numel()} scores are not finite; look at the features they come from'
        )
