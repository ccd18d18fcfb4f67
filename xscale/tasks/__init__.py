"""Lightning tasks and callbacks."""

from .callbacks import LossPlot, ReconstructionPictures
from .checkpoints import LastCheckpoint
from .collapse import CollapseCheck
from .finite import FiniteCheck
from .loggers import TableLogger
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
    'TableLogger',
    'Throughput',
)
