"""A labelled data set: its splits, and what is wrong with labels that cannot be evaluated."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from ...errors import ConfigError, UnusableError
from ...types import Sample
from ..find import Rejected
from ..formats import explain

#: West, south, east and north of what lies nobody knows where.
NOWHERE = np.full(4, np.nan)

#: The splits there may be, in the order they are told.
SPLITS = ('train', 'val', 'test')


class Picture(NamedTuple):
    """An image as it is read.

    Attributes:
        image: Values in the file's own units, 0 where there is no data, (C, H, W) float32.
        valid: True where there is data, (H, W).
        gsd: Metres per pixel; NaN where nobody says.
        footprint: West, south, east, north in degrees, (4,) float64; NaN where nobody says.
    """

    image: NDArray[np.float32]
    valid: NDArray[np.bool_]
    gsd: float
    footprint: NDArray[np.float64]


class Source(Protocol):
    """Where the images of a split come from, by their number.

    Attributes:
        identity: What, besides the files, decides how an image is read, such as its bands.
    """

    identity: str

    def read(self, number: int) -> Picture:
        """Read an image; any error means that it cannot be read."""

    def look(self, number: int) -> None:
        """Look at an image's header and end; any error means that it cannot be read."""


class Split(Dataset[Sample]):
    """Labelled images of one split, each read when it is asked for.

    Attributes:
        labels: Number of the class of each, (N,) int64; or which classes each has, (N, K) bool.
        names: What each is called: its path where it has one.
        rows: Number of each in its source, (N,).
        source: Where they come from.
    """

    def __init__(
        self,
        source: Source,
        labels: Tensor,
        names: Sequence[str],
        rows: Sequence[int] | None = None,
    ) -> None:
        """Put a split together.

        Args:
            source: Where the images come from.
            labels: Number of the class of each, (N,) int64; or which each has, (N, K) bool.
            names: What each is called: its path where it has one.
            rows: Number of each in the source; by default they are counted.
        """
        self.source, self.labels, self.names = source, labels, list(names)
        self.rows = list(range(len(self.names)) if rows is None else rows)

    def __len__(self) -> int:
        """Count the images."""
        return len(self.names)

    def __getitem__(self, index: int) -> Sample:
        """Read an image.

        Args:
            index: Its number, from 0; from −1 back for the last ones.

        Returns:
            ``image`` (C, H, W) float32 in the file's units, 0 where there is no data; ``valid``
            (1, H, W) bool; ``gsd`` () float32 in metres per pixel and ``footprint`` (4,) float64,
            west, south, east, north in degrees, NaN where nobody says; ``label`` () int64, or
            (K,) bool.

        Raises:
            UnusableError: If it cannot be read.
        """
        row = self.rows[index]
        try:
            picture = self.source.read(row)
        except Exception as error:  # whatever is wrong with a file, it is to be named
            raise UnusableError(
                f'{self.names[index]} {explain(error)}; bring it back, or move it out of the data'
            ) from error
        return {
            'image': torch.from_numpy(np.ascontiguousarray(picture.image, np.float32)),
            'valid': torch.from_numpy(np.ascontiguousarray(picture.valid[None], bool)),
            'gsd': torch.tensor(picture.gsd, dtype=torch.float32),
            'footprint': torch.from_numpy(np.array(picture.footprint, np.float64)),
            'label': self.labels[index],
        }

    @cached_property
    def fingerprint(self) -> str:
        """Hex digits that change when the files, their order or the bands do."""
        found = hashlib.sha256(self.source.identity.encode())
        for name in self.names:
            found.update(f'{name}\0{stamp(name)}\n'.encode('utf-8', 'backslashreplace'))
        return found.hexdigest()[:32]

    def keep(self, numbers: Sequence[int]) -> 'Split':
        """Return a split of some of the images.

        Args:
            numbers: Which of them, in which order.
        """
        names = [self.names[number] for number in numbers]
        rows = [self.rows[number] for number in numbers]
        return Split(self.source, self.labels[list(numbers)], names, rows)


@dataclass
class Labelled:
    """Labelled images of a data set.

    Attributes:
        name: For people, and for names of files.
        classes: What the labels count.
        bands: Names of the channels.
        dtype: Of the files.
        multilabel: Whether an image may have several classes, or none.
        splits: ``train`` and ``test``, and ``val`` where the data has one.
        notes: What a user should know.
        rejected: Images left out, with the reason.
    """

    name: str
    classes: tuple[str, ...]
    bands: tuple[str, ...]
    dtype: str
    multilabel: bool
    splits: dict[str, Split]
    notes: list[str] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Put the splits in order, and refuse those that cannot be evaluated."""
        self.splits = {name: self.splits[name] for name in SPLITS if name in self.splits}
        self.check()

    def check(self) -> None:
        """Refuse labels that cannot be evaluated.

        Raises:
            ConfigError: If a split is missing or empty, there is one class alone, or images to
                test on have a class that none to train on has.
        """
        left_out = self._left_out()
        for split in dict.fromkeys(('train', 'test', *self.splits)):
            if not len(self.splits.get(split, ())):
                there = ', '.join(f'{name} {len(one):,}' for name, one in self.splits.items())
                raise ConfigError(
                    f'{self.name}: no image in {split} ({there}); evaluation compares images of '
                    f'test with those of train, and needs some in both{left_out}'
                )
        seen = _classes(self.splits['train'].labels)
        if len(seen) < 2:
            only = ', '.join(self.classes[number] for number in seen) or 'none'
            raise ConfigError(
                f'{self.name}: the images of train are all of one class ({only}); at least two '
                f'classes are needed{left_out}'
            )
        for split, one in self.splits.items():
            strange = [self.classes[k] for k in sorted(_classes(one.labels) - seen)]
            # Of many classes, rare ones may be missing; those are left to the metric.
            if strange and not self.multilabel:
                raise ConfigError(
                    f'{self.name}: {split} holds classes of which train holds no image: '
                    f'{", ".join(strange)}; add some to train, or take them out of {split}'
                    f'{left_out}'
                )

    def fingerprint(self, split: str) -> str:
        """Return hex digits that change when files of a split, their labels or the classes do.

        Args:
            split: 'train', 'val' or 'test'.
        """
        one = self.splits[split]
        said = one.fingerprint, one.labels.tolist(), self.classes, self.bands, self.dtype
        return hashlib.sha256(repr(said).encode('utf-8', 'backslashreplace')).hexdigest()[:32]

    def _left_out(self) -> str:
        if not self.rejected:
            return ''
        first = self.rejected[0]
        return f'\nimages left out: {len(self.rejected):,}, such as {first.path}: {first.reason}'


def _classes(labels: Tensor) -> set[int]:
    """Return the classes that any image has."""
    found = labels.any(0).nonzero().ravel() if labels.ndim == 2 else labels.unique()
    return set(found.tolist())


def stamp(name: str) -> tuple[int, int]:
    """Return what changes when a file does; what is no file counts by its name alone.

    Args:
        name: Its path.

    Returns:
        Size in bytes and time of change in nanoseconds; −1 where there is no file.
    """
    try:
        status = os.stat(name)
    except (OSError, ValueError):
        return -1, -1
    return status.st_size, status.st_mtime_ns


def numbered(labels: Sequence[Sequence[str]], classes: Sequence[str], multilabel: bool) -> Tensor:
    """Turn names of classes into labels.

    Args:
        labels: Names of the classes of each image, (N,) lists.
        classes: All names, in the order of their numbers.
        multilabel: Whether images may have several.

    Returns:
        Labels, (N,) int64, or (N, K) bool.
    """
    number = {name: count for count, name in enumerate(classes)}
    if not multilabel:
        return torch.tensor([number[one] for (one,) in labels], dtype=torch.int64)
    found = torch.zeros(len(labels), len(classes), dtype=torch.bool)
    for row, names in enumerate(labels):
        found[row, [number[name] for name in names]] = True
    return found
