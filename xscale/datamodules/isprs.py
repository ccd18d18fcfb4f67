"""Batches of Potsdam and Vaihingen, the benchmarks of the ISPRS."""

from ..datasets.masked import Masked
from ..datasets.masked.isprs import open_isprs
from .masked import MaskedDataModule


class ISPRSDataModule(MaskedDataModule):
    """Tiles of Potsdam or Vaihingen with TorchGeo's splits, in the files' units.

    Training draws tiles anywhere in the images; validation and test cover them, each pixel
    counted once, where TorchGeo's own modules take the middle of each image.
    """

    def __init__(
        self,
        name: str = 'potsdam',
        root: str = 'data',
        bands: list[str] | None = None,
        tile_size: int = 512,
        batch_size: int = 8,
        num_workers: int = 0,
        val_share: float = 0.2,
        flip: bool = True,
        seed: int = 0,
        checksum: bool = True,
    ) -> None:
        """Describe the data; nothing is read before :meth:`setup`.

        Args:
            name: 'potsdam' or 'vaihingen'.
            root: Folder of TorchGeo's ``Potsdam2D`` or ``Vaihingen2D``.
            bands: What the bands are called, in the order of the files; by default what they are:
                red, green, blue and nir of Potsdam, nir, red and green of Vaihingen.
            tile_size: Side of a tile in pixels; where an image is smaller, the rest is invalid.
            batch_size: Tiles in a batch of one process.
            num_workers: Processes that read ahead.
            val_share: Share of the images of train that become validation; 0 to do without.
            flip: Whether tiles of training are turned by quarters and flipped.
            seed: Seed of the draws, and of what is held out.
            checksum: Whether ZIP files are checked before they are unpacked.

        Raises:
            ConfigError: If a setting makes no sense.
        """
        super().__init__(
            bands=bands,
            tile_size=tile_size,
            batch_size=batch_size,
            num_workers=num_workers,
            val_share=val_share,
            flip=flip,
            seed=seed,
        )
        self.save_hyperparameters(logger=False)

    def _open(self) -> Masked:
        settings = {key: self.hparams[key] for key in ('bands', 'val_share', 'seed', 'checksum')}
        return open_isprs(self.hparams['name'], self.hparams['root'], **settings)
