"""What a trained encoder has to beat: image statistics, and random weights."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import ConfigError
from ..models.build import build_encoder
from ..models.checkpoint import CONTRACT, Encoder, restore
from ..transforms import Normalize
from ..types import Sensor
from .base import Embedded, Embedder
from .checkpoints import CheckpointEmbedder, read_ours, short_name
from .intake import Intake

#: Seed of the random weights, so that a control is the same each time.
SEED = 0


class ImageStatistics(Embedder):
    """Mean and standard deviation of each band over the valid pixels; no model at all."""

    kind = 'image-stats'

    def __init__(self, bands: Sequence[str]) -> None:
        """Begin.

        Args:
            bands: Bands of the data.
        """
        super().__init__('image-stats', bands, ('mean',), None)

    def embed(self, image: Tensor, gsd: Tensor, valid: Tensor) -> Embedded:
        """Measure images; see :meth:`Embedder.embed`."""
        count = valid.sum((2, 3)).clamp(min=1)
        mean = (image * valid).sum((2, 3)) / count
        off = (image - mean[..., None, None]) * valid
        std = (off.square().sum((2, 3)) / count).sqrt()
        return Embedded(None, {'mean': torch.cat([mean, std], dim=1)})


class RandomEmbedder(CheckpointEmbedder):
    """A vision transformer of random weights that normalises by the data's own statistics."""

    fitted = False

    def fit_data(self, mean: Sequence[float], std: Sequence[float]) -> list[str]:
        """Normalise by these from now on; see :meth:`Embedder.fit_data`."""
        self.set_statistics(mean, std)
        return []

    def set_statistics(self, mean: Sequence[float], std: Sequence[float]) -> None:
        """Say how images are normalised.

        Args:
            mean: Mean of each band over the training images, in the data's units.
            std: Standard deviation of each band, likewise.

        Raises:
            ConfigError: If there is not one number for each band.
        """
        if not len(mean) == len(std) == len(self.bands):
            raise ConfigError(
                f'{len(mean)} means and {len(std)} deviations came for {len(self.bands)} bands'
            )
        # A band that is the same everywhere stays 0.
        spread = tuple(float(value) if value > 0 else 1.0 for value in std)
        sensor = Sensor('the data', self.bands, tuple(map(float, mean)), spread)
        self.encoder.sensors = (sensor,)
        device = self.encoder.normalize.mean.device
        self.encoder.normalize = Normalize([sensor]).to(device)
        self.fitted = True

    def preparation(self) -> str:
        """Say in full how an image becomes features, beside the weights."""
        return f'{super().preparation()} {self.encoder.sensors[0].plain()}'

    def embed(self, image: Tensor, gsd: Tensor, valid: Tensor) -> Embedded:
        """Encode images; see :meth:`Embedder.embed`."""
        if not self.fitted:
            raise ConfigError(
                f'{self.name} normalises by the data: give their mean and deviation first '
                '(fit_data)'
            )
        return super().embed(image, gsd, valid)


def random_embedder(name: str, *, bands: Sequence[str], dtype: str, sensor: str | None) -> Embedder:
    """Build an encoder with random weights, the same each time.

    Args:
        name: A timm vision transformer; or a checkpoint, whose architecture and input contract
            are taken.
        bands: Bands of the data.
        dtype: Of the data's files.
        sensor: Which sensor of the checkpoint the data are of.
    """
    if Path(name).is_file():
        encoder = restore(drawn_anew(read_ours(name)), name)
        intake = Intake(encoder.sensors, bands, dtype, sensor)
        return CheckpointEmbedder(f'random:{short_name(name)}', encoder, bands, intake, 'random')
    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        model = build_encoder({'model': name, 'in_channels': len(bands)}).model
    plain = Sensor('the data', tuple(bands), (0.0,) * len(bands), (1.0,) * len(bands))
    encoder = Encoder(model, {'sensors': [plain.plain()]}).eval()
    return RandomEmbedder(f'random:{name}', encoder, bands, Intake([plain], bands, ''), 'random')


def drawn_anew(content: dict[str, Any]) -> dict[str, Any]:
    """Replace the weights of a checkpoint's encoder by random ones.

    Args:
        content: What the file of a checkpoint of ours holds.
    """
    hparams = content['hyper_parameters']
    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        model, embeds = build_encoder(hparams)
    state = {f'model.{key}': tensor for key, tensor in model.state_dict().items()}
    state |= {f'embeds.{key}': tensor for key, tensor in embeds.state_dict().items()}
    # These weights have seen no ground.
    contract = {key: value for key, value in content[CONTRACT].items() if key != 'footprints'}
    return {**content, 'state_dict': state, CONTRACT: contract}
