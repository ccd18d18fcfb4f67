"""What a map says of each pixel: its class, or the probability of each."""

import math
from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.io import DatasetWriter

from ..class_colours import class_colours
from ..errors import ConfigError

#: The class of a pixel without data.
NO_CLASS = 255

#: What stands for a probability of 1 in bytes, so that a step is 0.004.
FULL = 250


class Layer(Protocol):
    """What a map says of each pixel.

    Attributes:
        names: What its bands are called.
        dtype: Of its values.
        nodata: Its value where there is no data.
        resampling: How it is brought to another grid.
        overview: How its overviews are made.
    """

    names: tuple[str, ...]
    dtype: str
    nodata: float
    resampling: Resampling
    overview: str

    def encode(self, probabilities: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray:
        """Turn probabilities into the values of the map.

        Args:
            probabilities: Of each class, (K, H, W).
            valid: True where there is data, (H, W).

        Returns:
            Values of each band, (C, H, W).
        """

    def describe(self, out: DatasetWriter) -> None:
        """Write what people should know of the bands.

        Args:
            out: A map that is open to be written, before its pixels are.
        """


class ClassLayer:
    """The most likely class of each pixel, in colour."""

    names: tuple[str, ...] = ('class',)
    dtype, nodata = 'uint8', float(NO_CLASS)
    resampling, overview = Resampling.nearest, 'NEAREST'

    def __init__(self, classes: Sequence[str]) -> None:
        """Count the classes.

        Args:
            classes: Their names.

        Raises:
            ConfigError: If there are more than a byte counts.
        """
        self.classes = tuple(classes)
        if len(self.classes) > NO_CLASS:
            raise ConfigError(
                f'{len(self.classes)} classes: a map of classes counts up to {NO_CLASS}; write '
                'their probabilities (--probabilities)'
            )

    def encode(self, probabilities: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray:
        """Choose the class; see :meth:`Layer.encode`."""
        return np.where(valid, probabilities.argmax(0), NO_CLASS).astype(np.uint8)[None]

    def describe(self, out: DatasetWriter) -> None:
        """Write the colours; see :meth:`Layer.describe`."""
        out.write_colormap(1, colour_table(self.classes))


class ProbabilityLayer:
    """The probability of each class, a band for each."""

    resampling, overview = Resampling.bilinear, 'AVERAGE'

    def __init__(self, classes: Sequence[str], dtype: Literal['uint8', 'float32']) -> None:
        """Choose how probabilities are written.

        Args:
            classes: Names of the classes.
            dtype: 'uint8' in steps of 0.004, the band's scale; or 'float32'.
        """
        self.names, self.dtype = tuple(classes), str(dtype)
        self.nodata = float(NO_CLASS) if dtype == 'uint8' else math.nan

    def encode(self, probabilities: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray:
        """Scale probabilities; see :meth:`Layer.encode`."""
        if self.dtype == 'uint8':
            probabilities = np.rint(probabilities * FULL)
        return np.where(valid, probabilities, self.nodata).astype(self.dtype)

    def describe(self, out: DatasetWriter) -> None:
        """Write the scale; see :meth:`Layer.describe`."""
        if self.dtype == 'uint8':
            out.scales = (1 / FULL,) * out.count


def colour_table(classes: Sequence[str]) -> dict[int, tuple[int, int, int, int]]:
    """Give each class its colour; no data is clear.

    Args:
        classes: Their names.

    Returns:
        Red, green, blue and alpha, 0..255, by class.
    """
    table = {number: (*colour, 255) for number, colour in enumerate(class_colours(classes))}
    return table | {NO_CLASS: (0, 0, 0, 0)}
