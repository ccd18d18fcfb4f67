"""Bring the bands of every sensor to mean 0 and deviation 1, and missing pixels to 0."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..errors import ConfigError
from ..types import Sensor


class Normalize(nn.Module):
    """Normalise a batch in which each image may come from another sensor.

    The tables are not part of a state dict: a checkpoint carries its sensors as plain numbers.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, sensors: Sequence[Sensor]) -> None:
        """Make the tables.

        Args:
            sensors: At least one, all of the same number of bands.
        """
        super().__init__()
        self.sensors = tuple(sensors)
        table = torch.tensor([[s.mean, s.std] for s in sensors], dtype=torch.float32)
        self.register_buffer('mean', table[:, 0], persistent=False)
        self.register_buffer('std', table[:, 1], persistent=False)

    def forward(self, image: Tensor, valid: Tensor, sensor: Tensor | int = 0) -> Tensor:
        """Normalise.

        Args:
            image: Values in the sensors' own units, shape (B, C, H, W).
            valid: True where a pixel holds data, shape (B, 1, H, W).
            sensor: Each image's sensor, shape (B,), or one for all.

        Returns:
            The normalised image, 0 where there is no data, shape (B, C, H, W), float32.

        Raises:
            ConfigError: If the image has another number of bands.
        """
        if image.shape[1] != self.mean.shape[1]:
            raise ConfigError(
                f'an image of {image.shape[1]} bands came, {self.mean.shape[1]} are needed: '
                f'{", ".join(self.sensors[0].bands)}'
            )
        mean, std = (table[sensor].reshape(-1, image.shape[1], 1, 1) for table in (self.mean, self.std))
        return ((image.float() - mean) / std).masked_fill_(~valid, 0.0)
