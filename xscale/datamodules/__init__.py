"""Lightning data modules."""

from .cross_scale import CrossScaleDataModule
from .fmow import FMoWDataModule

__all__ = ('CrossScaleDataModule', 'FMoWDataModule')
