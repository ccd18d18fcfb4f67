"""Samplers: which tile to read next."""

from .cross_scale import CrossScaleSampler
from .regions import Area, Both, Region
from .split import split_ground

__all__ = ['Area', 'Both', 'CrossScaleSampler', 'Region', 'split_ground']
