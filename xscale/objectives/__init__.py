"""Self-supervised objectives."""

from .base import Objective
from .cross_scale_mae import CrossScaleMAE
from .find import find_objective
from .local_mim import LocalMIM
from .mae import MAE

__all__ = ('MAE', 'CrossScaleMAE', 'LocalMIM', 'Objective', 'find_objective')
