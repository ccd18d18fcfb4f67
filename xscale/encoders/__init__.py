"""Encoders to compare: anything that turns images into features, in the data's own units."""

from .base import Embedded, Embedder
from .find import find_encoder
from .footprints import seen_footprints, seen_warnings
from .units import check_values, choose_sensor

__all__ = (
    'Embedded',
    'Embedder',
    'check_values',
    'choose_sensor',
    'find_encoder',
    'seen_footprints',
    'seen_warnings',
)
