"""Batches by number: what every sampler of ours is."""

from collections.abc import Iterator

from ..errors import ConfigError


class Epochs[Draw]:
    """Goes through the numbered batches of an epoch, and gives each process its share of them.

    A batch is drawn by its epoch and number alone, so resuming, sharding over ranks and
    reproducing one bad batch need no state.

    Attributes:
        epoch: Number of the epoch, from 0.
        start: Batch of it to begin with.
        batches: Batches of an epoch.
        batch_size: Draws in a batch, over all processes.
    """

    batches: int

    @property
    def fingerprint(self) -> str:
        """What the draws depend on besides the seed and the sizes."""
        raise NotImplementedError

    def __init__(self, size: int, batch_size: int, rank: int = 0, world_size: int = 1) -> None:
        """Begin with the first batch.

        Args:
            size: Side of a tile in pixels.
            batch_size: Draws in a batch, over all processes.
            rank: This process's number.
            world_size: Processes that share each batch.

        Raises:
            ConfigError: If the numbers contradict one another.
        """
        if min(size, batch_size, world_size) < 1 or not 0 <= rank < world_size:
            raise ConfigError(
                f'size {size}, batch_size {batch_size} and world_size {world_size} must be at '
                f'least 1, and rank {rank} one of 0 to {world_size - 1}'
            )
        if batch_size % world_size:
            raise ConfigError(
                f'a global batch of {batch_size} does not divide over {world_size} processes'
            )
        self.size, self.batch_size = size, batch_size
        self.rank, self.world_size = rank, world_size
        self.epoch, self.start = 0, 0
        self._resumed = (0, 0)

    def batch(self, epoch: int, number: int) -> list[Draw]:
        """Draw one whole batch, the same on every rank, whenever it is asked for.

        Args:
            epoch: Number of the epoch, from 0.
            number: Number of the batch in the epoch, from 0.
        """
        raise NotImplementedError

    def set_epoch(self, epoch: int) -> None:
        """Choose what the next iteration yields; Lightning calls this before each epoch.

        Args:
            epoch: Number of the epoch, from 0.
        """
        if epoch != self._resumed[0]:
            self._resumed = (epoch, 0)
        self.epoch, self.start = self._resumed

    def resume_at(self, epoch: int, batch: int) -> None:
        """Go on in the middle of an epoch; those after it begin with their first batch again.

        Args:
            epoch: Number of the epoch, from 0.
            batch: Batch of that epoch to begin with.
        """
        self._resumed = self.epoch, self.start = epoch, batch

    def __len__(self) -> int:
        """Count this rank's draws of an epoch."""
        return self.batches * self.batch_size // self.world_size

    def __iter__(self) -> Iterator[Draw]:
        """Yield this rank's part of each batch of the epoch, in order."""
        local = self.batch_size // self.world_size
        for number in range(self.start, self.batches):
            batch = self.batch(self.epoch, number)
            yield from batch[self.rank * local : (self.rank + 1) * local]
