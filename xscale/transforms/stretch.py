"""Values as screen colours."""

import numpy as np
from numpy.typing import NDArray

from ..types import Sensor

type Image = NDArray[np.float32]


class Stretch:
    """Map values to screen colours, one range for all pictures of a tile."""

    def __init__(self, image: Image, valid: NDArray[np.bool_]) -> None:
        """Find the range.

        Args:
            image: Three bands in one unit, (3, H, W); one range for all three keeps the hue.
            valid: Where they hold data, (H, W).
        """
        values = image[:, valid] if valid.any() else np.zeros((3, 1), np.float32)
        # Haze lifts the darkest pixels, blue ones most: each band starts at its own.
        low, high = np.quantile(values, [0.01, 0.99], axis=1)
        self.low, self.range = low[:, None, None], max(float((high - low).max()), 1e-6)

    def __call__(self, image: Image) -> Image:
        """Return (H, W, 3) in 0..1; hidden pixels (NaN) grey, missing ones (−inf) hatched."""
        shown = (image - self.low) / self.range
        shown = np.where(np.isnan(image), 0.5, np.clip(shown, 0, 1))
        rows, cols = np.indices(image.shape[-2:])
        hatch = np.where((rows + cols) % 8 < 2, 0.35, 0.9)
        shown = np.where(np.isneginf(image), hatch, shown)
        return shown.transpose(1, 2, 0).astype(np.float32)


def colour_bands(sensor: Sensor) -> list[int]:
    """Choose three bands to show: red, green and blue where a sensor has them.

    Args:
        sensor: The sensor; its group names what its bands mean.

    Returns:
        Their numbers from 0: the first three where it has other bands, the first where it has
        fewer than three.
    """
    names = sensor.group.split('-') if sensor.group else [band.lower() for band in sensor.bands]
    if {'red', 'green', 'blue'} <= set(names):
        return [names.index(colour) for colour in ('red', 'green', 'blue')]
    return [0, 1, 2] if len(sensor.bands) >= 3 else [0, 0, 0]
