"""Statistics that a user gives in place of those of the data."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..errors import ConfigError
from ..types import Sensor


def given_statistics(
    sensors: tuple[Sensor, ...], mean: Sequence[float], std: Sequence[float]
) -> tuple[Sensor, ...]:
    """Replace the statistics of sensors by given ones, if there are any.

    Args:
        sensors: The sensors.
        mean: Mean of each band in the files' units; empty for none.
        std: Standard deviation of each band, likewise.

    Raises:
        ConfigError: If they do not fit the bands, or sensors differ in their number.
    """
    if not mean and not std:
        return sensors
    counts = {len(sensor.bands) for sensor in sensors}
    if len(counts) > 1:
        raise ConfigError(
            'mean and std are given for one set of bands, and the rasters have sets of '
            f'{", ".join(map(str, sorted(counts)))} bands; choose bands, or give them in a rule'
        )
    bands = counts.pop()
    whole = len(mean) == len(std) == bands and np.isfinite([*mean, *std]).all()
    if not whole or min(std) <= 0:
        raise ConfigError(
            f'mean {list(mean)} and std {list(std)}: one number for each of the {bands} bands is '
            'needed in both, and deviations above 0'
        )
    return tuple(replace(sensor, mean=tuple(mean), std=tuple(std)) for sensor in sensors)
