"""Batches of your own images with masks or polygons, for segmentation."""

from functools import cached_property
from typing import Any

import numpy as np

from ..datasets.bands import band_names
from ..datasets.masked import Masked, MaskedTiles, open_masked
from ..errors import ConfigError
from .drawn_tiles import DrawnTiles
from .footprints import footprints_of
from .measured import measured
from .own import SHOWN, OwnDataModule, check_share, left_out


class MaskedDataModule(OwnDataModule[Masked]):
    """Tiles of images with a class for each pixel, in the files' units, with metres per pixel.

    They are for :class:`xscale.tasks.Segmentation`, which normalises them by itself. Training
    draws tiles anywhere in the images; validation and test cover them, each pixel counted once.
    """

    train_dataset: DrawnTiles | None
    val_dataset: MaskedTiles | None
    test_dataset: MaskedTiles | None

    def __init__(
        self,
        data: str = 'data',
        labels: str | None = None,
        attribute: str | None = None,
        splits: str | None = None,
        classes: list[str] | dict[int, str] | None = None,
        ignore: int | None = None,
        bands: list[str | int] | None = None,
        gsd: float | None = None,
        tile_size: int = 224,
        batch_size: int = 16,
        num_workers: int = 0,
        val_share: float = 0.2,
        test_share: float = 0.0,
        flip: bool = True,
        seed: int = 0,
    ) -> None:
        """Describe the data; nothing is read before :meth:`setup`.

        Args:
            data: A folder ``DIR/{train,val,test}/{images,masks}/NAME.*``, or
                ``DIR/{images,masks}/NAME.*``: GeoTIFF, JPEG or PNG, and for each a mask of its
                name, GeoTIFF or PNG, of whole numbers. Where both say on which grid they lie, it
                has to be one. Or a folder of a segmentation task of GEO-Bench, which has splits
                and classes of its own.
            labels: GeoJSON or GeoPackage of polygons in the place of masks, drawn onto images
                that say where on Earth they lie; what lies in none is background, class 0.
            attribute: Column of the polygons that names their class; one class by default.
            splits: Split file: CSV with the columns path, such as ``images/NAME.tif``, and split;
                by default ``split.csv`` or ``splits.csv`` in the folder.
            classes: Names of the values from 0 on, or names by value; by default those of
                ``DIR/classes.txt``, or the values that are found.
            ignore: Value of pixels that are not labelled, besides those without data; by default
                255, unless it is a class. In batches it is 255.
            bands: Bands to read, by number (from 1), name or common name; all by default.
            gsd: Metres per pixel of images that do not say.
            tile_size: Side of a tile in pixels; where an image is smaller, the rest is invalid.
            batch_size: Tiles in a batch of one process.
            num_workers: Processes that read ahead.
            val_share: Share of the images of train that become validation where there is none; 0
                to do without.
            test_share: Likewise of test.
            flip: Whether tiles of training are turned by quarters and flipped.
            seed: Seed of the draws, and of the splits where there are none.

        Raises:
            ConfigError: If a setting makes no sense.
        """
        check_share('val_share', val_share)
        check_share('test_share', test_share)
        if tile_size < 8:
            raise ConfigError(f'tile_size {tile_size}: at least 8 px are needed')
        super().__init__(MaskedTiles, batch_size, num_workers)
        # Not logged: Lightning refuses to log a gsd or a seed that is not the task's.
        self.save_hyperparameters(logger=False)

    def setup(self, stage: str) -> None:
        """Look at the files.

        Args:
            stage: 'fit', 'validate' or 'test'.

        Raises:
            ConfigError: If Lightning would wrap the sampler, which shards itself, a split that is
                needed is missing, or the data cannot be used.
        """
        if self.data is None:
            self.data = self._open()
        needed = {'fit': 'train', 'validate': 'val', 'test': 'test'}.get(stage, 'test')
        if needed not in self.data.splits:
            there = ', '.join(f'{name} {len(one):,}' for name, one in self.data.splits.items())
            raise ConfigError(
                f'{self.hparams["data"]} has no images in {needed} ({there}); add some, or '
                'hold out a share of train (val_share, test_share)'
            )
        self.val_dataset, self.test_dataset = self._tiles('val'), self._tiles('test')
        if stage != 'fit':
            return
        self.train_dataset = self._drawn()
        fingerprint = self.train_dataset.tiles.fingerprint
        self.begin_training(self.train_dataset, fingerprint, self.hparams['seed'])

    def _open(self) -> Masked:
        names = 'labels attribute splits classes ignore gsd seed val_share test_share'
        settings = {name: self.hparams[name] for name in names.split()}
        bands = band_names(self.hparams['bands'])
        return open_masked(self.hparams['data'], bands=bands, **settings)

    def _tiles(self, split: str) -> MaskedTiles | None:
        if split not in self.opened().splits:
            return None
        return MaskedTiles(self.opened(), split, self.hparams['tile_size'])

    def _drawn(self) -> DrawnTiles:
        tiles = MaskedTiles(self.opened(), 'train', self.hparams['tile_size'])
        return DrawnTiles(tiles, self.hparams['flip'], self.hparams['seed'])

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of their numbers."""
        return self.opened().classes.names

    def summary(self) -> str:
        """Say what was found and what was left out."""
        data, size = self.opened(), self.hparams['tile_size']
        counts = ', '.join(f'{len(scenes):,} in {name}' for name, scenes in data.splits.items())
        classes = data.classes
        names = ', '.join(classes.names[:SHOWN]) + (' …' if len(classes.names) > SHOWN else '')
        lines = [
            f'{data.name}: {len(classes.names)} classes ({names}), {classes.source}; images: '
            f'{counts}; tiles of {size} px'
        ]
        grids = [scene.image.grid for scenes in data.splits.values() for scene in scenes]
        small = sum(min(grid[:2]) < size for grid in grids)
        lines += [f'  {small:,} images are smaller than a tile, padded'] if small else []
        lines += [f'  {note}' for note in data.notes]
        lines += [f'  warning: {warning}' for warning in data.warnings]
        lines += left_out(data.rejected, ' ')
        return '\n'.join(lines)

    @cached_property
    def contract(self) -> dict[str, Any]:
        """What a model trained on this data may be fed, and where it lies, as plain values."""
        data = self.opened()
        split = next(iter(data.splits))
        tiles = MaskedTiles(data, split, self.hparams['tile_size'])
        said = {'bands': list(data.bands), 'dtype': data.dtype, 'classes': list(self.classes)}
        ground = footprints_of(np.asarray(tiles.footprints, np.float64))
        return {**said, **measured(tiles, data.name, data.bands), 'footprints': ground}
