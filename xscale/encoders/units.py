"""Whether values are in the units an encoder was trained on."""

import math
from collections.abc import Sequence
from statistics import median

from ..errors import ConfigError
from ..types import Sensor
from .bands import match_bands

#: Deviations of the sensor by which the data's mean may differ from the sensor's.
FAR = 3.0

#: By what the data's deviation may differ from the sensor's, as a ratio.
SPREAD = 8.0

#: What the mean of the data may be where a fixed scale brings values to about 0..1.
SHARE = (0.02, 1.2)


def unit_range(sensor: Sensor) -> bool:
    """Tell whether a sensor's values are 0..1.

    Args:
        sensor: The sensor.
    """
    return all(0 <= mean <= 1 for mean in sensor.mean) and all(std <= 0.5 for std in sensor.std)


def divisor(sensor: Sensor, dtype: str) -> float:
    """Return what values of files are divided by before a sensor's mean is subtracted.

    Args:
        sensor: The sensor of the encoder.
        dtype: Of the data's files; bytes are known to be 0..255, other values are not guessed.
    """
    return 255.0 if dtype == 'uint8' and unit_range(sensor) else 1.0


def choose_sensor(
    sensors: Sequence[Sensor], bands: Sequence[str], mean: Sequence[float], std: Sequence[float]
) -> int:
    """Choose the sensor whose values are most like the data's.

    Args:
        sensors: Those of an encoder.
        bands: Bands of the data.
        mean: Mean of each band of the data.
        std: Standard deviation of each band, likewise.

    Returns:
        Number of the sensor.

    Raises:
        ConfigError: If the data have the bands of none.
    """
    distances = {}
    for number, sensor in enumerate(sensors):
        order = match_bands(bands, sensor.bands)
        if order is not None:
            distances[number] = distance(sensor, [mean[i] for i in order], [std[i] for i in order])
    if not distances:
        raise other_bands(bands, sensors)
    return min(distances, key=distances.__getitem__)


def distance(sensor: Sensor, mean: Sequence[float], std: Sequence[float]) -> float:
    """Measure how unlike the values of data and sensor are; 0 for the same statistics.

    Args:
        sensor: The sensor.
        mean: Mean of each of its bands in the data.
        std: Standard deviation, likewise.
    """
    off = [abs(m - own) / s for m, own, s in zip(mean, sensor.mean, sensor.std, strict=True)]
    ratio = [abs(math.log(max(s, 1e-9) / own)) for s, own in zip(std, sensor.std, strict=True)]
    return sum(off) + sum(ratio)


def other_bands(bands: Sequence[str], sensors: Sequence[Sensor]) -> ConfigError:
    """Say that the data lack what an encoder was trained on.

    Args:
        bands: Bands of the data.
        sensors: Sensors of the encoder.
    """
    wanted = '; '.join(sorted({', '.join(sensor.bands) for sensor in sensors}))
    return ConfigError(
        f'the data have the bands {", ".join(bands)}; the encoder was trained on {wanted}: choose '
        'data that hold these, name the bands of the data (bands), or take another encoder'
    )


def check_values(mean: Sequence[float], std: Sequence[float], sensor: Sensor) -> str | None:
    """Look whether the data can be in the units a sensor was normalised in.

    Units are the same for all bands, so the band in the middle counts: one odd band is no reason
    to doubt them.

    Args:
        mean: Mean of each of the sensor's bands in the data.
        std: Standard deviation, likewise.
        sensor: The sensor.

    Returns:
        A warning; None where the values fit.
    """
    pairs = list(zip(mean, sensor.mean, sensor.std, strict=True))
    if not any(sensor.mean) and set(sensor.std) != {1.0}:
        # No mean was measured: the values are only scaled, such as by 1/10000.
        fits = SHARE[0] <= median((m - own) / s for m, own, s in pairs) <= SHARE[1]
    else:
        off = median(abs(m - own) / s for m, own, s in pairs)
        ratio = median(s / own for s, own in zip(std, sensor.std, strict=True))
        fits = off <= FAR and 1 / SPREAD <= ratio <= SPREAD
    if fits:
        return None
    data, trained = _range(mean, std), _range(sensor.mean, sensor.std)
    cause = f'they look like {data}' + (f', and it like {trained}' if data != trained else '')
    return (
        f'the data (mean {_short(mean)}, deviation {_short(std)}) cannot be in the units of '
        f'{sensor.name} (mean {_short(sensor.mean)}, deviation {_short(sensor.std)}): {cause}; '
        'a model fed other units scores at chance'
    )


def _short(values: Sequence[float]) -> str:
    return ' '.join(f'{value:.3g}' for value in values[:4]) + (' …' if len(values) > 4 else '')


def _range(mean: Sequence[float], std: Sequence[float]) -> str:
    """Guess from statistics what range values have."""
    if median(mean) < 0:
        return 'values around 0, such as decibels or normalised ones'
    top = median(m + 2 * s for m, s in zip(mean, std, strict=True))
    if top <= 3:
        return 'values of 0..1'
    return 'bytes, 0..255' if top <= 520 else 'reflectance times 10000, or other large numbers'
