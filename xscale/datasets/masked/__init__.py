"""Images whose pixels are labelled by masks or polygons, for segmentation."""

from .classes import UNLABELLED, Classes
from .dataset import MaskedTiles
from .opened import Masked
from .opening import open_masked
from .tiles import Tile

__all__ = ('UNLABELLED', 'Classes', 'Masked', 'MaskedTiles', 'Tile', 'open_masked')
