"""What the images of a data module look like, measured on some of them."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from ..transforms import evenly, mean_and_std
from ..types import Sample, Sensor

#: Samples that are looked at.
LOOKED_AT = 256


class Samples(Protocol):
    """Samples by number."""

    def __len__(self) -> int:
        """Count them."""

    def __getitem__(self, index: int, /) -> Sample:
        """Read one."""


def measured(samples: Samples, name: str, bands: Sequence[str]) -> dict[str, Any]:
    """Measure values and ground sample distances of evenly chosen samples.

    Args:
        samples: With ``image``, ``valid`` and ``gsd``.
        name: Of the data, for people.
        bands: Names of the channels.

    Returns:
        ``sensors``, the one with mean and deviation of its bands, and ``gsd``, the finest and the
        coarsest in metres per pixel; None where none is known. Plain values.

    Raises:
        ConfigError: If there is no valid pixel.
    """
    found: list[float] = []

    def some() -> Iterator[Sample]:
        for index in evenly(len(samples), LOOKED_AT):
            sample = samples[index]
            found.append(float(sample['gsd']))
            yield sample

    mean, std = mean_and_std(some())
    known = [gsd for gsd in found if np.isfinite(gsd)]
    # A band of one value is left at it.
    deviation = np.where(std > 0, std, 1.0)
    sensor = Sensor(name, tuple(bands), tuple(mean.tolist()), tuple(deviation.tolist()))
    return {'sensors': [sensor.plain()], 'gsd': [min(known), max(known)] if known else None}
