"""Images with masks as segmentation is trained on them and measured: tiles of one side."""

import math
import sys
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch.utils.data import DataLoader
from tqdm import tqdm

from ..datamodules import MaskedDataModule
from ..datasets.masked import Masked, MaskedTiles, Tile
from ..errors import ConfigError
from ..evaluation.segmenters import PixelStatistics
from ..transforms import evenly, mean_and_std
from ..types import Sample
from .settings import Tuning

#: Tiles whose values and classes are looked at.
LOOKED_AT = 512

#: Names of classes that are told.
TOLD = 8

#: Sides of tiles that are chosen unasked, and tiles of a step: the data module's own.
SIDE, BATCH = 224, 16


class Tiles:
    """Tiles to train on and to test on, and what is known of them before.

    Attributes:
        data: The images.
        side: Side of a tile in pixels.
        training: How many tiles cover the training images: the draws of an epoch.
        test: The tiles that cover the test images.
        statistics: Of the pixels of training.
        mean: Mean of each band over pixels of training, (C,).
        std: Standard deviation, likewise.
        shares: Of the labelled pixels of each class, by split.
        gsd: Metres per pixel of the test images, if they have one in common.
        known: Whether all images, of training too, say their metres per pixel.
    """

    def __init__(self, data: Masked, side: int) -> None:
        """Look at the tiles.

        Args:
            data: The images.
            side: Side of a tile in pixels.

        Raises:
            ConfigError: If there is nothing to train on, or nothing to test on.
        """
        for split in ('train', 'test'):
            if not data.splits.get(split):
                there = ', '.join(f'{name} {len(one):,}' for name, one in data.splits.items())
                raise ConfigError(
                    f'{data.name} has no images in {split} ({there or "none"}); training needs '
                    'train, and measuring needs test: sort them into {train,test}/{images,masks}, '
                    'or write split.csv with the columns path and split (--splits)'
                )
        self.data, self.side = data, side
        train, self.test = MaskedTiles(data, 'train', side), MaskedTiles(data, 'test', side)
        self.training = len(train)
        self.statistics = PixelStatistics(len(data.bands), len(data.classes.names))
        self.mean, self.std = mean_and_std(map(self.statistics.add, _some(train, 'training')))
        shown = PixelStatistics(len(data.bands), len(data.classes.names))
        found = [float(shown.add(sample)['gsd']) for sample in _some(self.test, 'test')]
        self.shares = {'train': _shares(self.statistics), 'test': _shares(shown)}
        self._check_classes()
        gsd = np.array(found)
        scenes = [scene.image for tiles in (train, self.test) for scene in tiles.scenes]
        self.known = bool(np.isfinite([one.whole.gsd for one in scenes]).all())
        same = self.known and gsd.max() <= 1.01 * gsd.min()
        self.gsd = float(np.median(gsd)) if same else None

    def _check_classes(self) -> None:
        """Refuse masks that label nothing, or one class alone."""
        names = self.data.classes.names
        for split, least in (('train', 2), ('test', 1)):
            there = [n for n, share in zip(names, self.shares[split], strict=True) if share]
            if len(there) < least:
                told = f'only {there[0]}' if there else 'no labelled pixel'
                raise ConfigError(
                    f'{self.data.name}: the masks of {split} hold {told} of the classes '
                    f'{", ".join(names[:8])}; {"two classes" if least > 1 else "labels"} are '
                    'needed: look at the masks, the classes (--classes) and the value that is '
                    'not labelled (--ignore)'
                )

    @property
    def warnings(self) -> list[str]:
        """What makes scores doubtful: classes that one split alone has, as far as was looked."""
        told = []
        for split, other, so in (
            ('train', 'test', 'what is not learnt is not found'),
            ('test', 'train', 'in the mIoU it counts as 0 where it is predicted, and else not'),
        ):
            pairs = zip(
                self.data.classes.names, self.shares[split], self.shares[other], strict=True
            )
            missing = {name: there for name, here, there in pairs if there and not here}
            if missing:
                names = ', '.join([*missing][:TOLD]) + (' …' if len(missing) > TOLD else '')
                told.append(
                    f'no pixel of {split} that was looked at is of {names} '
                    f'({sum(missing.values()):.1%} of those of {other}): {so}'
                )
        return told

    @property
    def images(self) -> list[int]:
        """For each test tile the number of its image."""
        return [tile.image for tile in self.test.covering]

    def module(self, tuning: Tuning) -> MaskedDataModule:
        """Return what is trained on: each fit of it draws the same batches.

        Args:
            tuning: For the size of a batch and the seed.
        """
        module = MaskedDataModule(
            self.data.name,
            tile_size=self.side,
            batch_size=tuning.batch(self.training, BATCH),
            num_workers=tuning.workers,
            val_share=0.0,
            seed=tuning.seed,
        )
        module.data, module.announce = self.data, False
        return module

    def batches(self, tuning: Tuning) -> Iterator[Sample]:
        """Read the test tiles in order, to the device.

        Args:
            tuning: For the size of a batch, the processes that read ahead, and the device.
        """
        size = tuning.batch_size or BATCH
        for batch in DataLoader(self.test, size, num_workers=tuning.workers):
            yield {name: value.to(tuning.device) for name, value in batch.items()}

    def some(self, most: int) -> Sample:
        """Read the middles of test images, from the first to the last.

        Args:
            most: How many at most.

        Returns:
            A batch.
        """
        samples = []
        for number in evenly(len(self.test.scenes), most):
            wide, high = self.test.scenes[number].image.grid[:2]
            col, row = (max(0, (length - self.side) // 2) for length in (wide, high))
            samples.append(self.test[Tile(number, col, row)])
        return torch.utils.data.default_collate(samples)


def _some(tiles: MaskedTiles, split: str) -> Iterator[Sample]:
    chosen = evenly(len(tiles), LOOKED_AT)
    title = f'values of {split}'
    for number in tqdm(chosen, desc=title, unit='tile', delay=1.0, file=sys.stderr):
        yield tiles[number]


def _shares(statistics: PixelStatistics) -> list[float]:
    """Return the share of the labelled pixels of each class."""
    return (statistics.count / statistics.count.sum().clamp(min=1)).tolist()


def choose_tile(data: Masked, wanted: int | None, patches: Sequence[int]) -> int:
    """Choose the side of a tile, of which every encoder's patch is a part.

    Args:
        data: The images.
        wanted: What the user asks for; by default 224 px, less where all images are smaller, to
            the next multiple of the patches.
        patches: Sides of the encoders' patches in pixels.

    Raises:
        ConfigError: If what is wanted is no multiple.
    """
    multiple = math.lcm(1, *patches)
    if wanted is not None:
        if wanted % multiple:
            near = max(multiple, round(wanted / multiple) * multiple)
            raise ConfigError(
                f'a tile of {wanted} px does not divide into patches of {multiple} px; '
                f'{near} would (--tile {near})'
            )
        return wanted
    grids = [scene.image.grid[:2] for split in data.splits.values() for scene in split]
    largest = max(max(grid) for grid in grids)
    return math.ceil(min(SIDE, largest) / multiple) * multiple
