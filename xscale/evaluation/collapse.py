"""Whether features tell images apart, or have collapsed to one answer for all."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from .checks import EvaluationError, check_features

#: Images that are needed at least before anything is said of them.
LEAST = 8

#: Below these an encoder has collapsed. On tiles of NAIP, Landsat and Sentinel-2, ViT-tiny and
#: ViT-B have a feature_std of 0.38 to 0.68 and an effective_rank of 3.8 or more with weights at
#: random, and 0.25 or more and 2.9 or more as they learn. Made to agree on two views and nothing
#: else, without negatives, they fall below 0.04 within 30 steps, and on to 0.008 and 0.024.
LEAST_STD, LEAST_RANK = 0.05, 1.5


@dataclass(frozen=True, slots=True)
class Collapse:
    """How much features of different images differ.

    Attributes:
        feature_std: As :func:`feature_std` says.
        effective_rank: As :func:`effective_rank` says.
        mean_cosine: As :func:`mean_cosine` says.
        collapsed: Whether the encoder answers all images alike; None where they are too few.
        verdict: That in one line, for people.
    """

    feature_std: float
    effective_rank: float
    mean_cosine: float
    collapsed: bool | None
    verdict: str


def feature_std(features: Tensor) -> float:
    """Return how much features of different images differ (SimSiam, Chen and He, CVPR 2021).

    The standard deviation over the images of the features of length 1, averaged over the
    dimensions, times √D.

    Args:
        features: One for each image, shape (B, D).

    Returns:
        1 for features that point everywhere alike, 0 where all are the same.
    """
    unit = F.normalize(features.float(), dim=-1)
    return float(unit.std(0).mean() * math.sqrt(unit.shape[1]))


def effective_rank(features: Tensor) -> float:
    """Return in how many directions features vary (Roy and Vetterli, EUSIPCO 2007).

    Args:
        features: One for each image, shape (B, D).

    Returns:
        The exponential of the entropy of the singular values of the centred features, each over
        their sum: at most min(B − 1, D); 1 where all features are the same.
    """
    centred = features.float() - features.float().mean(0)
    values = torch.linalg.svdvals(centred)
    share = values / values.sum().clamp(min=torch.finfo(values.dtype).tiny)
    return float(torch.special.entr(share).sum().exp())


def mean_cosine(features: Tensor) -> float:
    """Return the mean cosine of two different images' features (Ethayarajh, EMNLP 2019).

    Of features of length 1, the squared length of their sum is the sum of all cosines, so no pair
    is looked at.

    Args:
        features: One for each image, shape (B, D), B at least 2.

    Returns:
        −1 to 1; 1 where all point the same way.
    """
    unit = F.normalize(features.double(), dim=-1)
    count = len(unit)
    own = unit.square().sum()
    return float((unit.sum(0).square().sum() - own) / (count * (count - 1)))


def check_collapse(features: Tensor) -> Collapse:
    """Look at features for signs of collapse.

    Args:
        features: One for each image, shape (B, D), B at least 2.

    Raises:
        EvaluationError: If there are fewer than two, or some are not finite.
    """
    check_features(features, 'image')
    if len(features) < 2:
        raise EvaluationError('features of one image came; at least two are needed to compare')
    deviation, rank, cosine = feature_std(features), effective_rank(features), mean_cosine(features)
    collapsed = None if len(features) < LEAST else deviation < LEAST_STD or rank < LEAST_RANK
    numbers = f'feature_std {deviation:.3g} (of 1), {rank:.3g} directions, mean cosine {cosine:.3g}'
    said = {
        None: f'{len(features)} images are too few to tell ({LEAST} are needed)',
        True: 'collapsed: all but one answer for every image',
        False: 'not collapsed: images differ',
    }[collapsed]
    return Collapse(deviation, rank, cosine, collapsed, f'{said}; {numbers}')
