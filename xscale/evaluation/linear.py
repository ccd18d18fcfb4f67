"""Linear probe: how far classes can be told apart by planes through frozen features.

BatchNorm without weights and a linear layer, as in MAE (He et al., CVPR 2022, arXiv:2111.06377).
The features being frozen, what BatchNorm would approach over the batches is known beforehand: the
mean and deviation of all training features, which scikit-learn's ``StandardScaler`` finds. So the
probe minimises what ``LogisticRegression`` on standardised features does, with
C = 1 / (labels · weight_decay), and no weight decay meaning no penalty.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from .checks import (
    EvaluationError,
    Features,
    check_features,
    check_labels,
    check_same_kind,
    check_several_classes,
    parts,
    rows,
)
from .metrics import average_precision, classification_metrics
from .subsets import hold_out, label_subset

#: Learning rates that are tried: two for each power of ten.
RATES = tuple(10 ** (power / 2) for power in range(-8, 0))
#: Share of the labels that choose the rate where there is no validation split.
HELD_OUT = 0.2


@dataclass(frozen=True, slots=True)
class Settings:
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
class Probe:
    """What a linear probe reached.

    Attributes:
        scores: Logits of the test images, shape (M, K).
        score: Accuracy; with several labels an image, mean average precision. 0 to 1.
        rate: Learning rate that was chosen.
        chosen_on: Number of images it was chosen on; 0 where the labels were too few to hold any
            out, and the middle rate was taken.
        labels_used: Number of labelled images it was trained on.
        share: Share of the labels that was asked for.
        seed: Seed of the subset, the held-out part and the order of batches.
        multilabel: Whether images have several labels.
    """

    scores: Tensor
    score: float
    rate: float
    chosen_on: int
    labels_used: int
    share: float
    seed: int
    multilabel: bool

    @property
    def predictions(self) -> Tensor:
        """Classes, shape (M,), int64; with several labels an image (M, K), bool."""
        return self.scores > 0 if self.multilabel else self.scores.argmax(1)


@dataclass(frozen=True, slots=True)
class _Split:
    """Images, some of which are looked at."""

    features: Features
    labels: Tensor
    images: Tensor


def linear_probe(
    train: Features,
    train_labels: Tensor,
    test: Features,
    test_labels: Tensor,
    *,
    classes: int,
    val: Features | None = None,
    val_labels: Tensor | None = None,
    share: float = 1.0,
    seed: int = 0,
    settings: Settings | None = None,
) -> Probe:
    """Train a linear probe and measure it.

    The learning rate is chosen on the validation split, where there is none on a fifth of each
    class of the training labels; then the probe is trained again on all labels.

    Args:
        train: Features of the training split, shape (N, D).
        train_labels: Shape (N,), int64, or (N, K), bool, where an image may have several.
        test: Shape (M, D).
        test_labels: Likewise of the test split.
        classes: Number K of classes.
        val: Features of the validation split, if there is one.
        val_labels: Its labels.
        share: Share of the training labels that is used, drawn from each class alike.
        seed: Decides what is drawn.
        settings: How it is trained.

    Raises:
        EvaluationError: If features or labels cannot be used, there are fewer labels than
            classes, or only one class.
    """
    _check(train, train_labels, classes, 'training')
    check_several_classes(train_labels, 'training')
    _check(test, test_labels, classes, 'test', train, train_labels)
    settings = settings or Settings()
    if train_labels.ndim == 1 and len(train_labels) < classes:
        raise EvaluationError(
            f'{len(train_labels)} training labels came for {classes} classes; at least one of '
            'each is needed: use a data set with more labelled images'
        )
    used = _Split(train, train_labels, label_subset(train_labels, share, seed))
    fitted, chosen = used, None
    if val is not None and val_labels is not None:
        _check(val, val_labels, classes, 'validation', train, train_labels)
        chosen = _Split(val, val_labels, torch.arange(len(val)))
    else:
        first, second = hold_out(train_labels, used.images, HELD_OUT, seed)
        # A few images would choose by chance.
        if len(second) >= classes:
            fitted = _Split(train, train_labels, first)
            chosen = _Split(train, train_labels, second)
    rate = sorted(settings.rates)[len(settings.rates) // 2]
    if chosen is not None and len(settings.rates) > 1:
        tried = _train(fitted, classes, settings.rates, settings, seed)
        rate = settings.rates[_best(tried(chosen), chosen)]
    final = _train(used, classes, [rate], settings, seed)
    scores = final(_Split(test, test_labels, torch.arange(len(test))))[0]
    metrics = classification_metrics(scores, test_labels)
    score = metrics.get('accuracy', metrics.get('mean_average_precision', math.nan))
    count = 0 if chosen is None else len(chosen.images)
    several = test_labels.ndim == 2
    return Probe(scores, score, rate, count, len(used.images), share, seed, several)


def label_curve(
    train: Features,
    train_labels: Tensor,
    test: Features,
    test_labels: Tensor,
    *,
    classes: int,
    shares: Sequence[float] = (0.01, 0.1, 1.0),
    seeds: Sequence[int] = (0, 1, 2),
    val: Features | None = None,
    val_labels: Tensor | None = None,
    settings: Settings | None = None,
) -> list[Probe]:
    """Probe with few and with all labels, several times.

    Args:
        train: As for :func:`linear_probe`, likewise the others.
        train_labels: Their labels.
        test: Test features.
        test_labels: Their labels.
        classes: Number of classes.
        shares: Shares of the labels.
        seeds: One probe for each share and each of these.
        val: Validation features, if any.
        val_labels: Their labels.
        settings: How each is trained.

    Returns:
        Probes, by share and then by seed.

    Raises:
        EvaluationError: As :func:`linear_probe`.
    """
    return [
        linear_probe(
            train,
            train_labels,
            test,
            test_labels,
            classes=classes,
            val=val,
            val_labels=val_labels,
            share=share,
            seed=seed,
            settings=settings,
        )
        for share in shares
        for seed in seeds
    ]


def _check(
    features: Features,
    labels: Tensor,
    classes: int,
    name: str,
    like: Features | None = None,
    kind: Tensor | None = None,
) -> None:
    check_features(features, name, like)
    check_labels(labels, classes, len(features), name)
    if kind is not None:
        check_same_kind(kind, labels)


def _train(
    split: _Split, classes: int, rates: Sequence[float], settings: Settings, seed: int
) -> Callable[[_Split], Tensor]:
    """Train a probe for each learning rate, all in one product.

    Returns:
        A function from a split to its logits, shape (R, n, K).
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

    def scores(other: _Split) -> Tensor:
        found = [
            logits(inputs(other.features, other.images[part])) for part in parts(len(other.images))
        ]
        return torch.cat(found).transpose(0, 1)

    return scores


def _statistics(split: _Split) -> tuple[Tensor, Tensor]:
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


def _best(logits: Tensor, split: _Split) -> int:
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
