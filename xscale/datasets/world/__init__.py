"""A synthetic landscape seen by two sensors, to try multi-scale pretraining without any data.

The landscape is a pure function of a seed: shapes in ground metres and texture anchored to ground
coordinates, so renders of one place at two GSDs show the same fields, roofs and crowns.
"""

from .materials import CLASSES, COLORS
from .render import MIN_EXTENT, World
from .scenes import write_masked, write_scenes
from .sensors import WORLD_CRS, WORLD_ORIGIN, write_world

__all__ = (
    'CLASSES',
    'COLORS',
    'MIN_EXTENT',
    'WORLD_CRS',
    'WORLD_ORIGIN',
    'World',
    'write_masked',
    'write_scenes',
    'write_world',
)
