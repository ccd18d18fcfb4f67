"""Mean and deviation of the bands of some images."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError
from ..types import Sample


def mean_and_std(samples: Iterable[Sample]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Measure the values of images where there is data.

    Args:
        samples: ``image`` (C, H, W) and ``valid`` (1, H, W) of each.

    Returns:
        Mean and standard deviation of each band, each (C,), in the units of the images.

    Raises:
        ConfigError: If there is no valid pixel.
    """
    count, total, square = 0.0, np.zeros(1), np.zeros(1)
    for sample in samples:
        values = sample['image'].double()[:, sample['valid'][0]]
        count += values.shape[1]
        total = total + values.sum(1).numpy()
        square = square + values.square().sum(1).numpy()
    if not count:
        raise ConfigError('none of the images holds a pixel of data')
    mean = total / count
    return mean, np.sqrt(np.maximum(square / count - mean**2, 0))
