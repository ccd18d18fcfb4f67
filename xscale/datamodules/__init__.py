"""Lightning data modules."""

from .cross_scale import CrossScaleDataModule
from .fmow import FMoWDataModule
from .isprs import ISPRSDataModule
from .labelled import LabelledDataModule
from .masked import MaskedDataModule

__all__ = (
    'CrossScaleDataModule',
    'FMoWDataModule',
    'ISPRSDataModule',
    'LabelledDataModule',
    'MaskedDataModule',
)
