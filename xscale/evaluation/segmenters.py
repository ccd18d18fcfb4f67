"""What gives each pixel a class: seen at several scales, and two that are no network."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from ..types import Sample
from .features import Look, show
from .segmentation import UNLABELLED, confusions

#: Names of the answers that a network must at least beat.
MAJORITY, COLOURS = 'majority class', 'pixel colours'


class Segmenter(Protocol):
    """Gives each pixel of an image a score for each class."""

    def input_side(self, side: int, fixed: bool) -> int:
        """Return the side an image is resampled to before it is segmented.

        Args:
            side: Side of the image in pixels.
            fixed: Not used; for :func:`~.features.show`.
        """

    def __call__(self, image: Tensor, gsd: Tensor, valid: Tensor) -> Tensor:
        """Segment images.

        Args:
            image: In the files' units, shape (B, C, S, S).
            gsd: Metres per pixel, shape (B,).
            valid: True where a pixel holds data, shape (B, 1, S, S).

        Returns:
            Scores, shape (B, K, S, S).
        """


@torch.inference_mode()
def segmented(segmenter: Segmenter, batch: Sample, look: Look) -> Tensor:
    """Segment images as a look shows them, on the grid of the images as they are.

    Scores at fewer pixels are interpolated between them, and the best is taken then.

    Args:
        segmenter: What segments.
        batch: ``image`` (B, C, S, S), ``valid`` (B, 1, S, S) and ``gsd`` (B,).
        look: At which scale, and whether the images are enlarged again.

    Returns:
        Number of a class for each pixel, shape (B, S, S), int64.
    """
    scores = segmenter(*show(batch, look, segmenter)).float()
    size = batch['image'].shape[-2:]
    if scores.shape[-2:] != size:
        scores = F.interpolate(scores, size, mode='bilinear')
    return scores.argmax(1)


def count_images(
    segmenter: Segmenter,
    batches: Iterable[Sample],
    images: Sequence[int],
    looks: Sequence[Look],
    classes: int,
    progress: Callable[[int], object] = lambda tiles: None,
) -> dict[Look, Tensor]:
    """Segment all tiles of the test images, and count what was taken for what in each image.

    Args:
        segmenter: What segments.
        batches: The tiles in order, with ``mask`` (B, S, S), where the segmenter is.
        images: For each tile the number of its image, from 0 on.
        looks: How they are shown.
        classes: Number K of classes.
        progress: Called with the number of tiles that are done, each counted for every look.

    Returns:
        For each look the confusion matrix of each image, shape (N, K, K), int64.
    """
    found = {look: torch.zeros(max(images) + 1, classes, classes).long() for look in looks}
    start = 0
    for batch in batches:
        count = len(batch['image'])
        numbers = torch.tensor(images[start : start + count])
        for look in looks:
            predicted = segmented(segmenter, batch, look)
            found[look].index_add_(0, numbers, confusions(predicted, batch['mask'], classes).cpu())
        start += count
        progress(count * len(looks))
    return found


class PixelStatistics:
    """Counts, sums and products of the values of the pixels of each class, image by image."""

    def __init__(self, bands: int, classes: int) -> None:
        """Begin with none.

        Args:
            bands: Number C of bands.
            classes: Number K of classes.
        """
        self.count = torch.zeros(classes, dtype=torch.float64)
        self.total = torch.zeros(classes, bands, dtype=torch.float64)
        self.product = torch.zeros(bands, bands, dtype=torch.float64)

    def add(self, sample: Sample) -> Sample:
        """Add the labelled pixels of an image; it is returned as it came.

        Args:
            sample: ``image`` (C, H, W), ``valid`` (1, H, W) and ``mask`` (H, W).
        """
        used = (sample['mask'] != UNLABELLED) & sample['valid'][0]
        values = sample['image'].double()[:, used].mT
        own = F.one_hot(sample['mask'][used], len(self.count)).double()
        self.count += own.sum(0)
        self.total += own.mT @ values
        self.product += values.mT @ values
        return sample


class MajorityClass:
    """One answer for every pixel: the class that most training pixels are of."""

    def __init__(self, statistics: PixelStatistics) -> None:
        """Choose it.

        Args:
            statistics: Of training pixels.
        """
        self.scores = (statistics.count == statistics.count.max()).float()
        self.number = int(self.scores.argmax())

    def input_side(self, side: int, fixed: bool) -> int:
        """Return the side as it is."""
        return side

    def __call__(self, image: Tensor, gsd: Tensor, valid: Tensor) -> Tensor:
        """Answer; see :class:`Segmenter`."""
        scores = self.scores.to(image.device)[:, None, None]
        return scores.expand(len(image), -1, *image.shape[-2:])


class PixelColours:
    """The class whose mean colour is nearest to the pixel's own; its neighbours are not seen.

    Distances are Mahalanobis' with the covariance within classes: linear discriminant analysis
    (Fisher 1936) of classes that are equally likely.
    """

    def __init__(self, statistics: PixelStatistics) -> None:
        """Solve for the weights.

        Args:
            statistics: Of training pixels.
        """
        count = statistics.count.clamp(min=1)[:, None]
        mean = statistics.total / count
        within = statistics.product - (mean * count).mT @ mean
        within = within / statistics.count.sum().clamp(min=1)
        # Bands that never vary, or repeat one another, have no inverse.
        ridge = 1e-6 * within.diagonal().mean().clamp(min=1e-9)
        within = within + ridge * torch.eye(len(within), dtype=torch.float64)
        weight = torch.linalg.solve(within, mean.mT).mT
        bias = (-0.5 * (weight * mean).sum(1)).masked_fill(statistics.count == 0, -1e9)
        self.weight, self.bias = weight.float(), bias.float()

    def input_side(self, side: int, fixed: bool) -> int:
        """Return the side as it is."""
        return side

    def __call__(self, image: Tensor, gsd: Tensor, valid: Tensor) -> Tensor:
        """Answer; see :class:`Segmenter`."""
        weight, bias = (one.to(image.device) for one in (self.weight, self.bias))
        return F.conv2d(image.float(), weight[:, :, None, None], bias)


def untrained(statistics: PixelStatistics) -> dict[str, Any]:
    """Return what needs no network, by name.

    Args:
        statistics: Of training pixels.
    """
    return {MAJORITY: MajorityClass(statistics), COLOURS: PixelColours(statistics)}
