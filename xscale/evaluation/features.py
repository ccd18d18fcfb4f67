"""Features of labelled images at a scale, streamed batch by batch and kept on disk."""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from ..errors import ConfigError
from ..transforms import downsample, evenly, mean_and_std, middle_square, resample
from ..types import Sample

#: Features (N, D) by pooling.
type Found = dict[str, NDArray[np.float32]]

#: Changes when features come out differently of the same images and encoder.
VERSION = 1

#: Images whose values are looked at, to tell their units and statistics; and whose size and ground
#: sample distance are.
LOOKED_AT, PROBED = 512, 32


@dataclass(frozen=True, slots=True)
class Look:
    """How an image is shown to an encoder.

    Attributes:
        scale: Side it is downsampled to, over its own; 1 for all of its detail.
        fixed: Whether it is enlarged again to the side it has at scale 1.
        constant: Whether the encoder is told the ground sample distance of scale 1 at all scales.
    """

    scale: float = 1.0
    fixed: bool = False
    constant: bool = False

    def __str__(self) -> str:
        size = 'enlarged' if self.fixed else 'native size'
        return f'{size}, constant GSD' if self.constant else size


class Squares(Dataset[Sample]):
    """The largest square in the middle of each image, all of one side."""

    def __init__(self, split: Any, side: int) -> None:
        """Wrap labelled images.

        Args:
            split: Images, as :mod:`xscale.datasets.labelled` gives them.
            side: Side in pixels.
        """
        self.split, self.side = split, side

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.split)

    def __getitem__(self, index: int) -> Sample:
        """Return image, valid and gsd, the last for the pixels as they come out."""
        return middle_square(self.split[index], self.side)


def choose_side(split: Any, wanted: int | None = None, most: int = 256) -> int:
    """Choose the side that 100 % of the scale is.

    Args:
        split: Images.
        wanted: What the user asks for.
        most: Largest side that is chosen unasked.

    Returns:
        Pixels: that of the images, where they differ the median of some of them.

    Raises:
        ConfigError: If what is wanted is no side.
    """
    if wanted is not None:
        if wanted < 8:
            raise ConfigError(f'a side of {wanted} px: at least 8 are needed')
        return wanted
    sides = [min(split[index]['image'].shape[-2:]) for index in evenly(len(split), PROBED)]
    return min(most, int(np.median(sides)))


def common_gsd(split: Any, side: int) -> float | None:
    """Return the metres per pixel of full scale, if images have one in common.

    Args:
        split: Images, of which some are looked at.
        side: Side of full scale in pixels.

    Returns:
        None where images do not say, or differ by more than 1 %.
    """
    squares = Squares(split, side)
    found = np.array([float(squares[index]['gsd']) for index in evenly(len(split), PROBED)])
    if not np.isfinite(found).all() or found.max() > 1.01 * found.min():
        return None
    return float(np.median(found))


def loader(split: Any, side: int, batch_size: int, workers: int) -> DataLoader[Sample]:
    """Read images in order.

    Args:
        split: Images.
        side: Side of the squares in pixels.
        batch_size: How many come together.
        workers: Processes that read ahead.
    """
    return DataLoader(
        Squares(split, side), batch_size, num_workers=workers, collate_fn=default_collate
    )


def statistics(split: Any, side: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Measure the values of images, evenly chosen ones where they are many.

    Args:
        split: Images.
        side: Side of the squares in pixels.

    Returns:
        Mean and standard deviation of each band over valid pixels, each (C,), in the files' units.

    Raises:
        ConfigError: If there is no valid pixel.
    """
    squares = Squares(split, side)
    return mean_and_std(squares[index] for index in evenly(len(squares), LOOKED_AT))


class FeatureStore:
    """Features kept as files, named by what they were made of."""

    def __init__(self, folder: Path) -> None:
        """Open a store.

        Args:
            folder: Where the files are; it is made when the first is written.
        """
        self.folder = folder

    def path(self, embedder: Any, split: Any, look: Look, side: int, pooling: str) -> Path:
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

    def find(self, embedder: Any, split: Any, look: Look, side: int) -> Found | None:
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
        """
        if self.array is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            shape = (self.rows, features.shape[1])
            self.array = np.lib.format.open_memmap(self.part, 'w+', np.float32, shape)
        self.array[self.done : self.done + len(features)] = features.float().cpu().numpy()
        self.done += len(features)

    def close(self) -> None:
        """Give the file its name if it is whole; remove it otherwise."""
        whole = self.array is not None and self.done == self.rows
        if self.array is not None:
            self.array.flush()
            self.array = None
        if whole:
            self.part.replace(self.path)
        else:
            self.part.unlink(missing_ok=True)


def extract(
    embedder: Any,
    split: Any,
    looks: Sequence[Look],
    *,
    side: int,
    store: FeatureStore,
    batch_size: int = 64,
    workers: int = 0,
    device: str = 'cpu',
    progress: Callable[[int], object] = lambda images: None,
) -> dict[Look, Found]:
    """Encode images as each look shows them; what is in the store is taken from there.

    Each image is read once for all looks. Features never lie in memory as a whole.

    Args:
        embedder: The encoder, as :mod:`xscale.encoders` gives it.
        split: Images.
        looks: How to show them.
        side: Side at scale 1 in pixels.
        store: Where features are kept.
        batch_size: Images encoded together.
        workers: Processes that read ahead.
        device: Where the encoder is.
        progress: Called with the number of images that are done, each counted for every look.

    Returns:
        For each look the features by pooling, each (N, D) float32, memory-mapped.

    Raises:
        ConfigError: If features are not finite.
    """
    found = {look: store.find(embedder, split, look, side) for look in looks}
    missing = [look for look, features in found.items() if features is None]
    progress(len(split) * (len(found) - len(missing)))
    if missing:
        batches = loader(split, side, batch_size, workers)
        _encode(embedder, split, missing, batches, store, device, progress)
    result = {}
    for look in looks:
        features = found[look] or store.find(embedder, split, look, side)
        if features is None:
            raise ConfigError(f'features in {store.folder} vanished while they were used')
        result[look] = features
    return result


@torch.inference_mode()
def _encode(
    embedder: Any,
    split: Any,
    looks: Sequence[Look],
    batches: DataLoader[Sample],
    store: FeatureStore,
    device: str,
    progress: Callable[[int], object],
) -> None:
    side = batches.dataset.side  # type: ignore[attr-defined]
    writers = {
        (look, pooling): Writer(store.path(embedder, split, look, side, pooling), len(split))
        for look in looks
        for pooling in embedder.poolings
    }
    try:
        for batch in batches:
            batch = {name: value.to(device) for name, value in batch.items()}
            for look in looks:
                for pooling, features in embedder(*show(batch, look, embedder)).pooled.items():
                    if not features.isfinite().all():
                        raise ConfigError(
                            f'{embedder.name} gives features that are not finite; its checkpoint '
                            'is broken, or the values of the images are not what it was trained on'
                        )
                    writers[look, pooling].add(features)
            progress(len(batch['image']) * len(looks))
    finally:
        for writer in writers.values():
            writer.close()


def show(batch: Sample, look: Look, embedder: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Bring squares to the scale and the side at which an encoder takes them.

    Args:
        batch: ``image`` (B, C, S, S), ``valid`` (B, 1, S, S) and ``gsd`` (B,) of squares.
        look: How to show them.
        embedder: The encoder.

    Returns:
        Image, (B, C, T, T); metres per pixel, (B,), those of the pixels the encoder gets, or with
        a constant GSD those it would get at scale 1; valid, (B, 1, T, T).
    """
    image, valid = batch['image'], batch['valid']
    side = image.shape[-1]
    whole = embedder.input_side(side, False)
    target = whole
    if look.scale < 1:
        image, valid, _ = downsample(image, valid, look.scale)
        if not look.fixed:
            target = embedder.input_side(image.shape[-1], False)
    if image.shape[-1] != target:
        image, valid, _ = resample(image, valid, target)
    return image, batch['gsd'] * side / (whole if look.constant else target), valid
