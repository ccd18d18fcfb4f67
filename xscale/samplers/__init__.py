"""Samplers."""

from .cross_scale import CrossScaleSampler

__all__ = ('CrossScaleSampler',)
