"""Samplers: which tile to read next."""

from .cross_scale import CrossScaleSampler
from .images import ImageSampler
from .pairs import PairSampler
from .regions import Area, Both, Region
from .shuffled import Draw, ShuffledSampler
from .split import split_ground

__all__ = [
    'Area',
    'Both',
    'CrossScaleSampler',
    'Draw',
    'ImageSampler',
    'PairSampler',
    'Region',
    'ShuffledSampler',
    'split_ground',
]
