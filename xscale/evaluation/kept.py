"""Labelled images that are read once and looked at again and again."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..types import Sample
from .features import Squares

#: Types of whole numbers that take less memory than float32, the smallest first.
SMALL = (torch.uint8, torch.int16)


class Kept(Dataset[Sample]):
    """Squares in memory, as :class:`~.features.Squares` gives them."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        """Take them.

        Args:
            samples: Packed squares.
        """
        self.samples = list(samples)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.samples)

    def __getitem__(self, index: int) -> Sample:
        """Return image, valid and gsd."""
        sample = self.samples[index]
        return sample | {'image': sample['image'].float()}


def keep_squares(
    split: Any, side: int, room: int, progress: Callable[[int], object] = lambda images: None
) -> Dataset[Sample]:
    """Read images once and keep them in memory, to the bit, if there is room.

    Args:
        split: Images, as :mod:`xscale.datasets.labelled` gives them.
        side: Side of the squares in pixels.
        room: Bytes they may take.
        progress: Called with the number of images read.

    Returns:
        The squares; where they need more room, they are read each time.
    """
    squares, kept, used = Squares(split, side), [], 0
    for index in range(len(squares)):
        sample = _packed(squares[index])
        used += sum(tensor.untyped_storage().nbytes() for tensor in sample.values())
        if used > room:
            return squares
        kept.append(sample)
        progress(1)
    return Kept(kept)


def _packed(sample: Sample) -> Sample:
    """Store an image in as few bytes as hold all of its values."""
    image, valid = sample['image'], sample['valid']
    if bool(valid.all()):
        valid = valid.new_ones(()).expand_as(valid)
    return sample | {'image': _whole_numbers(image), 'valid': valid}


def _whole_numbers(image: Tensor) -> Tensor:
    for dtype in SMALL:
        limits = torch.iinfo(dtype)
        if bool(((image >= limits.min) & (image <= limits.max) & (image == image.round())).all()):
            return image.to(dtype)
    # A view would keep more than itself in memory.
    return image.clone()
