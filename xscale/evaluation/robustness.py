"""How much is lost as images become coarser.

The gallery or the training set stays at full resolution, only the test images are made coarser
(Scale-MAE, Reed et al., ICCV 2023, arXiv:2212.14532).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from .checks import EvaluationError
from .intervals import Interval, Values, bootstrap, count_images, figure, paired_difference


@dataclass(frozen=True, slots=True)
class ScaleRobustness:
    """A figure across scales.

    Attributes:
        at: The figure at each scale, finest first.
        mean: Its mean over the scales, as the papers report it.
        drop: What is lost at each coarser scale against the finest, of the same images.
        reference: The finest scale; 1 where the images were seen as they are.
    """

    at: dict[float, Interval]
    mean: Interval
    drop: dict[float, Interval]
    reference: float


def scale_robustness(
    values: Mapping[float, Values],
    *,
    count: int | None = None,
    samples: int = 1000,
    seed: int = 0,
) -> ScaleRobustness:
    """Sum up what was measured at several scales of the same test images.

    All intervals rest on the same draws of images, so the mean and the drops are paired.

    Args:
        values: At each scale (side over the full side, above 0): whether each image was right,
            shape (N,), bool or float; or a function, as for :func:`~.intervals.bootstrap`.
        count: Number N of images, needed where all are functions.
        samples: How often images are drawn.
        seed: Decides the draws.

    Raises:
        EvaluationError: If there is no scale, one is not above 0, or the numbers of images differ.
    """
    if not values:
        raise EvaluationError('no scale came; at least one, usually 1, is needed')
    if not all(scale > 0 for scale in values):
        raise EvaluationError(f'scales {sorted(values)} came; each must be above 0')
    for value in values.values():
        if isinstance(value, Tensor):
            count = count_images(value, count)
    scales = sorted(values, reverse=True)
    measured = [figure(values[scale]) for scale in scales]

    def mean(index: Tensor) -> Tensor:
        return torch.stack([each(index) for each in measured]).mean(0)

    def interval(value: Values) -> Interval:
        return bootstrap(value, count=count, samples=samples, seed=seed)

    reference = scales[0]
    drop = {
        scale: paired_difference(
            values[reference], values[scale], count=count, samples=samples, seed=seed
        )
        for scale in scales[1:]
    }
    at = {scale: interval(values[scale]) for scale in scales}
    return ScaleRobustness(at, interval(mean), drop, reference)
