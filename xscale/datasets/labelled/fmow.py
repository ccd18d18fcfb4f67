"""Functional Map of the World as labelled images."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ...errors import ConfigError, MissingPathError
from ..fmow import FMoW
from ..fmow.crops import footprint_of, gsd_of
from ..fmow.pixels import Part, open_image, read_part
from ..ground import Place, box
from .sets import SPLITS, Labelled
from .split import NOWHERE, Picture, Split


class Images:
    """Images of one split of fMoW, each as a whole.

    Attributes:
        dataset: The split.
        identity: What, besides the files, decides how one is read.
    """

    def __init__(self, dataset: FMoW) -> None:
        """Take note of it.

        Args:
            dataset: The split.
        """
        self.dataset = dataset
        self.identity = f'fmow {dataset.sensors[0].bands} {dataset.images.kind}'

    def read(self, number: int) -> Picture:
        """Read an image.

        Args:
            number: Its number.

        Raises:
            UnusableError: If it is broken or gone.
            OSError: If it cannot be read.
        """
        dataset, images = self.dataset, self.dataset.images
        row, part = dataset.crop_of(number)[:2]
        blank = images.kind == 'sentinel'
        image, valid = read_part(images.path(row), dataset.bands, part, blank)
        return Picture(image, valid, gsd_of(images, row, part), self._footprint(row, part))

    def look(self, number: int) -> Place:
        """Look at the header of an image.

        Args:
            number: Its number.

        Returns:
            Where it lies.

        Raises:
            UnusableError: If it is broken or gone.
            OSError: If it cannot be read.
        """
        images = self.dataset.images
        row, part = self.dataset.crop_of(number)[:2]
        open_image(images.path(row)).close()
        return Place(gsd_of(images, row, part), box(self._footprint(row, part)))

    def _footprint(self, row: int, part: Part) -> NDArray[np.float64]:
        images = self.dataset.images
        known = not np.isnan(images.bounds[row]).any()
        return footprint_of(images, row, part) if known else NOWHERE


def open_fmow(root: Path, bands: Sequence[str], gsd: float | None) -> Labelled:
    """Open the splits of fMoW that there are.

    Args:
        root: Folder of fMoW-rgb or fMoW-Sentinel.
        bands: Bands to read; empty for all.
        gsd: Has to be None: the images say it themselves.

    Raises:
        MissingPathError: If there is no such folder.
        ConfigError: If it holds no splits to train and to test on.
    """
    if not root.exists():
        raise MissingPathError(root)
    if gsd is not None:
        raise ConfigError(f'gsd {gsd} does not go with FMoW: its images say their own')
    there = [name for name in SPLITS if (root / name).is_dir() or any(root.glob(f'{name}*.csv'))]
    if 'train' not in there or len(there) < 2:
        raise ConfigError(
            f'{root} holds of fMoW: {", ".join(there) or "nothing"}; train, and val or test, are '
            'needed, as folders or lists (CSV)'
        )
    opened = {name: FMoW(root, name, bands) for name in there}
    notes = []
    if 'test' not in opened:
        opened['test'] = opened.pop('val')
        notes.append('there is no test split: val is tested on')
    first = opened['train']
    rejected = [one for dataset in opened.values() for one in dataset.rejected]
    dtype = 'uint8' if first.images.kind == 'rgb' else 'uint16'
    splits = {name: _split(dataset) for name, dataset in opened.items()}
    names = first.sensors[0].bands
    return Labelled('FMoW', first.classes, names, dtype, False, splits, notes, rejected)


def _split(dataset: FMoW) -> Split:
    images = dataset.images
    labels = torch.from_numpy(images.category[dataset.members].astype(np.int64))
    return Split(Images(dataset), labels, [images.path(row) for row in dataset.members.tolist()])
