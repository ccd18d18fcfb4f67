"""Lightning tasks and callbacks."""

from .callbacks import LossPlot, ReconstructionPictures
from .checkpoints import LastCheckpoint
from .classification import Classification
from .collapse import CollapseCheck
from .finite import FiniteCheck
from .loggers import TableLogger
from .online_knn import OnlineKNN
from .predictor import Predictor, load_predictor
from .pretraining import Pretraining
from .progress import Progress, Throughput
from .segmentation import Segmentation

__all__ = (
    'Classification',
    'CollapseCheck',
    'FiniteCheck',
    'LastCheckpoint',
    'LossPlot',
    'OnlineKNN',
    'Predictor',
    'Pretraining',
    'Progress',
    'ReconstructionPictures',
    'Segmentation',
    'TableLogger',
    'Throughput',
    'load_predictor',
)
