"""Features of labelled images at a scale, streamed batch by batch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from ..errors import ConfigError
from ..transforms import downsample, evenly, mean_and_std, middle_square, resample
from ..types import Sample
from .store import FeatureStore, Found, Writer

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
