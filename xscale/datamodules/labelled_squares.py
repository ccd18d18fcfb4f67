"""Labelled images as squares of one side, turned and flipped in training."""

import numpy as np
from torch.utils.data import Dataset

from ..datasets.labelled import Split
from ..samplers import Draw
from ..transforms import SYMMETRIES, evenly, middle_square, turned
from ..types import Sample

#: Sides that are chosen unasked: a multiple of most patches, and no larger than this.
MULTIPLE, MOST = 16, 256

#: Images whose sides are looked at.
PROBED = 32


class LabelledSquares(Dataset[Sample]):
    """The largest square in the middle of each image, with its label.

    Attributes:
        split: The images.
        side: Side of the squares in pixels.
        classes: Names of the classes.
    """

    def __init__(
        self,
        split: Split,
        side: int,
        classes: tuple[str, ...] = (),
        flip: bool = False,
        seed: int = 0,
    ) -> None:
        """Wrap labelled images.

        Args:
            split: The images.
            side: Side of the squares in pixels.
            classes: Names of the classes.
            flip: Whether images that are drawn are turned by quarters and flipped.
            seed: Seed of these turns.
        """
        self.split, self.side, self.classes = split, side, classes
        self.flip, self.seed = flip, seed

    def __len__(self) -> int:
        """Count the images."""
        return len(self.split)

    def __getitem__(self, index: int | Draw) -> Sample:
        """Read an image.

        Args:
            index: Its number; or one drawn in an epoch, which decides how it is turned.

        Returns:
            ``image`` (C, S, S) float32 in the files' units, 0 where there is no data; ``valid``
            (1, S, S) bool; ``gsd`` () float32, metres per pixel as they come out, NaN where
            nobody says; ``label`` () int64, or (K,) bool.
        """
        number = index.number if isinstance(index, Draw) else index
        sample = self.split[number]
        square = middle_square(sample, self.side)
        if isinstance(index, Draw) and self.flip:
            turn = int(index.generator(self.seed).integers(SYMMETRIES))
            square |= {name: turned(square[name], turn) for name in ('image', 'valid')}
        return {**square, 'label': sample['label']}


def choose_side(split: Split) -> int:
    """Choose a side for images: that of the median of some, for patches of 16 px.

    Args:
        split: The images.

    Returns:
        Pixels: a multiple of 16, at least 16 and at most 256.
    """
    sides = [min(split[index]['image'].shape[-2:]) for index in evenly(len(split), PROBED)]
    return int(np.clip(np.median(sides) // MULTIPLE * MULTIPLE, MULTIPLE, MOST))
