"""Go through numbered samples in a new order in each epoch."""

import math
from collections.abc import Sized
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

from .epochs import Epochs


class Draw(NamedTuple):
    """A sample of an epoch.

    Attributes:
        number: Number of the sample.
        epoch: Number of the epoch, from 0.
    """

    number: int
    epoch: int

    def generator(self, seed: int) -> np.random.Generator:
        """Return a generator that is a function of seed, epoch and number alone.

        Args:
            seed: Seed of the draws.
        """
        return np.random.default_rng(np.random.SeedSequence((seed, self.epoch, self.number)))


class ShuffledSampler(Epochs[Draw], Sampler[Draw]):
    """Draw each sample once an epoch, in an order that depends on seed and epoch alone.

    The last batch is filled up with the first of another order, so that it is whole.
    """

    def __init__(
        self,
        samples: Sized,
        *,
        batch_size: int,
        fingerprint: str,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        """Count the samples.

        Args:
            samples: The samples, at least one.
            batch_size: Samples in a batch, over all ranks.
            fingerprint: Changes when the samples are others.
            seed: Seed of the order.
            rank: This process's number.
            world_size: Processes that share each batch.

        Raises:
            ConfigError: If the numbers contradict one another.
        """
        super().__init__(1, batch_size, rank, world_size)
        self.samples, self.seed, self._fingerprint = samples, seed, fingerprint
        self.batches = math.ceil(len(samples) / batch_size)
        self._order = lru_cache(maxsize=4)(self._shuffled)

    @property
    def fingerprint(self) -> str:
        """What the draws depend on besides the seed and the sizes."""
        return self._fingerprint

    def batch(self, epoch: int, number: int) -> list[Draw]:
        """Draw one whole batch, the same on every rank, whenever it is asked for.

        Args:
            epoch: Number of the epoch, from 0.
            number: Number of the batch in the epoch, from 0.
        """
        start = number * self.batch_size
        return [self._draw(epoch, place) for place in range(start, start + self.batch_size)]

    def _draw(self, epoch: int, place: int) -> Draw:
        again, place = divmod(place, len(self.samples))
        return Draw(int(self._order(epoch, again)[place]), epoch)

    def _shuffled(self, epoch: int, again: int) -> NDArray[np.int64]:
        bits = np.random.Philox(key=self.seed, counter=[0, 0, again, epoch])
        return np.random.Generator(bits).permutation(len(self.samples))
