"""Transforms of batches, on their device."""

from .normalize import Normalize
from .scale import AntialiasedCrop, ScaleViews

__all__ = ('AntialiasedCrop', 'Normalize', 'ScaleViews')
