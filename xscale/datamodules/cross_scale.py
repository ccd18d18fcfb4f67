"""Batches of tiles from folders of GeoTIFFs."""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import numpy as np
from torch import nn
from torch.utils.data import DataLoader
from torchgeo.datamodules import GeoDataModule

from ..datasets import Rasters
from ..datasets.bands import band_names
from ..errors import ConfigError, NoPlaceError
from ..samplers import (
    Area,
    Both,
    CrossScaleSampler,
    FrameSampler,
    PairSampler,
    Region,
    split_ground,
)
from ..seeds import chosen_seed
from ..types import Sample
from .footprints import footprints_of
from .loader import TileLoader
from .tiles import TileModule
from .unreadable import Unreadable


class CrossScaleDataModule(TileModule, GeoDataModule):
    """Tiles of rasters of any CRS, dtype and ground sample distance, for pretraining.

    Values stay in the files' units; the task normalises them on the device.
    """

    train_dataset: Rasters | None
    train_sampler: CrossScaleSampler | None
    val_sampler: CrossScaleSampler | None

    def __init__(
        self,
        paths: str | list[str] = 'data',
        bands: list[str | int] | None = None,
        rules: str | None = None,
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
        seed: int | None = None,
        max_unreadable: int | None = None,
        layers: dict[str, dict[str, Any]] | None = None,
        mixed: bool = False,
        pairs: dict[str, Any] | bool = False,
        frames: int = 1,
    ) -> None:
        """Describe the data; nothing is read before :meth:`setup`.

        Args:
            paths: Folders of GeoTIFFs, files, addresses, lists of them (``.txt``), or catalogues.
            bands: Bands by number (from 1), description or common name; all by default.
            rules: YAML file that says what the bands of files mean; or the dotted path of a class
                of TorchGeo's, for its files alone.
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
            seed: Seed of the draws; that of ``seed_everything`` by default.
            max_unreadable: Rasters that may become unreadable during training; 10, or 1 % of
                them if that is more, by default.
            layers: Several folders, each with bands of its own, in place of ``paths``: by name
                what :class:`~xscale.datasets.Rasters` takes.
            mixed: Where all bands are taken, whether rasters may differ in them; with ``pairs``
                they may.
            pairs: Whether tiles are drawn together with the same ground in a coarser raster; or
                what :class:`~xscale.samplers.PairSampler` takes: ``share``, ``ratio``,
                ``max_days`` and ``view``, half of the tile by default.
            frames: Images of each place, of different dates; see
                :class:`~xscale.samplers.FrameSampler`.

        Raises:
            ConfigError: If there are to be both pairs and several dates.
        """
        super().__init__(Rasters, batch_size, tile_size, length, num_workers)
        # Not logged: Lightning refuses to log a gsd or a seed that is not the task's. And not where
        # the images lie, for checkpoints are passed on, and an address may hold a key.
        self.save_hyperparameters(logger=False, ignore=('paths', 'layers'))
        if pairs and frames > 1:
            raise ConfigError(
                f'frames {frames} and pairs: a tile is one or the other; leave one out'
            )
        self.paths, self.gsd, self.roi = paths, gsd, roi
        self.bands = band_names(bands)
        self.layers, self.seed = layers, chosen_seed(seed)
        self.save_hyperparameters({'seed': self.seed}, logger=False)
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
        world = self.processes()
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
        # Sensors that make a pair seldom have the same bands.
        mixed = self.hparams['mixed'] or bool(self.hparams['pairs'] and not self.bands)
        if self.layers:
            return Rasters.join({name: Rasters(**layer) for name, layer in self.layers.items()})
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
        elif hparams['frames'] > 1:
            kind = partial(FrameSampler, frames=hparams['frames'])
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
        pairs = [sampler.summary()] if isinstance(sampler, PairSampler | FrameSampler) else []
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
        """What a model trained on this data may be fed, and where it lies, as plain values."""
        dataset, sampler = self._found()
        used = sampler.weights.weight > 0
        return {
            'bands': list(self.bands) or list(dataset.sensors[0].bands),
            'sensors': [sensor.plain() for sensor in dataset.sensors],
            'gsd': list(sampler.gsd_range),
            'footprints': footprints_of(dataset.rows.bounds[used]),
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

    def val_dataloader(self) -> list[DataLoader[Sample]]:  # type: ignore[override]
        """Return tiles of the ground kept for validation; nothing where none is kept."""
        return [] if self.val_sampler is None else super().val_dataloader()

    def test_dataloader(self) -> list[DataLoader[Sample]]:  # type: ignore[override]
        """Return no test data."""
        return []
