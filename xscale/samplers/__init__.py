"""Samplers: which tile to read next."""

from .cross_scale import CrossScaleSampler
from .pairs import PairSampler
from .regions import Area, Both, Region
from .split import split_ground

__all__ = ['Area', 'Both', 'CrossScaleSampler', 'PairSampler', 'Region', 'split_ground']
