"""Labelled images of one split, each read when it is asked for."""

import hashlib
import os
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from ...errors import UnusableError
from ...types import Sample
from ..formats import explain
from ..ground import Place

#: West, south, east and north of what lies nobody knows where.
NOWHERE = np.full(4, np.nan)


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

    def look(self, number: int) -> Place:
        """Look at an image's header and end; any error means that it cannot be read."""


class Split(Dataset[Sample]):
    """Labelled images of one split, each read when it is asked for.

    Attributes:
        labels: Number of the class of each, (N,) int64; or which classes each has, (N, K) bool.
        names: What each is called: its path where it has one.
        rows: Number of each in its source, (N,).
        source: Where they come from.
        looked: Where each lies, once it was looked at.
    """

    looked: list[Place] | None = None

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
        kept = Split(self.source, self.labels[list(numbers)], names, rows)
        if self.looked is not None:
            kept.looked = [self.looked[number] for number in numbers]
        return kept

    @property
    def places(self) -> list[Place]:
        """Where each image lies; those that were not looked at yet are."""
        if self.looked is None:
            self.looked = [_place(self.source, row) for row in self.rows]
        return self.looked


def _place(source: Source, row: int) -> Place:
    try:
        return source.look(row)
    except Exception:  # it is said when it is read
        return Place()


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
