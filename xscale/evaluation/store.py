"""Features kept on disk, and written row by row."""

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..errors import ConfigError

if TYPE_CHECKING:
    from .features import Look

#: Features (N, D) by pooling.
type Found = dict[str, NDArray[np.float32]]

#: Changes when features come out differently of the same images and encoder.
VERSION = 1


class FeatureStore:
    """Features kept as files, named by what they were made of."""

    def __init__(self, folder: Path) -> None:
        """Open a store.

        Args:
            folder: Where the files are; it is made when the first is written.
        """
        self.folder = folder

    def path(self, embedder: Any, split: Any, look: 'Look', side: int, pooling: str) -> Path:
        """Say where the features of one pooling are kept.

        Args:
            embedder: The encoder.
            split: Images.
            look: How they are shown.
            side: Side at scale 1 in pixels.
            pooling: One of the encoder's.
        """
        made_of = [VERSION, embedder.fingerprint, split.fingerprint, asdict(look), side, pooling]
        digest = hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:32]
        return self.folder / f'{digest}.npy'

    def find(self, embedder: Any, split: Any, look: 'Look', side: int) -> Found | None:
        """Return kept features, memory-mapped; None if one pooling's are not there or not whole."""
        paths = {p: self.path(embedder, split, look, side, p) for p in embedder.poolings}
        try:
            found = {p: np.load(path, mmap_mode='r') for p, path in paths.items()}
        except (OSError, ValueError):
            return None
        return found if all(len(f) == len(split) for f in found.values()) else None


class Writer:
    """A file of features that is filled row by row, and appears under its name when it is whole."""

    def __init__(self, path: Path, rows: int) -> None:
        """Say where.

        Args:
            path: Name of the finished file.
            rows: Number of images.
        """
        self.path, self.rows, self.done = path, rows, 0
        self.part = path.with_suffix(f'.{os.getpid()}.part')
        self.array: np.memmap | None = None

    def add(self, features: Tensor) -> None:
        """Write the next rows.

        Args:
            features: Shape (B, D).

        Raises:
            ConfigError: If the file cannot be written.
        """
        if self.array is None:
            self.array = self._open((self.rows, features.shape[1]))
        self.array[self.done : self.done + len(features)] = features.float().cpu().numpy()
        self.done += len(features)

    def _open(self, shape: tuple[int, int]) -> np.memmap:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            return np.lib.format.open_memmap(self.part, 'w+', np.float32, shape)
        except OSError as error:
            raise ConfigError(
                f'features cannot be kept in {self.path.parent}: {error}; set XSCALE_CACHE to a '
                'folder that can be written to'
            ) from error

    def close(self) -> None:
        """Give the file its name if it is whole; remove it otherwise."""
        whole = self.array is not None and self.done == self.rows
        if self.array is not None:
            self.array.flush()
            self.array = None
        if whole:
            self.part.replace(self.path)
        else:
            # Where its folder is none, neither is it.
            with suppress(OSError):
                self.part.unlink()
