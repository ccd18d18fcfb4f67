"""Functional Map of the World: fMoW-rgb, fMoW-Sentinel, and lists of their images."""

from .crops import Crop
from .dataset import FMoW

__all__ = ('Crop', 'FMoW')
