"""Batches of Functional Map of the World, for pretraining and for classification."""

from functools import partial
from typing import Any, Literal

import torch
from torch import nn
from torch.utils.data import DataLoader
from torchgeo.datamodules import NonGeoDataModule

from ..datasets import FMoW
from ..datasets.bands import band_names
from ..datasets.fmow.images import Gsd
from ..errors import ConfigError, UnknownNameError
from ..samplers import ImageSampler, SequenceSampler
from ..transforms import Normalize
from ..types import Sample
from .footprints import footprints_of
from .loader import TileLoader
from .tiles import TileModule
from .unreadable import Unreadable

#: Lines of files left out that are shown; a data set may lack thousands.
SHOWN = 10


class FMoWDataModule(TileModule, NonGeoDataModule):
    """Images of fMoW-rgb, fMoW-Sentinel, or a list of them.

    For pretraining: squares from anywhere in the images, each at its image's own metres per
    pixel and in the files' units, for :class:`~xscale.tasks.Pretraining`, which normalises them.
    For classification: whole images or labelled boxes, resampled to one size and normalised, for
    :class:`torchgeo.tasks.Classification`.
    """

    train_dataset: FMoW | None
    val_dataset: FMoW | None
    test_dataset: FMoW | None

    def __init__(
        self,
        paths: str = 'data',
        task: Literal['pretraining', 'classification'] = 'pretraining',
        bands: list[str | int] | None = None,
        images: Literal['rgb', 'msrgb'] = 'rgb',
        gsd: Gsd = 'stated',
        tile_size: int = 256,
        balance: Literal['image', 'location'] = 'image',
        val_paths: str | None = None,
        val_batches: int = 8,
        crop: Literal['image', 'box'] = 'box',
        context: float | None = None,
        false_detections: bool = False,
        multilabel: bool = False,
        mean: list[float] | None = None,
        std: list[float] | None = None,
        batch_size: int = 64,
        num_workers: int = 0,
        length: int | None = None,
        seed: int = 0,
        max_unreadable: int | None = None,
        frames: int = 1,
    ) -> None:
        """Describe the data; nothing is read before :meth:`setup`.

        Args:
            paths: The folder that holds the splits, or the list (CSV) of the training images.
            task: 'pretraining' or 'classification'.
            bands: Bands by name, number or common name; all by default.
            images: 'rgb' or 'msrgb' of fMoW-rgb.
            gsd: Metres per pixel: 'stated' by the metadata, 'measured' on the ground with the
                pixels made square, or a number for all images.
            tile_size: Side of a tile in pixels.
            balance: For pretraining: what an epoch holds once, each 'image', or each 'location'
                of one of its dates.
            val_paths: Folder or list of the validation images, if it is another.
            val_batches: For pretraining: batches of one process in a validation, always the same
                tiles; 0 for none.
            crop: For classification: 'box', a square around each labelled box, or 'image', the
                largest square in the middle of each.
            context: Share of a box's sides that is added; by default as in the challenge's
                baseline.
            false_detections: For classification: whether false detections are a 63rd class.
            multilabel: For classification: labels of several classes, of whole images.
            mean: Mean of each band in the files' units; the published one by default.
            std: Standard deviation of each band, likewise.
            batch_size: Tiles in a batch of one process.
            num_workers: Processes that read ahead.
            length: For pretraining: tiles in an epoch, over all processes; all images by default.
            seed: Seed of the draws.
            max_unreadable: Images that may become unreadable during training; 10, or 1 % of them
                if that is more, by default for pretraining, and none for classification.
            frames: For pretraining: images of each location, of different dates; see
                :class:`~xscale.samplers.SequenceSampler`.

        Raises:
            UnknownNameError: If there is no such task.
            ConfigError: If classification is to take several dates.
        """
        if frames > 1 and task == 'classification':
            raise ConfigError(f'frames {frames} are for pretraining; leave them out')
        if task not in ('pretraining', 'classification'):
            raise UnknownNameError('task', task, ('pretraining', 'classification'))
        super().__init__(FMoW, batch_size, num_workers)
        # Not logged: Lightning refuses to log a gsd or a seed that is not the task's.
        self.save_hyperparameters(logger=False)
        self.pretraining = task == 'pretraining'
        self.paths, self.val_paths = str(paths), val_paths
        if max_unreadable is None and not self.pretraining:
            max_unreadable = 0
        self.max_unreadable = max_unreadable
        self.unreadable = self.unreadable_held = Unreadable(None, max_unreadable)
        self.train_sampler: ImageSampler | None = None
        self.val_sampler: ImageSampler | None = None
        self.aug: nn.Module = nn.Identity()

    def setup(self, stage: str) -> None:
        """Find the images of the splits a stage needs.

        Args:
            stage: 'fit', 'validate' or 'test'.

        Raises:
            ConfigError: If Lightning would wrap the sampler, which shards itself, or the data
                do not fit the settings.
            NoImagesError: If nothing can be used.
        """
        if stage != 'test' and not self.pretraining and self._lacks_validation():
            raise ConfigError(
                f'{self.paths} lists the training images only; give val_paths, or the folder that '
                'holds train.csv and val.csv'
            )
        if stage == 'fit' and self.train_dataset is None:
            self.train_dataset = self._load('train')
            self.unreadable = Unreadable(self.train_dataset.images, self.max_unreadable)
            self._draw()
        if stage in ('fit', 'validate') and self.val_dataset is None:
            self.val_dataset = self._validation()
        if stage == 'test' and self.test_dataset is None:
            self.test_dataset = self._load('test')
        held = self.test_dataset if stage == 'test' else self.val_dataset
        if held is not None:
            self.unreadable_held = Unreadable(held.images, self.max_unreadable)
        self._normalize()
        if stage == 'fit' and (not self.trainer or self.trainer.is_global_zero):
            print(self.summary(), flush=True)

    def _load(self, split: str, path: str | None = None) -> FMoW:
        hparams = self.hparams
        cut: dict[str, Any] = {}
        if not self.pretraining:
            names = ('crop', 'context', 'false_detections', 'multilabel')
            cut = {'size': hparams['tile_size'], **{name: hparams[name] for name in names}}
        return FMoW(
            path or self.paths,
            split,
            band_names(hparams['bands']),
            gsd=hparams['gsd'],
            images=hparams['images'],
            mean=hparams['mean'] or (),
            std=hparams['std'] or (),
            **cut,
        )

    def _lacks_validation(self) -> bool:
        """Tell whether the training images are a list, and nobody gave one for validation."""
        return self.val_paths is None and self.paths.endswith('.csv')

    def _validation(self) -> FMoW | None:
        """Load the images for validation; pretraining does without where there are none."""
        if self.pretraining and not self.hparams['val_batches']:
            return None
        if self._lacks_validation():
            return None
        try:
            held = self._load('val', self.val_paths)
        except ConfigError:
            if self.pretraining and self.val_paths is None:
                return None
            raise
        if self.pretraining:
            length = self.hparams['val_batches'] * self.batch_size * self.processes()
            self.val_sampler = self._sampler(held, fixed=True, length=length)
        return held

    def _draw(self) -> None:
        if self.pretraining and self.train_dataset is not None:
            balance, length = self.hparams['balance'], self.hparams['length']
            self.train_sampler = self._sampler(self.train_dataset, balance=balance, length=length)

    def _sampler(self, dataset: FMoW, **options: Any) -> ImageSampler:
        world, frames = self.processes(), self.hparams['frames']
        kind = ImageSampler if frames == 1 else partial(SequenceSampler, frames=frames)
        return kind(
            dataset,
            size=self.hparams['tile_size'],
            batch_size=self.batch_size * world,
            seed=self.hparams['seed'],
            rank=self.trainer.global_rank if self.trainer else 0,
            world_size=world,
            **options,
        )

    def _normalize(self) -> None:
        """Normalise for a task that does not do it by itself, and let it undo that for pictures."""
        dataset = self.train_dataset or self.val_dataset or self.test_dataset
        if not self.pretraining and dataset is not None:
            (sensor,) = dataset.sensors
            self.mean, self.std = torch.tensor(sensor.mean), torch.tensor(sensor.std)
            self.aug = _Normalized(Normalize(dataset.sensors))

    def summary(self) -> str:
        """Say what was found and what was left out."""
        dataset = self._found()
        images, sampler = dataset.images, self.train_sampler
        lines = [
            f'{len(images)} images of {images.location.max() + 1} locations, '
            f'{images.gsd.min():.3g} to {images.gsd.max():.3g} m'
        ]
        if sampler:
            lines[0] += f', {sampler.batches} batches an epoch'
            small = (images.size * images.pixel < sampler.size * images.gsd[:, None]).any(1)
            count = int(small.sum())
            lines += [f'  {count} are smaller than a tile, padded'] if count else []
        else:
            lines[0] += f': {len(dataset)} samples of {len(dataset.classes)} classes'
        if self.val_dataset is not None:
            lines.append(f'validation: {len(self.val_dataset.images)} images')
        rejected = dataset.rejected
        lines += [f'{len(rejected)} images left out:'] if rejected else []
        lines += [f'  {one.path}: {one.reason}' for one in rejected[:SHOWN]]
        lines += [f'  … and {len(rejected) - SHOWN} more'] if len(rejected) > SHOWN else []
        return '\n'.join(lines)

    def _found(self) -> FMoW:
        if self.train_dataset is None:
            raise ConfigError('call setup("fit") first: what the data holds is not known before')
        return self.train_dataset

    @property
    def contract(self) -> dict[str, Any]:
        """What a model trained on this data may be fed, and where it lies, as plain values."""
        dataset = self._found()
        (sensor,) = dataset.sensors
        bands = list(band_names(self.hparams['bands']) or sensor.bands)
        return {
            'bands': bands,
            'sensors': [sensor.plain()],
            'gsd': [float(dataset.images.gsd.min()), float(dataset.images.gsd.max())],
            'footprints': footprints_of(dataset.images.bounds),
        }

    def train_dataloader(self) -> DataLoader[Sample]:
        """Return tiles in the order of the sampler, or all samples shuffled."""
        if self.train_sampler is None:
            return super().train_dataloader()
        return TileLoader(
            self._found(),
            batch_size=self.batch_size,
            sampler=self.train_sampler,
            num_workers=self.num_workers,
            collate_fn=self.collate_fn,
            drop_last=True,
        )

    def val_dataloader(self) -> DataLoader[Sample] | list[DataLoader[Sample]]:  # type: ignore[override]
        """Return the same tiles each time, or all samples; nothing where there are none."""
        if not self.pretraining:
            return super().val_dataloader()
        if self.val_dataset is None:
            return []
        return DataLoader(
            self.val_dataset,
            batch_size=self.batch_size,
            sampler=self.val_sampler,
            num_workers=self.num_workers,
            collate_fn=self.collate_fn,
            persistent_workers=self.num_workers > 0,
        )

    def counted(self) -> Unreadable:
        """Return the count of the images that are being read."""
        training = not self.trainer or self.trainer.training
        return self.unreadable if training else self.unreadable_held


class _Normalized(nn.Module):
    """Normalise the images of a batch; what is missing is the mean."""

    def __init__(self, normalize: Normalize) -> None:
        super().__init__()
        self.normalize = normalize

    def forward(self, batch: Sample) -> Sample:
        image, valid = batch['image'], batch['valid']
        return {**batch, 'image': self.normalize.to(image.device)(image, valid)}
