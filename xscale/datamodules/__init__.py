"""Lightning data modules."""

from .cross_scale import CrossScaleDataModule

__all__ = ('CrossScaleDataModule',)
