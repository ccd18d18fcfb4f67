"""Transforms of batches, on their device."""

from .normalize import Normalize
from .scale import AntialiasedCrop, ScaleViews
from .stretch import Stretch, colour_bands

__all__ = ('AntialiasedCrop', 'Normalize', 'ScaleViews', 'Stretch', 'colour_bands')
