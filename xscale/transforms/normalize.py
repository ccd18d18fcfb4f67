"""Bring the bands of every sensor to mean 0 and deviation 1, and missing pixels to 0."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..errors import ConfigError
from ..types import Sensor

#: Deviations beyond which a value is cut off, so that a cloud does not outweigh the ground.
CLIP = 5.0


class Normalize(nn.Module):
    """Normalise a batch in which each image may come from another sensor.

    Images of sensors with fewer bands than others are filled up with 0 to as many as the widest,
    and these stay 0.

    The tables are not part of a state dict: a checkpoint carries its sensors as plain numbers.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, sensors: Sequence[Sensor]) -> None:
        """Make the tables.

        Args:
            sensors: At least one.
        """
        super().__init__()
        self.sensors = tuple(sensors)
        bands = max(len(sensor.bands) for sensor in sensors)
        mean, std = torch.zeros(len(sensors), bands), torch.ones(len(sensors), bands)
        for number, sensor in enumerate(sensors):
            count = len(sensor.bands)
            mean[number, :count], std[number, :count] = map(torch.tensor, (sensor.mean, sensor.std))
        self.register_buffer('mean', mean, persistent=False)
        self.register_buffer('std', std, persistent=False)

    def forward(self, image: Tensor, valid: Tensor, sensor: Tensor | int = 0) -> Tensor:
        """Normalise.

        Args:
            image: Values in the sensors' own units, shape (B, C, H, W).
            valid: True where a pixel holds data, shape (B, 1, H, W).
            sensor: Each image's sensor, shape (B,), or one for all.

        Returns:
            The normalised image within ±:data:`CLIP`, 0 where there is no data, shape
            (B, C, H, W), float32.

        Raises:
            ConfigError: If the image has another number of bands.
        """
        if image.shape[1] != self.mean.shape[1]:
            widest = max((one.bands for one in self.sensors), key=len)
            raise ConfigError(
                f'an image of {image.shape[1]} bands came, {self.mean.shape[1]} are needed: '
                f'{", ".join(widest)}'
            )
        mean, std = self._statistics(sensor)
        return ((image.float() - mean) / std).clamp_(-CLIP, CLIP).masked_fill_(~valid, 0.0)

    def inverse(self, image: Tensor, sensor: Tensor | int = 0) -> Tensor:
        """Return normalised images to their sensors' units.

        Args:
            image: Normalised values, shape (B, C, H, W).
            sensor: Each image's sensor, shape (B,), or one for all.
        """
        mean, std = self._statistics(sensor)
        return image * std + mean

    def _statistics(self, sensor: Tensor | int) -> tuple[Tensor, Tensor]:
        """Return mean and deviation, each of shape (1 or B, C, 1, 1)."""
        bands = self.mean.shape[1]
        return self.mean[sensor].view(-1, bands, 1, 1), self.std[sensor].view(-1, bands, 1, 1)
