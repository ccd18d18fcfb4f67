"""What data modules of tiles share: they go on mid-epoch, and count what cannot be read."""

import sys
import warnings
from typing import Any

from torch import Tensor
from torchgeo.datamodules import BaseDataModule

from ..errors import ConfigError, UnreadableError
from ..samplers.epochs import Epochs
from ..types import Sample
from .unreadable import Unreadable


class TileModule(BaseDataModule):
    """The part of a data module that keeps the books; to stand first among the bases.

    Attributes:
        train_sampler: What draws the tiles of training; None before :meth:`setup`.
        unreadable: The files that could not be read so far.
    """

    train_sampler: Epochs[Any] | None
    unreadable: Unreadable

    def processes(self) -> int:
        """Count the processes that share each batch.

        Raises:
            ConfigError: If Lightning would wrap or replace the sampler, which shards itself.
        """
        world = self.trainer.world_size if self.trainer else 1
        if self.trainer and self.trainer.overfit_batches:
            raise ConfigError(
                'overfit_batches would replace the sampler; leave it out, and for a few images '
                'again and again give a folder of them'
            )
        if world > 1 and self.trainer._accelerator_connector.use_distributed_sampler:
            raise ConfigError(
                'the sampler shards itself: set trainer.use_distributed_sampler: false'
            )
        return world

    def files(self, rows: Tensor) -> list[str]:
        """Return the files that tiles were read from.

        Args:
            rows: ``row`` of the tiles, shape (B,).
        """
        return self.unreadable.named(rows)

    def on_before_batch_transfer(self, batch: Sample, dataloader_idx: int) -> Sample:
        """Count the rasters that could not be read, before the batch goes to the device.

        Args:
            batch: What the data loader gave.
            dataloader_idx: Not used.

        Raises:
            UnreadableError: If there are too many.
        """
        self.counted().count(batch)
        return batch

    def counted(self) -> Unreadable:
        """Return the count of the files that are being read."""
        return self.unreadable

    def teardown(self, stage: str) -> None:
        """Say at the end of a run how many rasters could not be read.

        Args:
            stage: 'fit' or another.
        """
        if self.unreadable.files:
            print(self.unreadable, flush=True)

    def on_exception(self, exception: BaseException) -> None:
        """Say it too when a run is broken off.

        Args:
            exception: Why it ends.
        """
        if not isinstance(exception, UnreadableError):
            self.teardown('fit')

    def state_dict(self) -> dict[str, Any]:
        """Return where the training stands and in which data, to go on with the same batches.

        Counted where batches are trained on: workers that read ahead are some batches further.
        """
        if self.trainer is None or self.train_sampler is None:
            return {}
        sampler, loop = self.train_sampler, self.trainer.fit_loop.epoch_loop
        epoch, batch = sampler.epoch, loop.batch_progress.current.processed
        if batch >= self.trainer.num_training_batches:
            epoch, batch = epoch + 1, 0
        draws = {'data': sampler.fingerprint, 'batch_size': sampler.batch_size}
        return {'epoch': epoch, 'batch': batch, **draws}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on in the middle of an epoch; say so if other tiles will be drawn than before.

        Args:
            state_dict: What :meth:`state_dict` returned.
        """
        sampler = self.train_sampler
        if sampler is None:
            return
        sampler.resume_at(state_dict['epoch'], state_dict['batch'])
        # What Lightning would have to be told is that the loader goes on by its sampler.
        warnings.filterwarnings('ignore', '.*resuming from a checkpoint that ended before.*')
        changed = []
        if state_dict['data'] != sampler.fingerprint:
            changed.append('the rasters are not those the run was broken off with')
        before, now = state_dict['batch_size'], sampler.batch_size
        if before != now:
            changed.append(f'a batch of all processes had {before} tiles, and has {now}')
        if changed and self.trainer.is_global_zero:
            text = f'{"; ".join(changed)}: the batches to come are not those it would have had'
            print(f'xscale: warning: {text}', file=sys.stderr)
