"""Batches of tiles from folders of GeoTIFFs."""

import sys
import warnings
from typing import Any

from torch import nn
from torch.utils.data import DataLoader
from torchgeo.datamodules import GeoDataModule

from ..datasets import Rasters
from ..errors import ConfigError
from ..samplers import CrossScaleSampler
from ..types import Sample


class CrossScaleDataModule(GeoDataModule):
    """Tiles of rasters of any CRS, dtype and ground sample distance, for pretraining.

    Values stay in the files' units; the task normalises them on the device.
    """

    train_dataset: Rasters | None
    train_sampler: CrossScaleSampler | None

    def __init__(
        self,
        paths: str | list[str] = 'data',
        bands: list[str] | None = None,
        tile_size: int = 256,
        gsd: tuple[float, float] | None = None,
        batch_size: int = 64,
        num_workers: int = 0,
        length: int | None = None,
        seed: int = 0,
    ) -> None:
        """Describe the data; nothing is read before :meth:`setup`.

        Args:
            paths: Folders of GeoTIFFs, or files.
            bands: Bands by number (from 1), description or common name; all by default.
            tile_size: Side of a tile in pixels.
            gsd: Finest and coarsest ground sample distance of the tiles in metres per pixel; each
                raster's own by default.
            batch_size: Tiles in a batch of one process.
            num_workers: Processes that read ahead.
            length: Tiles in an epoch, over all processes; once over the rasters by default.
            seed: Seed of the draws.
        """
        super().__init__(Rasters, batch_size, tile_size, length, num_workers)
        self.save_hyperparameters()
        self.paths, self.bands, self.gsd, self.seed = paths, bands or [], gsd, seed
        # TorchGeo's default divides by 255, which is wrong for anything but bytes.
        self.aug = nn.Identity()

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
        self.train_dataset = Rasters(self.paths, self.bands)
        self.train_sampler = CrossScaleSampler(
            self.train_dataset,
            size=self.hparams['tile_size'],
            batch_size=self.batch_size * world,
            gsd=self.gsd,
            length=self.length,
            seed=self.seed,
            rank=self.trainer.global_rank if self.trainer else 0,
            world_size=world,
        )
        if not self.trainer or self.trainer.is_global_zero:
            print(self.summary(), flush=True)

    def summary(self) -> str:
        """Say what was found, by sensor and ground sample distance, and what was left out."""
        dataset, sampler = self._found()
        lines = []
        used = dataset.index[sampler.weights > 0]
        for number, group in used.groupby('sensor'):
            gsds = sorted({f'{gsd:.3g}' for gsd in group['gsd']}, key=float)
            sensor = dataset.sensors[number].name
            lines.append(f'  {len(group)} × {sensor}, {", ".join(gsds)} m')
        head = f'{len(used)} rasters, {sampler.batches} batches an epoch:'
        padded = [f'  {path}: smaller than a tile, padded' for path in sampler.padded]
        out = [f'  {r.path}: {r.reason}' for r in (*dataset.rejected, *sampler.rejected)]
        if out:
            out.insert(0, f'{len(out)} rasters left out:')
        return '\n'.join([head, *lines, *padded, *out])

    def _found(self) -> tuple[Rasters, CrossScaleSampler]:
        if self.train_dataset is None or self.train_sampler is None:
            raise ConfigError('call setup("fit") first: what the data holds is not known before')
        return self.train_dataset, self.train_sampler

    @property
    def contract(self) -> dict[str, Any]:
        """What a model trained on this data may be fed, as plain values."""
        dataset, sampler = self._found()
        chosen = sampler.weights > 0
        return {
            'bands': list(self.bands) or list(dataset.sensors[0].bands),
            'sensors': [
                {'name': s.name, 'bands': list(s.bands), 'mean': list(s.mean), 'std': list(s.std)}
                for s in dataset.sensors
            ],
            'gsd': [
                float(sampler.finest[chosen].min()),
                float(sampler.coarsest[chosen].max()),
            ],
        }

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
        _, sampler = self._found()
        sampler.resume_at(state_dict['epoch'], state_dict['batch'])
        # What Lightning would have to be told is that the loader goes on by its sampler.
        warnings.filterwarnings('ignore', '.*resuming from a checkpoint that ended before.*')
        changed = []
        if state_dict['data'] != sampler.fingerprint:
            changed.append('the rasters are not those the run was broken off with')
        if (before := state_dict['batch_size']) != sampler.batch_size:
            changed.append(
                f'a batch of all processes was {before} tiles, and is {sampler.batch_size}'
            )
        if changed and self.trainer.is_global_zero:
            text = f'{"; ".join(changed)}: the batches to come are not those it would have had'
            print(f'xscale: warning: {text}', file=sys.stderr)

    def val_dataloader(self) -> list[DataLoader[Sample]]:  # type: ignore[override]
        """Return no validation data: pretraining has none."""
        return []

    def test_dataloader(self) -> list[DataLoader[Sample]]:  # type: ignore[override]
        """Return no test data."""
        return []
