"""Samplers: which tile to read next."""

from .cross_scale import CrossScaleSampler
from .frames import FrameSampler
from .images import ImageSampler
from .pairs import PairSampler
from .regions import Area, Both, Region
from .sequences import SequenceSampler
from .shuffled import Draw, ShuffledSampler
from .split import split_ground

__all__ = [
    'Area',
    'Both',
    'CrossScaleSampler',
    'Draw',
    'FrameSampler',
    'ImageSampler',
    'PairSampler',
    'Region',
    'SequenceSampler',
    'ShuffledSampler',
    'split_ground',
]
