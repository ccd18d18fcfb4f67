"""What data modules of your own labelled data share."""

from collections.abc import Sequence
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchgeo.datamodules import NonGeoDataModule

from ..datasets.find import Rejected
from ..errors import ConfigError
from ..samplers import ShuffledSampler
from ..types import Sample
from .label_sheet import draw_labelled
from .loader import TileLoader
from .tiles import TileModule
from .unreadable import Unreadable

#: Images left out that are shown.
SHOWN = 10


class OwnDataModule[Data](TileModule, NonGeoDataModule):
    """Labelled samples in the files' units, drawn in a new order in each epoch of training.

    A subclass opens the data in its ``setup``.

    Attributes:
        data: What was opened; None before :meth:`setup`, unless it is given opened data.
        announce: Whether it says what there is to train on.
    """

    train_sampler: ShuffledSampler | None
    announce = True

    def __init__(self, kind: type[Dataset[Sample]], batch_size: int, num_workers: int) -> None:
        """Begin with nothing.

        Args:
            kind: Class of the data set.
            batch_size: Samples in a batch of one process.
            num_workers: Processes that read ahead.
        """
        super().__init__(kind, batch_size, num_workers)
        self.data: Data | None = None
        self.unreadable = Unreadable(None)
        self.train_sampler = None
        self.aug: nn.Module = nn.Identity()
        # For TorchGeo's tasks, which undo a normalisation for their pictures.
        self.mean, self.std = torch.tensor(0.0), torch.tensor(1.0)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of their numbers."""
        raise NotImplementedError

    def summary(self) -> str:
        """Say what was found and what was left out."""
        raise NotImplementedError

    def opened(self) -> Data:
        """Return the data.

        Raises:
            ConfigError: If they are not known yet.
        """
        if self.data is None:
            raise ConfigError('call setup("fit") first: what the data holds is not known before')
        return self.data

    def begin_training(self, samples: Any, fingerprint: str, seed: int) -> None:
        """Set up the order of training, and say what there is to train on.

        Args:
            samples: The data set of training.
            fingerprint: Of what it holds.
            seed: Of the order.

        Raises:
            ConfigError: If Lightning would wrap the sampler, which shards itself.
        """
        world = self.processes()
        self.train_sampler = ShuffledSampler(
            samples,
            batch_size=self.batch_size * world,
            fingerprint=fingerprint,
            seed=seed,
            rank=self.trainer.global_rank if self.trainer else 0,
            world_size=world,
        )
        if self.announce and (not self.trainer or self.trainer.is_global_zero):
            print(self.summary(), flush=True)

    def plot(self, sample: Sample, **kwargs: Any) -> Figure:
        """Draw a sample; TorchGeo's tasks ask for it.

        Args:
            sample: One of a batch, with a ``prediction`` if there is one.
            **kwargs: Not used.
        """
        data: Any = self.opened()
        return draw_labelled(sample, data.bands, self.classes)

    def train_dataloader(self) -> DataLoader[Sample]:
        """Return all samples of training in a new order in each epoch, in whole batches."""
        if self.train_dataset is None or self.train_sampler is None:
            raise ConfigError('call setup("fit") first: what the data holds is not known before')
        return TileLoader(
            self.train_dataset,
            batch_size=self.batch_size,
            sampler=self.train_sampler,
            num_workers=self.num_workers,
            collate_fn=self.collate_fn,
        )

    def val_dataloader(self) -> DataLoader[Sample] | list[DataLoader[Sample]]:  # type: ignore[override]
        """Return the samples of validation in order; nothing where there are none."""
        return super().val_dataloader() if self.val_dataset else []


def left_out(rejected: Sequence[Rejected], between: str) -> list[str]:
    """Say which images are left out, a line each.

    Args:
        rejected: The images.
        between: What stands between a path and the reason.
    """
    lines = [f'{len(rejected):,} images left out:'] if rejected else []
    lines += [f'  {one.path}{between}{one.reason}' for one in rejected[:SHOWN]]
    return lines + ([f'  … and {len(rejected) - SHOWN:,} more'] if len(rejected) > SHOWN else [])


def check_share(name: str, share: float) -> None:
    """Refuse what is no share.

    Args:
        name: Of the setting.
        share: Its value.

    Raises:
        ConfigError: If it is below 0, or 1 or above.
    """
    if not 0 <= share < 1:
        raise ConfigError(f'{name} {share}: a share of the images is needed, from 0 to below 1')
