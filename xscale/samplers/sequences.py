"""Draw squares of ground that several images show at different dates."""

import math
from typing import Any

import numpy as np

from ..datasets.fmow import Crop, FMoW
from ..datasets.fmow.crops import same_ground
from ..errors import ConfigError
from .images import ImageSampler


class SequenceSampler(ImageSampler):
    """Draw a square from each location that has several images, in each of some of them.

    The images come in the order of time; where a location has fewer than wanted, some are shown
    again.

    Attributes:
        frames: Images of each square.
    """

    def __init__(self, dataset: FMoW, *, frames: int, **options: Any) -> None:
        """Look at what there is to draw from.

        Args:
            dataset: The images.
            frames: Images of each square.
            **options: What :class:`ImageSampler` takes; an epoch holds each location once.

        Raises:
            ConfigError: If there are to be fewer than two, or no location has two images.
        """
        if frames < 2:
            raise ConfigError(f'frames {frames}: 2 or more images of a place are needed')
        super().__init__(dataset, **options | {'balance': 'location'})
        several = self.dates > 1
        if not several.any():
            raise ConfigError(
                f'each of the {len(self.dates)} locations has a single image; train on single '
                'images, or take data of several dates'
            )
        self.frames, self.dates, self.first = frames, self.dates[several], self.first[several]
        if options.get('length') is None:
            self.batches = max(1, math.ceil(len(self.dates) / self.batch_size))

    def batch(self, epoch: int, number: int) -> list[Crop]:
        """Draw one whole batch and the dates of its squares; see :meth:`ImageSampler.batch`."""
        epoch = 0 if self.fixed else epoch
        # Another key than those of the squares and of their order.
        bits = np.random.Philox(key=self.seed + 2 * 2**64, counter=[0, 0, number, epoch])
        generator = np.random.Generator(bits)
        return [self._dated(crop, generator) for crop in super().batch(epoch, number)]

    def _dated(self, crop: Crop, generator: np.random.Generator) -> Crop:
        """Draw the images of a square, its own among them."""
        order = self.dataset.sequence(crop.row)
        others = generator.permutation([row for row in order if row != crop.row])
        rows = [crop.row, *others[: self.frames - 1].tolist()]
        rows = [rows[number % len(rows)] for number in range(self.frames)]
        images = self.dataset.images
        dates = (
            Crop(row, same_ground(images, crop.row, crop.part, row), crop.label)
            for row in sorted(rows, key=order.index)
        )
        return crop._replace(dates=tuple(dates))
