"""Self-supervised objectives."""

from .base import Objective
from .cross_scale_mae import CrossScaleMAE
from .find import find_objective
from .mae import MAE

__all__ = ('MAE', 'CrossScaleMAE', 'Objective', 'find_objective')
