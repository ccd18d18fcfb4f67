"""Batches of your own labelled images, for classification."""

from functools import cached_property
from typing import Any

from ..datasets.bands import band_names
from ..datasets.labelled import Labelled, Split, check_readable, open_labelled
from ..datasets.labelled.halves import divide
from ..errors import ConfigError
from .labelled_squares import LabelledSquares, choose_side
from .measured import measured
from .own import OwnDataModule, check_share, left_out


class LabelledDataModule(OwnDataModule[Labelled]):
    """Labelled images as squares of one side, in the files' units, with their metres per pixel.

    They are for :class:`xscale.tasks.Classification`, which normalises them by itself.
    """

    train_dataset: LabelledSquares | None
    val_dataset: LabelledSquares | None
    test_dataset: LabelledSquares | None

    def __init__(
        self,
        data: str = 'data',
        root: str | None = None,
        splits: str | None = None,
        bands: list[str | int] | None = None,
        gsd: float | None = None,
        size: int | None = None,
        batch_size: int = 64,
        num_workers: int = 0,
        val_share: float = 0.2,
        flip: bool = True,
        seed: int = 0,
    ) -> None:
        """Describe the data; nothing is read before :meth:`setup`.

        Args:
            data: A folder ``DIR/{train,test[,val]}/<class>/*`` of JPEG, PNG or GeoTIFF, or
                ``DIR/<class>/*`` with a split file; a folder of a classification task of
                GEO-Bench; ``FMoW``; or a data set of TorchGeo by its class.
            root: Folder of a data set that is given by its class; 'data' by default.
            splits: Split file of a folder: CSV with the columns path, split, and maybe label.
            bands: Bands to read, by number (from 1), name or common name; all by default.
            gsd: Metres per pixel of images that do not say.
            size: Side in pixels of the squares, cut from the middle and resampled; by default the
                median of the images, down to a multiple of 16, at most 256.
            batch_size: Images in a batch of one process.
            num_workers: Processes that read ahead.
            val_share: Share of the training images that become validation where there is none; 0
                to do without.
            flip: Whether images of training are turned by quarters and flipped.
            seed: Seed of the order, the turns, and the splits where there are none.

        Raises:
            ConfigError: If a setting makes no sense.
        """
        check_share('val_share', val_share)
        if size is not None and size < 8:
            raise ConfigError(f'size {size}: squares of at least 8 px are needed')
        super().__init__(LabelledSquares, batch_size, num_workers)
        # Not logged: Lightning refuses to log a gsd or a seed that is not the task's.
        self.save_hyperparameters(logger=False)
        self.side = 0

    def setup(self, stage: str) -> None:
        """List the images, and leave out those that cannot be read.

        Args:
            stage: 'fit', 'validate' or 'test'.

        Raises:
            ConfigError: If Lightning would wrap the sampler, which shards itself, or the data are
                nothing to train and to test on.
        """
        if self.data is None:
            self.data = self._open()
            self._hold_out(self.data)
        if self.train_dataset is None:
            splits = self.data.splits
            self.side = self.hparams['size'] or choose_side(splits['train'])
            self.train_dataset = self._squares(splits['train'], self.hparams['flip'])
            self.val_dataset = self._squares(splits['val']) if 'val' in splits else None
            self.test_dataset = self._squares(splits['test'])
        if stage == 'fit' and self.train_dataset is not None:
            fingerprint = self.train_dataset.split.fingerprint
            self.begin_training(self.train_dataset, fingerprint, self.hparams['seed'])

    def _open(self) -> Labelled:
        names = ('root', 'splits', 'gsd', 'seed')
        settings = {name: self.hparams[name] for name in names}
        bands = band_names(self.hparams['bands'])
        return check_readable(open_labelled(str(self.hparams['data']), bands=bands, **settings))

    def _hold_out(self, data: Labelled) -> None:
        """Take a part of the training images for validation, where there is none."""
        share, seed = self.hparams['val_share'], self.hparams['seed']
        if 'val' in data.splits or not share:
            return
        train, held, how = divide(data.splits['train'], share, seed)
        data.splits |= {'train': train, 'val': held}
        data.notes.append(
            f'no validation split: {share:.0%} of the images of train {how} are held out (seed '
            f'{seed})'
        )

    def _squares(self, split: Split, flip: bool = False) -> LabelledSquares:
        return LabelledSquares(split, self.side, self.classes, flip, self.hparams['seed'])

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of their numbers."""
        return self.opened().classes

    def summary(self) -> str:
        """Say what was found and what was left out."""
        data = self.opened()
        counts = ', '.join(f'{len(split):,} in {name}' for name, split in data.splits.items())
        kind = 'several labels each' if data.multilabel else 'one label each'
        lines = [
            f'{data.name}: {len(data.classes)} classes, {kind}; {counts}; squares of {self.side} px'
        ]
        # They name the options of xscale evaluate.
        lines += [f'  {note.replace("--", "--data.")}' for note in data.notes]
        lines += [f'  warning: {warning}' for warning in data.warnings]
        lines += left_out(data.rejected, ': ')
        return '\n'.join(lines)

    @cached_property
    def contract(self) -> dict[str, Any]:
        """What a model trained on this data may be fed, as plain values."""
        data = self.opened()
        said = {'bands': list(data.bands), 'dtype': data.dtype, 'classes': list(data.classes)}
        split = LabelledSquares(data.splits['train'], self.side)
        return said | measured(split, data.name, data.bands)
