"""Datasets."""

from .rasters import Rasters

__all__ = ('Rasters',)
