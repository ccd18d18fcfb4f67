"""Self-supervised objectives."""

from .base import Objective
from .cross_scale_mae import CrossScaleMAE
from .find import find_objective
from .local_mim import LocalMIM
from .local_mim_swin import LocalMIMSwin
from .mae import MAE
from .satmae import SatMAEGroup
from .satmae_temporal import SatMAETemporal
from .scale_mae import ScaleMAE

__all__ = (
    'MAE',
    'CrossScaleMAE',
    'LocalMIM',
    'LocalMIMSwin',
    'Objective',
    'SatMAEGroup',
    'SatMAETemporal',
    'ScaleMAE',
    'find_objective',
)
