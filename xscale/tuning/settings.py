"""How encoders are trained on labels to be compared."""

from dataclasses import dataclass

from ..errors import ConfigError, UnknownNameError

#: Decoders of segmentation.
DECODERS = ('dpt', 'linear')

#: Steps that an epoch has at least where nobody says the size of a batch, down to the least size.
STEPS, LEAST = 10, 8


@dataclass(frozen=True, slots=True)
class Tuning:
    """How encoders are trained; what is not here is as in the recipes.

    Attributes:
        epochs: Passes over the training images. The last weights are those that are measured, so
            that no image is needed to choose by.
        lr: Learning rate for batches up to 256; the recipe's by default.
        decoder: Of segmentation: 'dpt', or 'linear'.
        decoder_channels: Width of DPT.
        tile: Side of the tiles of segmentation in pixels; see :func:`~.tiles.choose_tile`.
        batch_size: Images of a step; see :meth:`batch`.
        workers: Processes that read ahead.
        device: Where it is done.
        seed: Of the head, the order, the crops, and drop path.
    """

    epochs: int = 10
    lr: float | None = None
    decoder: str = 'dpt'
    decoder_channels: int = 64
    tile: int | None = None
    batch_size: int | None = None
    workers: int = 0
    device: str = 'cpu'
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be trained.

        Raises:
            ConfigError: If a number is out of range.
            UnknownNameError: If there is no such decoder.
        """
        if self.decoder not in DECODERS:
            raise UnknownNameError('decoder', self.decoder, DECODERS)
        for name in ('epochs', 'decoder_channels', 'batch_size'):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f'{name} {value}: 1 or more is needed')
        if self.tile is not None and self.tile < 8:
            raise ConfigError(f'tile {self.tile}: at least 8 px are needed')
        if self.lr is not None and not 0 < self.lr < float('inf'):
            raise ConfigError(f'lr {self.lr:g}: a learning rate above 0 is needed')

    def batch(self, images: int, most: int) -> int:
        """Return how many images a step takes.

        Args:
            images: How many there are to train on.
            most: The data module's own number.

        Returns:
            What is asked for; by default the data module's, or fewer where an epoch would have
            fewer than ten steps.
        """
        return self.batch_size or max(LEAST, min(most, images // STEPS))
