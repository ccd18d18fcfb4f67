"""Masks of colours: files of red, green and blue, a colour for each class."""

from contextlib import closing
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from ...errors import UnusableError
from ..formats import open_raster
from ..labelled.images import without_place
from .grids import grid_of
from .masks import MaskFile
from .tiles import Part

type Colour = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class ColourMask(MaskFile):
    """A GeoTIFF of colours that was looked at.

    Attributes:
        colours: Red, green and blue of each class, in the order of their numbers.
    """

    colours: tuple[Colour, ...] = ()

    def read(self, part: Part) -> NDArray[np.integer]:
        """Read the classes of a window that lies inside the mask, (H, W).

        A colour that is none of theirs is class 0, as in TorchGeo's ``rgb_to_mask``.

        Args:
            part: The window.

        Raises:
            OSError: If it cannot be read.
        """
        with without_place(), closing(open_raster(self.path)) as source:
            pixels = source.read((1, 2, 3), window=Window(*part))
        found = np.zeros(pixels.shape[1:], np.uint8)
        for number, colour in enumerate(self.colours):
            found[(pixels == np.reshape(colour, (3, 1, 1))).all(0)] = number
        return found


def look_at_colours(path: str, colours: tuple[Colour, ...]) -> ColourMask:
    """Look at the header and the end of a mask of colours; best done without_place.

    Args:
        path: The file.
        colours: Red, green and blue of each class.

    Raises:
        UnusableError: If it is no picture of bytes in three colours.
        OSError: If it cannot be read.
    """
    with closing(open_raster(path)) as source:
        if source.count < 3 or source.dtypes[0] != 'uint8':
            raise UnusableError(
                f'holds {source.count} bands of {source.dtypes[0]}; red, green and blue of 8 bit '
                'are needed'
            )
        source.read(1, window=Window(source.width - 1, source.height - 1, 1, 1))
        return ColourMask(path, grid_of(source), None, colours)
