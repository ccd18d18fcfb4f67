"""Lightning tasks and callbacks."""

from .callbacks import LossPlot, ReconstructionPictures
from .checkpoints import LastCheckpoint
from .collapse import CollapseCheck
from .finite import FiniteCheck
from .loggers import TableLogger
from .online_knn import OnlineKNN
from .pretraining import Pretraining
from .progress import Progress, Throughput

__all__ = (
    'CollapseCheck',
    'FiniteCheck',
    'LastCheckpoint',
    'LossPlot',
    'OnlineKNN',
    'Pretraining',
    'Progress',
    'ReconstructionPictures',
    'TableLogger',
    'Throughput',
)
