"""Lightning tasks and callbacks."""

from .callbacks import LastCheckpoint, LossPlot, ReconstructionPictures
from .pretraining import Pretraining
from .progress import Progress, Throughput

__all__ = (
    'LastCheckpoint',
    'LossPlot',
    'Pretraining',
    'Progress',
    'ReconstructionPictures',
    'Throughput',
)
