"""Lightning tasks and callbacks."""

from .callbacks import LastCheckpoint, LossPlot, ReconstructionPictures
from .collapse import CollapseCheck
from .finite import FiniteCheck
from .pretraining import Pretraining
from .progress import Progress, Throughput

__all__ = (
    'CollapseCheck',
    'FiniteCheck',
    'LastCheckpoint',
    'LossPlot',
    'Pretraining',
    'Progress',
    'ReconstructionPictures',
    'Throughput',
)
