"""How good maps of classes are: confusion matrices image by image, and what is read off them."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .checks import EvaluationError
from .intervals import Interval, Values, bootstrap
from .measure import Draws, plain, plain_curve
from .robustness import scale_robustness

#: Number of pixels that are not labelled.
UNLABELLED = 255


class Pixels(NamedTuple):
    """Pixels of each class, counted over some images.

    Attributes:
        hit: Of the class and taken for it, shape (..., K).
        true: Of the class, likewise.
        taken: Taken for it, likewise.
    """

    hit: Tensor
    true: Tensor
    taken: Tensor


def confusions(predicted: Tensor, mask: Tensor, classes: int, ignored: int = UNLABELLED) -> Tensor:
    """Count for each image what its pixels were taken for.

    Args:
        predicted: Number of a class for each pixel, shape (B, H, W), int64.
        mask: The true one, likewise.
        classes: Number K of classes.
        ignored: What is not labelled in ``mask``, and not counted.

    Returns:
        Pixels of each true class (row) that were taken for each class (column), shape (B, K, K).

    Raises:
        EvaluationError: If shapes differ, or a number is no class.
    """
    if predicted.shape != mask.shape or mask.ndim != 3:
        raise EvaluationError(
            f'predictions of shape {tuple(predicted.shape)} and masks of {tuple(mask.shape)} came; '
            'both (B, H, W) are needed'
        )
    counted = mask != ignored
    true, taken = mask[counted], predicted[counted]
    for name, numbers in (('masks', true), ('predictions', taken)):
        if len(numbers) and not 0 <= int(numbers.min()) <= int(numbers.max()) < classes:
            raise EvaluationError(
                f'{name} go from {int(numbers.min())} to {int(numbers.max())}; with {classes} '
                f'classes they are 0 to {classes - 1}, and {ignored} is not labelled'
            )
    image = torch.arange(len(mask), device=mask.device)[:, None, None].expand_as(mask)[counted]
    cell = (image * classes + true) * classes + taken
    count = torch.bincount(cell, minlength=len(mask) * classes**2)
    return count.view(len(mask), classes, classes)


def pixels_of(matrices: Tensor) -> Pixels:
    """Sum up confusion matrices.

    Args:
        matrices: Shape (..., K, K), true classes in rows.
    """
    counts = matrices.double()
    return Pixels(counts.diagonal(dim1=-2, dim2=-1), counts.sum(-1), counts.sum(-2))


def iou(pixels: Pixels) -> Tensor:
    """Return the intersection over union of each class (Jaccard index).

    Args:
        pixels: Some.

    Returns:
        Shape (..., K); NaN for a class that is neither there nor predicted.
    """
    return pixels.hit / (pixels.true + pixels.taken - pixels.hit)


def _iou_of(pixels: Pixels, number: int) -> Tensor:
    return iou(pixels)[..., number]


def mean_iou(pixels: Pixels) -> Tensor:
    """Return the mIoU, shape (...): IoU averaged over the classes that are there or predicted."""
    return iou(pixels).nanmean(-1)


def accuracy(pixels: Pixels) -> Tensor:
    """Return the share of pixels that are right, shape (...)."""
    return pixels.hit.sum(-1) / pixels.true.sum(-1)


def macro_f1(pixels: Pixels) -> Tensor:
    """Return F1 averaged over the classes that are there or predicted, shape (...)."""
    return (2 * pixels.hit / (pixels.true + pixels.taken)).nanmean(-1)


def resampled(matrices: Tensor, measure: Callable[[Pixels], Tensor]) -> Values:
    """Return a measure as a function of the images it is taken over, for ``bootstrap``.

    Args:
        matrices: Of each image, shape (N, K, K).
        measure: Such as :func:`mean_iou`.

    Returns:
        A function from numbers of images, shape (S, n), repeated or not, to the measure of all
        their pixels together, shape (S,).
    """
    flat = torch.cat(pixels_of(matrices), dim=-1)

    def measured(index: Tensor) -> Tensor:
        often = torch.zeros(len(index), len(flat), dtype=torch.float64)
        often.scatter_add_(1, index, torch.ones_like(index, dtype=torch.float64))
        return measure(Pixels(*(often @ flat).chunk(3, dim=-1)))

    return measured


def measure_maps(matrices: Tensor, classes: Sequence[str], draws: Draws) -> dict[str, Any]:
    """Measure maps of classes at full scale.

    Args:
        matrices: Of each test image, shape (N, K, K).
        classes: Names of the K classes.
        draws: For the intervals.

    Returns:
        ``miou``, ``accuracy`` and ``macro_f1``, each ``score`` and ``interval``; ``iou`` by class
        likewise, None for a class that is neither there nor predicted; and the summed
        ``confusion`` matrix.

    Raises:
        EvaluationError: If no pixel is labelled.
    """
    total = matrices.sum(0)
    if not total.sum():
        raise EvaluationError(
            f'none of the pixels of {len(matrices)} test images is labelled; nothing can be '
            'measured: look at the masks, and at the value that is ignored'
        )

    def measured(measure: Callable[[Pixels], Tensor]) -> Interval:
        return bootstrap(
            resampled(matrices, measure),
            count=len(matrices),
            samples=draws.samples,
            seed=draws.seed,
        )

    known = iou(pixels_of(total)).isfinite().tolist()
    by_class = {
        name: plain(measured(partial(_iou_of, number=k))) if known[k] else None
        for k, name in enumerate(classes)
    }
    names = {'miou': mean_iou, 'accuracy': accuracy, 'macro_f1': macro_f1}
    found: dict[str, Any] = {name: plain(measured(one)) for name, one in names.items()}
    return found | {'iou': by_class, 'confusion': total.tolist()}


def measure_scales(matrices: Mapping[float, Tensor], draws: Draws) -> dict[str, Any]:
    """Measure maps of test images that were made coarser, against masks at full scale.

    Args:
        matrices: At each scale those of each image, shape (N, K, K).
        draws: For the intervals.

    Returns:
        mIoU at each scale, its mean over them and its drops, with intervals.
    """
    values = {scale: resampled(one, mean_iou) for scale, one in matrices.items()}
    count = len(next(iter(matrices.values())))
    found = scale_robustness(values, count=count, samples=draws.samples, seed=draws.seed)
    return plain_curve(found)
