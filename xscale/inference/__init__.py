"""Inference: a model over whole rasters, and maps that lie on them."""

from .layers import ClassLayer, Layer, ProbabilityLayer
from .names import map_paths
from .plan import MapGrid, Plan, map_grid
from .predict import Mapper, Predict, Settings
from .sinks import map_tags, tags_of

__all__ = (
    'ClassLayer',
    'Layer',
    'MapGrid',
    'Mapper',
    'Plan',
    'Predict',
    'ProbabilityLayer',
    'Settings',
    'map_grid',
    'map_paths',
    'map_tags',
    'tags_of',
)
