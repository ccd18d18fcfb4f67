"""Tiles of training: anywhere in the images, turned and flipped."""

from torch.utils.data import Dataset

from ..datasets.masked import UNLABELLED, MaskedTiles
from ..samplers import Draw
from ..transforms import SYMMETRIES, turned
from ..types import Sample

#: Draws of a tile before one without any label is taken: a batch of them has no loss.
TRIES = 8


class DrawnTiles(Dataset[Sample]):
    """For each draw of an epoch a tile that is a function of seed, epoch and number alone.

    There are as many as cover the images, so that each image comes as often as it is large.

    Attributes:
        tiles: What they are drawn from.
    """

    def __init__(self, tiles: MaskedTiles, flip: bool = True, seed: int = 0) -> None:
        """Wrap the tiles of a split.

        Args:
            tiles: What they are drawn from.
            flip: Whether tiles are turned by quarters and flipped.
            seed: Seed of the draws.
        """
        self.tiles, self.flip, self.seed = tiles, flip, seed
        self.classes = tiles.classes

    def __len__(self) -> int:
        """Count the draws of an epoch."""
        return len(self.tiles)

    def __getitem__(self, draw: Draw) -> Sample:
        """Read a tile, as :class:`~xscale.datasets.masked.MaskedTiles` returns it.

        Args:
            draw: Which.
        """
        rng = draw.generator(self.seed)
        turn = int(rng.integers(SYMMETRIES))
        for _ in range(TRIES):
            sample = self.tiles[self.tiles.anywhere(draw.number, rng)]
            if (sample['mask'] != UNLABELLED).any():
                break
        if self.flip:
            names = ('image', 'valid', 'mask')
            sample |= {name: turned(sample[name], turn) for name in names}
        return sample
