"""Draw squares from images that are too many and too small to be drawn by area."""

import hashlib
import math
import os
from functools import cached_property, lru_cache
from typing import Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch.utils.data import Sampler

from ..datasets.fmow import Crop, FMoW
from ..datasets.fmow.crops import anywhere
from ..errors import UnknownNameError
from .epochs import Epochs

type By = Literal['image', 'location']


class ImageSampler(Epochs[Crop], Sampler[Crop]):
    """Draw a square of its own metres per pixel from each image, in a new order in each epoch.

    Batch b of epoch e depends on (seed, e, b, batch size) alone.
    """

    def __init__(
        self,
        dataset: FMoW,
        *,
        size: int,
        batch_size: int,
        balance: By = 'image',
        length: int | None = None,
        fixed: bool = False,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        """Look at what there is to draw from.

        Args:
            dataset: The images.
            size: Side of a square in pixels; where an image is smaller, the rest is invalid.
            batch_size: Squares in a batch, over all ranks.
            balance: What an epoch holds once: each 'image', or each 'location', of one of its
                dates.
            length: Squares in an epoch, over all ranks, rounded up to whole batches; once each
                by default.
            fixed: Draw the same squares in every epoch, for validation.
            seed: Seed of all draws.
            rank: This process's number.
            world_size: Processes that share each batch.

        Raises:
            ConfigError: If the numbers contradict one another.
            UnknownNameError: If there is no such balance.
        """
        super().__init__(size, batch_size, rank, world_size)
        if balance not in get_args(By.__value__):
            raise UnknownNameError('balance', balance, get_args(By.__value__))
        self.dataset, self.seed, self.fixed = dataset, seed, fixed
        places = (
            dataset.images.location if balance == 'location' else np.arange(len(dataset.images))
        )
        # The images of member m are those from first[m] on of by_member, dates[m] of them.
        self.by_member = np.argsort(places, kind='stable')
        self.dates = np.bincount(places)
        self.first = np.cumsum(self.dates) - self.dates
        wanted = len(self.dates) if length is None else length
        self.batches = max(1, math.ceil(wanted / batch_size))
        self._order = lru_cache(maxsize=4)(self._shuffled)

    def batch(self, epoch: int, number: int) -> list[Crop]:
        """Draw one whole batch, the same on every rank, whenever it is asked for.

        Args:
            epoch: Number of the epoch, from 0.
            number: Number of the batch in the epoch, from 0.
        """
        epoch = 0 if self.fixed else epoch
        bits = np.random.Philox(key=self.seed, counter=[0, 0, number, epoch])
        draws = np.random.Generator(bits).random((self.batch_size, 3))
        start = number * self.batch_size
        return [
            self._crop(self._member(epoch, start + count), *draw)
            for count, draw in enumerate(draws.tolist())
        ]

    def _crop(self, member: int, date: float, across: float, down: float) -> Crop:
        row = int(self.by_member[self.first[member] + int(date * self.dates[member])])
        images = self.dataset.images
        part = anywhere(images, row, self.size, (across, down))
        return Crop(row, part, int(images.category[row]))

    def _member(self, epoch: int, position: int) -> int:
        """Return what stands at a place of an epoch, which may be longer than there are members."""
        again, place = divmod(position, len(self.dates))
        return int(self._order(epoch, again)[place])

    def _shuffled(self, epoch: int, again: int) -> NDArray[np.int64]:
        # Another key than that of the draws inside the images.
        bits = np.random.Philox(key=self.seed + 2**64, counter=[0, 0, again, epoch])
        return np.random.Generator(bits).permutation(len(self.dates))

    @cached_property
    def fingerprint(self) -> str:
        """What the draws depend on besides the seed and the sizes: the images and their order.

        It does not change when their folder is moved.
        """
        images = self.dataset.images
        paths = images.paths.to_pylist()
        shared = len(os.path.commonpath([os.path.dirname(path) for path in paths]))
        names = pd.Series([path[shared:] for path in paths])
        table = pd.DataFrame({'name': names, 'width': images.size[:, 0], 'gsd': images.gsd})
        hashes = pd.util.hash_pandas_object(table, index=False).to_numpy()
        return hashlib.sha256(hashes.tobytes()).hexdigest()[:16]
