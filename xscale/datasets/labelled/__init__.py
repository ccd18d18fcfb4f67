"""Labelled images for evaluation: folders, TorchGeo's data sets, fMoW, and tasks of GEO-Bench."""

from .opening import open_labelled
from .readable import check_readable
from .sets import Labelled
from .split import Split

__all__ = ('Labelled', 'Split', 'check_readable', 'open_labelled')
