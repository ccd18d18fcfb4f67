"""From a batch as a data module gives it to the bands and units of files."""

from collections.abc import Sequence
from statistics import median
from typing import Any

import kornia.augmentation as K
import torch
from torch import Tensor, nn

from ..encoders.bands import match_bands
from ..encoders.units import check_values, divisor, other_bands
from ..errors import ConfigError
from ..transforms import Normalize
from ..types import Sensor

#: By how many deviations the mean of normalised images may be off, and by what ratio their
#: deviation: 0..1 instead of standardised images trips the second.
OFF, RATIO = 1.5, 2.5


class Feed:
    """Undoes what a data module does to values, and chooses bands.

    A model then gets the same images in training, in evaluation and when a map is made from a file.

    Attributes:
        undone: Mean and deviation by which the data module normalised; None where batches are in
            the files' units.
        order: For each band of the encoder its place in the batch; None where nobody names them.
    """

    def __init__(
        self,
        undone: tuple[Sequence[float], Sequence[float]] | None = None,
        order: Sequence[int] | None = None,
    ) -> None:
        """Say what is to be done.

        Args:
            undone: See the class.
            order: See the class.
        """
        self.undone, self.order = undone, order

    def __call__(self, image: Tensor) -> Tensor:
        """Bring images to the files' units and the encoder's bands.

        Args:
            image: As the batch has them, shape (B, C, H, W).

        Returns:
            Shape (B, C', H, W), float32.

        Raises:
            ConfigError: If there are fewer bands than the data module named.
        """
        image = image.float()
        if self.undone is not None:
            mean, std = (image.new_tensor(list(v)).view(-1, 1, 1) for v in self.undone)
            image = image * std + mean
        if self.order is None or list(self.order) == list(range(image.shape[1])):
            return image
        if max(self.order) >= image.shape[1]:
            raise ConfigError(
                f'images of {image.shape[1]} bands came, and band {max(self.order) + 1} of the '
                'data is needed; name the bands that the batches hold (bands)'
            )
        return image[:, list(self.order)]

    def sensor(self, bands: Sequence[str]) -> Sensor | None:
        """Return how the data module normalises the encoder's bands, if it does.

        Args:
            bands: The encoder's.
        """
        if self.undone is None:
            return None
        mean, std = (self._of_bands(values, len(bands)) for values in self.undone)
        return Sensor('as the data module normalises', tuple(bands), mean, std)

    def _of_bands(self, values: Sequence[float], bands: int) -> tuple[float, ...]:
        """Return one value for each band of the encoder."""
        if len(values) == 1:
            return (float(values[0]),) * bands
        return tuple(float(values[i]) for i in self.order or range(bands))


def normalization_of(datamodule: Any) -> tuple[list[float], list[float]] | None:
    """Find by what a data module normalises its batches.

    Args:
        datamodule: TorchGeo's or ours; None without one.

    Returns:
        Mean and deviation, of one or all bands; None where batches are in the files' units.
    """
    for name in ('aug', 'train_aug', 'val_aug', 'test_aug'):
        aug = getattr(datamodule, name, None)
        for module in aug.modules() if isinstance(aug, nn.Module) else ():
            if isinstance(module, K.Normalize):
                mean, std = (torch.as_tensor(module.flags[key]) for key in ('mean', 'std'))
                return mean.reshape(-1).tolist(), std.reshape(-1).tolist()
            if isinstance(module, Normalize):
                return list(module.sensors[0].mean), list(module.sensors[0].std)
    return None


def choose_order(bands: Sequence[str], sensor: Sensor) -> list[int]:
    """Find the bands of the encoder among those of the data.

    Args:
        bands: Of the data.
        sensor: Of the encoder.

    Raises:
        ConfigError: If one is missing.
    """
    order = match_bands(bands, sensor.bands)
    if order is None:
        raise other_bands(bands, [sensor])
    return order


def in_units_of(sensor: Sensor, dtype: str) -> Sensor:
    """Return a sensor with its statistics in the units of files.

    Args:
        sensor: That of the weights.
        dtype: Of the files: bytes are 0..255 where weights were trained on 0..1.
    """
    factor = divisor(sensor, dtype)
    if factor == 1:
        return sensor
    mean, std = (tuple(v * factor for v in values) for values in (sensor.mean, sensor.std))
    return Sensor(f'{sensor.name} times {factor:g}', sensor.bands, mean, std, sensor.group)


def doubt(image: Tensor, valid: Tensor, sensor: Sensor, own: bool) -> str | None:
    """Look whether images can be in the units the encoder wants.

    Args:
        image: In the files' units, shape (B, C, H, W).
        valid: True where a pixel holds data, shape (B, 1, H, W).
        sensor: How they are normalised.
        own: Whether that is the data module's normalisation, not that of the weights.

    Returns:
        A warning; None where they can.
    """
    # Some devices have no float64.
    image, valid = image.detach().cpu(), valid.cpu()
    count = valid.sum().clamp(min=1)
    pixels = image.double().nan_to_num().where(valid, 0.0)
    mean = pixels.sum((0, 2, 3)) / count
    spread = (pixels - mean[:, None, None]).where(valid, 0.0).square().sum((0, 2, 3)) / count
    std = spread.sqrt()
    if not own:
        warning = check_values(mean.tolist(), std.tolist(), sensor)
        return warning and (
            f'{warning}; say dtype: uint8 for bytes and weights of 0..1, normalize: none for '
            'images that are normalised already, or take other weights'
        )
    pairs = list(zip(mean.tolist(), std.tolist(), sensor.mean, sensor.std, strict=True))
    off = median(abs(m - centre) / scale for m, _, centre, scale in pairs)
    ratio = median(s / scale for _, s, _, scale in pairs)
    if off <= OFF and 1 / RATIO <= ratio <= RATIO:
        return None
    return (
        'the encoder is given images as the data module normalises them, and these are not of mean '
        f'0 and deviation 1 (off by {off:.2g} deviations, deviation {ratio:.2g}); say normalize: '
        'contract to normalise them as the images the weights were trained on'
    )
