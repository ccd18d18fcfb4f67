"""Evaluation: protocols as functions on tensors, which never see the encoder."""

from ..transforms import Resampled, downsample, resample
from .checks import EvaluationError
from .collapse import Collapse, check_collapse, effective_rank, feature_std, mean_cosine
from .controls import without_model
from .fitting import ProbeSettings
from .intervals import Interval, bootstrap, paired_difference
from .knn import Neighbours, knn_scores, neighbours
from .linear import Probe, label_curve, linear_probe
from .metrics import (
    average_precision,
    classification_metrics,
    confusion_matrix,
    mean_average_precision,
    resampled_precision,
)
from .pca import Colours, fit_colours
from .reconstruction import ReconstructionErrors, composite, reconstruction_errors
from .retrieval import Retrieval, retrieve, same_place
from .robustness import ScaleRobustness, scale_robustness
from .subsets import label_subset

__all__ = (
    'Collapse',
    'Colours',
    'EvaluationError',
    'Interval',
    'Neighbours',
    'Probe',
    'ProbeSettings',
    'ReconstructionErrors',
    'Resampled',
    'Retrieval',
    'ScaleRobustness',
    'average_precision',
    'bootstrap',
    'check_collapse',
    'classification_metrics',
    'composite',
    'confusion_matrix',
    'downsample',
    'effective_rank',
    'feature_std',
    'fit_colours',
    'knn_scores',
    'label_curve',
    'label_subset',
    'linear_probe',
    'mean_average_precision',
    'mean_cosine',
    'neighbours',
    'paired_difference',
    'reconstruction_errors',
    'resample',
    'resampled_precision',
    'retrieve',
    'same_place',
    'scale_robustness',
    'without_model',
)
