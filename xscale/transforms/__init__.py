"""Transforms of batches, on their device."""

from .evenly import evenly
from .normalize import Normalize
from .resampling import Resampled, downsample, resample
from .scale import AntialiasedCrop, ScaleViews
from .squares import middle_square
from .statistics import mean_and_std
from .stretch import Stretch, colour_bands
from .symmetries import SYMMETRIES, turned

__all__ = (
    'SYMMETRIES',
    'AntialiasedCrop',
    'Normalize',
    'Resampled',
    'ScaleViews',
    'Stretch',
    'colour_bands',
    'downsample',
    'evenly',
    'mean_and_std',
    'middle_square',
    'resample',
    'turned',
)
