"""How sure a figure is, from the test images it was measured on."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from .checks import EvaluationError

#: What is measured of each image, shape (N,), whose mean is the figure; or a function that takes
#: numbers of images, shape (S, N), and returns the figure of each row, shape (S,).
type Values = Tensor | Callable[[Tensor], Tensor]

#: Numbers of images drawn at a time: 32 MiB.
CELLS = 2**22


class Interval(NamedTuple):
    """A figure and its 95 % interval.

    Attributes:
        mean: The figure on all images.
        low: Lower end of the interval.
        high: Upper end.
    """

    mean: float
    low: float
    high: float


def figure(values: Values) -> Callable[[Tensor], Tensor]:
    """Return a function of numbers of images, shape (S, N) to (S,)."""
    if not isinstance(values, Tensor):
        return values
    known = values.double()
    return lambda index: known[index].mean(-1)


def count_images(values: Values, count: int | None = None) -> int:
    """Return on how many images a figure rests.

    Args:
        values: What is measured.
        count: The number of images, needed where ``values`` is a function.

    Raises:
        EvaluationError: If it is not known, is 0, or values are not finite or of another shape.
    """
    if isinstance(values, Tensor):
        if values.ndim != 1:
            raise EvaluationError(
                f'values of shape {tuple(values.shape)} came; one for each image is needed'
            )
        bad = int((~values.isfinite()).sum())
        if bad:
            raise EvaluationError(
                f'{bad} of {len(values)} values are not finite; leave out the images they are of'
            )
        if count is not None and count != len(values):
            raise EvaluationError(
                f'values of {len(values)} and of {count} images came; both must be measured on '
                'the same images, in one order'
            )
        count = len(values)
    if not count:
        number = 'an unknown number of' if count is None else count
        raise EvaluationError(
            f'a figure of {number} images has no interval; give at least one image, and with a '
            'function their number (count)'
        )
    return count


def bootstrap(
    values: Values, *, count: int | None = None, samples: int = 1000, seed: int = 0
) -> Interval:
    """Draw the images again and again, and see how the figure varies (Efron, 1979).

    Args:
        values: What is measured of each image, shape (N,), for the mean of it; or a function
            from numbers of images (S, N) to the figure of each row (S,).
        count: Number N of images, needed for a function.
        samples: How often N images are drawn with replacement.
        seed: Decides the draws; figures with one seed and N are drawn alike.

    Returns:
        The figure of all images and the 2.5 and 97.5 % quantiles of the draws.

    Raises:
        EvaluationError: If there is no image, a value is not finite, or samples is below 1.
    """
    count = count_images(values, count)
    if samples < 1:
        raise EvaluationError(f'{samples} samples came; at least 1 is needed, 1000 are usual')
    measured = figure(values)
    generator = torch.Generator().manual_seed(seed)
    drawn, each = [], max(1, CELLS // count)
    for start in range(0, samples, each):
        shape = (min(each, samples - start), count)
        drawn.append(measured(torch.randint(count, shape, generator=generator)).double())
    # A draw may hold no image of any class: nothing is then measured.
    low, high = torch.cat(drawn).nanquantile(torch.tensor([0.025, 0.975], dtype=torch.float64))
    return Interval(float(measured(torch.arange(count)[None])[0]), float(low), float(high))


def paired_difference(
    first: Values,
    second: Values,
    *,
    count: int | None = None,
    samples: int = 1000,
    seed: int = 0,
) -> Interval:
    """Compare two models on the same images.

    Both are measured on the same draws, so what makes an image hard for both cancels out. Where
    the interval holds 0, these images do not tell the two apart.

    Args:
        first: What the first model has, as for :func:`bootstrap`.
        second: What the second has on the same images in the same order.
        count: Number of images, needed where both are functions.
        samples: How often images are drawn.
        seed: Decides the draws.

    Returns:
        First minus second, with its interval.

    Raises:
        EvaluationError: As :func:`bootstrap`, or if the numbers of images differ.
    """
    for values in (first, second):
        if isinstance(values, Tensor):
            count = count_images(values, count)
    one, other = figure(first), figure(second)
    return bootstrap(
        lambda index: one(index) - other(index), count=count, samples=samples, seed=seed
    )
