"""Tiles of images with a class for each pixel."""

import hashlib
import os
from collections.abc import Callable
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from ...errors import UnusableError, XScaleError
from ...types import Sample
from ..formats import explain
from .classes import UNLABELLED
from .opened import Masked, Scene
from .tiles import Part, Tile, anywhere, covering


class MaskedTiles(Dataset[Sample]):
    """Tiles of one split: side by side, or anywhere.

    Attributes:
        masked: The data.
        scenes: Images of the split.
        size: Side of a tile in pixels.
        classes: Names of the classes.
        covering: The tiles that cover the images.
    """

    def __init__(self, masked: Masked, split: str, size: int) -> None:
        """List the tiles that cover the images.

        Args:
            masked: The data.
            split: 'train', 'val' or 'test'.
            size: Side of a tile in pixels.
        """
        self.masked, self.scenes, self.size = masked, masked.splits[split], size
        self.classes = masked.classes.names
        self.covering = [
            tile
            for number, scene in enumerate(self.scenes)
            for tile in covering(number, *scene.image.grid[:2], size)
        ]

    def __len__(self) -> int:
        """Count the tiles that cover the images."""
        return len(self.covering)

    def anywhere(self, index: int, rng: np.random.Generator) -> Tile:
        """Draw a tile from the image of one that covers it.

        Args:
            index: Number of that tile.
            rng: What it is drawn with.
        """
        number = self.covering[index].image
        return anywhere(number, *self.scenes[number].image.grid[:2], self.size, rng)

    def __getitem__(self, index: int | Tile) -> Sample:
        """Read a tile.

        Args:
            index: Number of one that covers the images; or any tile.

        Returns:
            ``image`` (C, S, S) float32 in the files' units, 0 where there is no data; ``valid``
            (1, S, S) bool; ``gsd`` () float32, metres per pixel, and ``footprint`` (4,) float64,
            west, south, east, north in degrees, NaN where nobody says; ``mask`` (S, S) int64,
            255 where nothing is labelled, there is no data, or another tile counts.

        Raises:
            UnusableError: If a file cannot be read.
            ConfigError: If a mask holds a value that is no class.
        """
        tile = index if isinstance(index, Tile) else self.covering[index]
        scene, size = self.scenes[tile.image], self.size
        wide, high = scene.image.grid[:2]
        part = Part(tile.col, tile.row, min(size, wide - tile.col), min(size, high - tile.row))
        values, there = _guarded(scene.image.path, lambda: scene.image.read(part))
        numbers = self._numbers(scene, part)
        inside = slice(part.height), slice(part.width)
        image = np.zeros((len(values), size, size), np.float32)
        valid = np.zeros((size, size), bool)
        mask = np.full((size, size), UNLABELLED, np.int64)
        image[:, *inside], valid[inside] = values, there
        mask[inside] = np.where(there, numbers, UNLABELLED)
        mask[:, : tile.left] = mask[: tile.top] = UNLABELLED
        return {
            'image': torch.from_numpy(image),
            'valid': torch.from_numpy(valid[None]),
            'gsd': torch.tensor(scene.image.metres(part), dtype=torch.float32),
            'footprint': torch.from_numpy(np.array(scene.image.footprint(part), np.float64)),
            'mask': torch.from_numpy(mask),
        }

    def _numbers(self, scene: Scene, part: Part) -> NDArray[np.uint8]:
        mask, labels = scene.mask, self.masked.labels
        if mask is not None:
            values = _guarded(mask.path, lambda: mask.read(part))
            return self.masked.classes.numbers(values, mask.path, mask.count, mask.nodata)
        if labels is None:
            raise UnusableError(f'{scene.image.path} has neither a mask nor polygons')
        return labels.read(scene.image, part)

    @cached_property
    def footprints(self) -> NDArray[np.float64]:
        """West, south, east and north of each image in degrees, (N, 4); NaN where unknown."""
        images = [scene.image for scene in self.scenes]
        return np.stack([image.footprint(Part(0, 0, *image.grid[:2])) for image in images])

    @cached_property
    def fingerprint(self) -> str:
        """Hex digits that change when the images, their sizes or the size of a tile do."""
        # By their names, for their folder may be moved.
        images = [scene.image for scene in self.scenes]
        said = [(os.path.basename(image.path), image.grid[:2]) for image in images]
        return hashlib.sha256(repr((said, self.size)).encode()).hexdigest()[:16]


def _guarded[T](path: str, read: Callable[[], T]) -> T:
    """Read a file; whatever is wrong with it, it is named."""
    try:
        return read()
    except Exception as error:
        if isinstance(error, XScaleError) and not isinstance(error, UnusableError):
            raise
        raise UnusableError(
            f'{path} {explain(error)}; bring it back, or move it out of the data'
        ) from error
