"""Transforms of batches, on their device."""

from .normalize import Normalize
from .scale import AntialiasedCrop, ScaleViews
from .stretch import Stretch

__all__ = ('AntialiasedCrop', 'Normalize', 'ScaleViews', 'Stretch')
