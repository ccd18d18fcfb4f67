"""Batches of tiles from folders of GeoTIFFs."""

import sys
import warnings
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any, Literal

import numpy as np
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchgeo.datamodules import GeoDataModule

from ..datasets import Rasters
from ..errors import ConfigError, NoPlaceError, UnreadableError
from ..samplers import Area, Both, CrossScaleSampler, PairSampler, Region, split_ground
from ..types import Sample
from .loader import TileLoader
from .unreadable import Unreadable


class CrossScaleDataModule(GeoDataModule):
    """Tiles of rasters of any CRS, dtype and ground sample distance, for pretraining.

    Values stay in the files' units; the task normalises them on the device.
    """

    train_dataset: Rasters | None
    train_sampler: CrossScaleSampler | None
    val_sampler: CrossScaleSampler | None

    def __init__(
        self,
        paths: str | list[str] = 'data',
        bands: list[str] | None = None,
        rules: str | None = None,
        layers: dict[str, dict[str, Any]] | None = None,
        mixed: bool = False,
        pairs: dict[str, Any] | bool = False,
        tile_size: int = 256,
        gsd: tuple[float, float] | None = None,
        max_nodata: float = 0.5,
        balance: Literal['area', 'raster', 'gsd'] = 'area',
        temperature: float = 1.0,
        roi: str | None = None,
        val_share: float = 0.0,
        val_batches: int = 8,
        mean: list[float] | None = None,
        std: list[float] | None = None,
        batch_size: int = 64,
        num_workers: int = 0,
        length: int | None = None,
        seed: int = 0,
        max_unreadable: int | None = None,
    ) -> None:
        """Describe the data; nothing is read before :meth:`setup`.

        Args:
            paths: Folders of GeoTIFFs, or files.
            bands: Bands by number (from 1), description or common name; all by default.
            rules: YAML file that says what the bands of files mean.
            layers: Several folders, each with bands of its own, in place of ``paths``: by name
                what :class:`~xscale.datasets.Rasters` takes.
            mixed: Where all bands are taken, whether rasters may differ in them.
            pairs: Whether tiles are drawn together with the same ground in a coarser raster; or
                what :class:`~xscale.samplers.PairSampler` takes: ``share``, ``ratio``,
                ``max_days`` and ``view``, half of the tile by default.
            tile_size: Side of a tile in pixels.
            gsd: Finest and coarsest ground sample distance of the tiles in metres per pixel; each
                raster's own by default.
            max_nodata: Largest share of a tile's pixels that may hold no data.
            balance: What rasters are drawn by: 'area'; 'raster', all alike; or 'gsd', groups of
                like ground sample distance.
            temperature: For 'gsd': a group is drawn by its area to the power of
                1 / temperature; 1 is by area, a large number draws all groups alike.
            roi: Vector file with the region where tiles may have their middle.
            val_share: Share of the ground kept for validation; no training tile touches it.
            val_batches: Batches of one process in a validation, always the same tiles.
            mean: Mean of each band in the files' units; measured by sensor by default.
            std: Standard deviation of each band, likewise.
            batch_size: Tiles in a batch of one process.
            num_workers: Processes that read ahead.
            length: Tiles in an epoch, over all processes; once over the rasters by default.
            seed: Seed of the draws.
            max_unreadable: Rasters that may become unreadable during training; 10, or 1 % of
                them if that is more, by default.
        """
        super().__init__(Rasters, batch_size, tile_size, length, num_workers)
        # Not logged: Lightning refuses to log a gsd or a seed that is not the task's.
        self.save_hyperparameters(logger=False)
        self.paths, self.bands, self.gsd, self.seed = paths, bands or [], gsd, seed
        self.roi = roi
        # TorchGeo's default divides by 255, which is wrong for anything but bytes.
        self.aug = nn.Identity()
        self.max_unreadable = max_unreadable
        self.unreadable = Unreadable(None, max_unreadable)

    def setup(self, stage: str) -> None:
        """Scan the folders and weigh the rasters.

        Args:
            stage: Only 'fit' has data.

        Raises:
            ConfigError: If Lightning would wrap the sampler, which shards itself.
            NoRastersError: If nothing can be used.
        """
        if stage != 'fit' or self.train_sampler is not None:
            return
        world = self.trainer.world_size if self.trainer else 1
        if world > 1 and self.trainer._accelerator_connector.use_distributed_sampler:
            raise ConfigError(
                'the sampler shards itself: set trainer.use_distributed_sampler: false'
            )
        dataset = self._scan()
        self.train_dataset = self.val_dataset = dataset
        self.unreadable = Unreadable(dataset.rows, self.max_unreadable)
        area = Area.read(self.roi) if self.roi else None
        share = self.hparams['val_share']
        if not share:
            self.train_sampler = self._sampler(area)
        else:
            weights = self._sampler(area).weights
            size, files = self.hparams['tile_size'], self.train_dataset.rows
            parts = split_ground(files, weights, size, share, self.seed, area)
            train, held = (part if area is None else Both(area, part) for part in parts)
            self.train_sampler = self._sampler(train)
            length = self.hparams['val_batches'] * self.batch_size * world
            self.val_sampler = self._sampler(held, fixed=True, length=length)
            self._try_validation(self.val_sampler)
        if not self.trainer or self.trainer.is_global_zero:
            print(self.summary(), flush=True)

    def _scan(self) -> Rasters:
        """Scan the folders, or those of each layer."""
        layers, mixed = self.hparams['layers'], self.hparams['mixed']
        if layers:
            return Rasters.join({name: Rasters(**layer) for name, layer in layers.items()})
        mean, std = (self.hparams[name] or () for name in ('mean', 'std'))
        rules = self.hparams['rules']
        return Rasters(self.paths, self.bands, rules, mean=mean, std=std, mixed=mixed)

    def _try_validation(self, sampler: CrossScaleSampler) -> None:
        """Find out now, not after hours, whether the ground that was kept holds tiles."""
        try:
            sampler.batch(0, 0)
        except NoPlaceError as error:
            share = self.hparams['val_share']
            raise ConfigError(
                f'val_share {share}: the ground kept for validation holds no tile: {error}; or '
                'keep more of it, or choose another seed'
            ) from error

    def _sampler(self, region: Region | None, **options: Any) -> CrossScaleSampler:
        """Draw from a region, this process's share of each batch."""
        hparams, pairs = self.hparams, self.hparams['pairs']
        world = self.trainer.world_size if self.trainer else 1
        kind: Callable[..., CrossScaleSampler] = CrossScaleSampler
        if pairs:
            view = {'view': hparams['tile_size'] // 2}
            kind = partial(PairSampler, **view | (pairs if isinstance(pairs, dict) else {}))
        return kind(
            self._rasters(),
            size=hparams['tile_size'],
            batch_size=self.batch_size * world,
            gsd=self.gsd,
            max_nodata=hparams['max_nodata'],
            balance=hparams['balance'],
            temperature=hparams['temperature'],
            region=region,
            seed=self.seed,
            rank=self.trainer.global_rank if self.trainer else 0,
            world_size=world,
            **{'length': self.length} | options,
        )

    def summary(self) -> str:
        """Say what was found, by sensor and ground sample distance, and what was left out."""
        dataset, sampler = self._found()
        lines = []
        used = sampler.weights.weight > 0
        for number, sensor in enumerate(dataset.sensors):
            group = dataset.rows.gsd[used & (dataset.rows.sensor == number)]
            if len(group):
                gsds = sorted({f'{gsd:.3g}' for gsd in group}, key=float)
                lines.append(f'  {len(group)} × {sensor.name}, {", ".join(gsds)} m')
        head = f'{used.sum()} rasters, {sampler.batches} batches an epoch:'
        padded = [f'  {path}: smaller than a tile, padded' for path in sampler.weights.padded]
        rejected = (*dataset.rejected, *sampler.weights.rejected)
        out = [f'  {r.path}: {r.reason}' for r in rejected]
        if out:
            out.insert(0, f'{len(out)} rasters left out:')
        if dataset.note:
            out.append(dataset.note)
        pairs = [sampler.summary()] if isinstance(sampler, PairSampler) else []
        return '\n'.join([head, *lines, *pairs, *padded, *self._elsewhere(sampler), *out])

    def _elsewhere(self, sampler: CrossScaleSampler) -> list[str]:
        """Say what training does not draw from because of where it lies."""
        lines, outside = [], sampler.weights.outside
        if outside:
            where = [f'outside of {self.roi}'] if self.roi else []
            where += ['on ground kept for validation'] if self.val_sampler else []
            lines.append(f'{outside} rasters lie wholly {" or ".join(where)}')
        if self.val_sampler:
            count = np.count_nonzero(self.val_sampler.weights.weight)
            lines.append(f'validation: {count} rasters, {self.val_sampler.batches} batches')
        return lines

    def _rasters(self) -> Rasters:
        if self.train_dataset is None:
            raise ConfigError('call setup("fit") first: what the data holds is not known before')
        return self.train_dataset

    def _found(self) -> tuple[Rasters, CrossScaleSampler]:
        dataset, sampler = self._rasters(), self.train_sampler
        return dataset, sampler or self._sampler(None)

    @property
    def contract(self) -> dict[str, Any]:
        """What a model trained on this data may be fed, as plain values."""
        dataset, sampler = self._found()
        return {
            'bands': list(self.bands) or list(dataset.sensors[0].bands),
            'sensors': [
                {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(sensor).items()}
                for sensor in dataset.sensors
            ],
            'gsd': list(sampler.gsd_range),
        }

    def train_dataloader(self) -> TileLoader:
        """Return a loader that outlives its worker processes."""
        dataset, sampler = self._found()
        return TileLoader(
            dataset,
            batch_size=self.batch_size,
            sampler=sampler,
            num_workers=self.num_workers,
            collate_fn=self.collate_fn,
            drop_last=True,
        )

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
        if batch['unreadable'].any():
            self.unreadable.count(batch)
        return batch

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

    def val_dataloader(self) -> list[DataLoader[Sample]]:  # type: ignore[override]
        """Return tiles of the ground kept for validation; nothing where none is kept."""
        return [] if self.val_sampler is None else super().val_dataloader()

    def test_dataloader(self) -> list[DataLoader[Sample]]:  # type: ignore[override]
        """Return no test data."""
        return []
