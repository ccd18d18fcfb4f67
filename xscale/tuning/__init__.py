"""Train encoders on labels, frozen and whole, to measure what comes of it."""

from .classifying import FineTuner
from .kept import TrainingStore
from .measuring import Segmentations
from .segmenting import segment
from .settings import Tuning

__all__ = ('FineTuner', 'Segmentations', 'TrainingStore', 'Tuning', 'segment')
