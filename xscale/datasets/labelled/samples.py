"""Images of a data set whose samples are an image and a label."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from ...errors import ConfigError
from ..find import Rejected
from ..formats import explain
from ..ground import Place
from .images import look, place
from .photos import is_photo
from .split import NOWHERE, Picture, Split


class SampleSource:
    """Images of a data set whose samples are an image and a label.

    Attributes:
        dataset: The data set.
        indexes: Numbers of the bands that are taken, from 1.
        gsd: Metres per pixel of those whose files do not say, or None.
        paths: The files, where the data set tells them.
        identity: What, besides the files, decides how one is read.
    """

    def __init__(self, dataset: Any, indexes: Sequence[int], gsd: float | None) -> None:
        """Take note of it.

        Args:
            dataset: The data set.
            indexes: Numbers of the bands to take, from 1.
            gsd: Metres per pixel of those whose files do not say.
        """
        self.dataset, self.indexes, self.gsd = dataset, list(indexes), gsd
        samples = getattr(dataset, 'samples', None)
        files = isinstance(samples, list) and all(isinstance(one, tuple) for one in samples)
        self.paths = [str(one[0]) for one in samples] if files and samples else []
        kind = type(dataset)
        self.identity = f'{kind.__module__}.{kind.__name__} {self.indexes} {gsd}'

    def read(self, number: int) -> Picture:
        """Read an image.

        Args:
            number: Its number.

        Raises:
            Exception: If it cannot be read.
        """
        image = image_of(self.dataset, number)[[index - 1 for index in self.indexes]]
        gsd, footprint = np.nan if self.gsd is None else self.gsd, NOWHERE
        if self.paths and not is_photo(self.paths[number]):
            measured, footprint = place(self.paths[number])
            gsd = gsd if np.isnan(measured) else measured
        valid = image.isfinite().all(0)
        return Picture(image.where(valid, 0).numpy(), valid.numpy(), gsd, footprint)

    def look(self, number: int) -> Place:
        """Look at the header of an image; without a file, it was read for its label.

        Args:
            number: Its number.

        Returns:
            Where it lies.

        Raises:
            Exception: If it cannot be read.
        """
        gsd = np.nan if self.gsd is None else self.gsd
        if not self.paths:
            return Place(gsd)
        header = look(self.paths[number], ())
        return Place(gsd if np.isnan(header.gsd) else header.gsd, header.outline)


def image_of(dataset: Any, number: int) -> Tensor:
    """Return the image of a sample.

    Args:
        dataset: The data set.
        number: Number of the sample.

    Returns:
        Values, (C, H, W) float32.

    Raises:
        ConfigError: If it holds no image, or no label.
        Exception: If it cannot be read.
    """
    sample = dataset[number]
    image = sample.get('image') if isinstance(sample, dict) else None
    if not isinstance(image, Tensor) or image.ndim != 3 or 'label' not in sample:
        raise ConfigError(
            f'{type(dataset).__name__}: a sample holds '
            f'{", ".join(sample) if isinstance(sample, dict) else type(sample).__name__}; an '
            'image (C, H, W) and a label are needed'
        )
    return image.float()


def labelled_split(source: SampleSource, split: str, rejected: list[Rejected]) -> Split:
    """Find the labels of a data set: listed, or else read sample by sample.

    Args:
        source: Its images.
        split: What they are called, where they have no files.
        rejected: Where those are added that cannot be read.

    Raises:
        ConfigError: If they are no labels of whole images.
    """
    dataset = source.dataset
    names = source.paths or [f'{split} {number}' for number in range(len(dataset))]
    listed = getattr(dataset, 'targets', None)
    if source.paths and isinstance(listed, list):
        return Split(source, torch.tensor(listed, dtype=torch.int64), names)
    rows, found = [], []
    for number in tqdm(range(len(dataset)), desc=f'labels of {split}', unit='image', delay=1.0):
        try:
            found.append(torch.as_tensor(dataset[number]['label']))
            rows.append(number)
        except Exception as error:  # whatever is wrong with one, the others are read
            rejected.append(Rejected(names[number], explain(error)))
    labels = torch.stack(found) if found else torch.zeros(0)
    if labels.ndim > 2:
        raise ConfigError(
            f'{type(dataset).__name__}: its labels are pictures of shape '
            f'{tuple(labels.shape[1:])}; one class, or one number for each class, is needed'
        )
    labels = labels.bool() if labels.ndim == 2 else labels.long()
    return Split(source, labels, [names[row] for row in rows], rows)
