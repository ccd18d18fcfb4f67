"""Linear layers on standardised features, fitted at several learning rates at once.

The features being frozen, what BatchNorm would approach over the batches is known beforehand: the
mean and deviation of all training features, which scikit-learn's ``StandardScaler`` finds. What is
minimised is then what its ``LogisticRegression`` minimises on standardised features, with
C = 1 / (labels · weight_decay); no weight decay means no penalty.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from .checks import EvaluationError, Features, parts, rows
from .metrics import average_precision

#: Learning rates that are tried: two for each power of ten.
RATES = tuple(10 ** (power / 2) for power in range(-8, 0))


@dataclass(frozen=True, slots=True)
class ProbeSettings:
    """How a probe is trained.

    Attributes:
        rates: Learning rates that are tried, all at once.
        epochs: How often each label is seen.
        batch: Images a step.
        momentum: Of SGD.
        weight_decay: Penalty of half the squared weights (not of the biases).
    """

    rates: Sequence[float] = RATES
    epochs: int = 100
    batch: int = 256
    momentum: float = 0.9
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        """Refuse settings that train nothing.

        Raises:
            EvaluationError: If one is out of range.
        """
        if not self.rates or not all(rate > 0 for rate in self.rates):
            raise EvaluationError(f'learning rates {list(self.rates)} came; some above 0 is needed')
        if self.epochs < 1 or self.batch < 1:
            raise EvaluationError(
                f'{self.epochs} epochs in batches of {self.batch} came; both must be at least 1'
            )


@dataclass(frozen=True, slots=True)
class Split:
    """Images, some of which are looked at.

    Attributes:
        features: Of all images, shape (N, D).
        labels: Of all images, shape (N,), int64, or (N, K), bool, where an image may have several.
        images: Numbers of those that are looked at, shape (n,), int64.
    """

    features: Features
    labels: Tensor
    images: Tensor


def fit(
    split: Split, classes: int, rates: Sequence[float], settings: ProbeSettings, seed: int
) -> Callable[[Split], Tensor]:
    """Fit a linear layer for each learning rate, all in one product.

    Stochastic gradient descent with momentum; the rate falls along a cosine to 0.

    Args:
        split: Labelled images.
        classes: Number K of classes.
        rates: Learning rates, R of them.
        settings: All else.
        seed: Decides the order of the images.

    Returns:
        A function from a split to the logits of its images, shape (R, n, K).
    """
    mean, deviation = _statistics(split)
    generator = torch.Generator().manual_seed(seed)
    count, width = len(split.images), split.features.shape[1]
    rate = torch.tensor(rates, dtype=torch.float32)[:, None]
    # The last row is the bias.
    weight = torch.zeros(width + 1, len(rates), classes)
    decay = torch.full((width + 1, 1, 1), settings.weight_decay)
    decay[-1] = 0
    velocity = torch.zeros_like(weight)

    def inputs(features: Features, images: Tensor) -> Tensor:
        scaled = (rows(features, images) - mean) / deviation
        return F.pad(scaled, (0, 1), value=1.0)

    def logits(seen: Tensor) -> Tensor:
        return (seen @ weight.flatten(1)).unflatten(1, weight.shape[1:])

    steps, step = settings.epochs * math.ceil(count / settings.batch), 0
    for _ in range(settings.epochs):
        order = split.images[torch.randperm(count, generator=generator)]
        for images in order.split(settings.batch):
            seen = inputs(split.features, images)
            error = _error(logits(seen), split.labels[images])
            gradient = (seen.mT @ error.flatten(1)).view_as(weight) / len(images)
            velocity.mul_(settings.momentum).add_(gradient).add_(decay * weight)
            weight -= 0.5 * (1 + math.cos(math.pi * step / steps)) * rate * velocity
            step += 1

    def scores(other: Split) -> Tensor:
        found = [
            logits(inputs(other.features, other.images[part])) for part in parts(len(other.images))
        ]
        return torch.cat(found).transpose(0, 1)

    return scores


def _statistics(split: Split) -> tuple[Tensor, Tensor]:
    """Return mean and deviation of features, read part by part, each of shape (D,)."""
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler()
    for part in parts(len(split.images)):
        scaler.partial_fit(rows(split.features, split.images[part]).double().numpy())
    return torch.tensor(scaler.mean_).float(), torch.tensor(scaler.scale_).float()


def _error(logits: Tensor, labels: Tensor) -> Tensor:
    """Differentiate the loss of each image by its logits.

    Args:
        logits: Shape (n, R, K).
        labels: Shape (n,) for cross-entropy, (n, K) for binary cross-entropy summed over classes.

    Returns:
        Shape (n, R, K): the probabilities less the labels.
    """
    if labels.ndim == 2:
        return logits.sigmoid() - labels[:, None].float()
    return logits.softmax(-1) - F.one_hot(labels, logits.shape[-1])[:, None]


def best(logits: Tensor, split: Split) -> int:
    """Choose the learning rate of the best score; of equal ones, that of the lowest loss.

    Args:
        logits: Shape (R, n, K).
        split: The images that choose.

    Returns:
        Its number.
    """
    labels = split.labels[split.images]
    if labels.ndim == 2:
        target = labels.float().expand_as(logits)
        loss = F.binary_cross_entropy_with_logits(logits, target, reduction='none').mean((1, 2))
        score = average_precision(logits.mT, labels.mT).nanmean(1)
    else:
        target = labels.expand(len(logits), -1)
        loss = F.cross_entropy(logits.mT, target, reduction='none').mean(1)
        score = (logits.argmax(-1) == labels).double().mean(1)
    # Probes that diverged come last.
    keys = zip(loss.isfinite().tolist(), score.tolist(), (-loss).tolist(), strict=True)
    ranked = sorted(enumerate(keys), key=lambda pair: pair[1])
    return ranked[-1][0]
