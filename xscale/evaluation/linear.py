"""Linear probe: how far classes can be told apart by planes through frozen features.

BatchNorm without weights and a linear layer, as in MAE (He et al., CVPR 2022, arXiv:2111.06377).
How it is trained stands in :mod:`~xscale.evaluation.fitting`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .checks import (
    EvaluationError,
    Features,
    check_features,
    check_labels,
    check_same_kind,
    check_several_classes,
)
from .fitting import ProbeSettings, Split, best, fit
from .metrics import classification_metrics
from .subsets import hold_out, label_subset

#: Share of the labels that choose the rate where there is no validation split.
HELD_OUT = 0.2


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
    settings: ProbeSettings | None = None,
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
    settings = settings or ProbeSettings()
    if train_labels.ndim == 1 and len(train_labels) < classes:
        raise EvaluationError(
            f'{len(train_labels)} training labels came for {classes} classes; at least one of '
            'each is needed: use a data set with more labelled images'
        )
    used = Split(train, train_labels, label_subset(train_labels, share, seed))
    given = None
    if val is not None and val_labels is not None:
        _check(val, val_labels, classes, 'validation', train, train_labels)
        given = Split(val, val_labels, torch.arange(len(val)))
    elif val is not None or val_labels is not None:
        raise EvaluationError(
            'one of validation features and labels came without the other; give both or neither'
        )
    rate, chosen_on = _choose(used, given, classes, settings, seed)
    final = fit(used, classes, [rate], settings, seed)
    scores = final(Split(test, test_labels, torch.arange(len(test))))[0]
    several = test_labels.ndim == 2
    metrics = classification_metrics(scores, test_labels)
    score = metrics['mean_average_precision' if several else 'accuracy']
    return Probe(scores, score, rate, chosen_on, len(used.images), share, seed, several)


def _choose(
    used: Split, given: Split | None, classes: int, settings: ProbeSettings, seed: int
) -> tuple[float, int]:
    """Choose the learning rate.

    Args:
        used: The training labels that are used.
        given: The validation split, if there is one.
        classes: Number of classes.
        settings: How a probe is trained.
        seed: Decides what is held out where there is no validation split.

    Returns:
        The rate, and the number of images it was chosen on.
    """
    fitted, chosen = used, given
    if chosen is None:
        first, second = hold_out(used.labels, used.images, HELD_OUT, seed)
        # A few images would choose by chance.
        if len(second) < classes:
            return sorted(settings.rates)[len(settings.rates) // 2], 0
        fitted = Split(used.features, used.labels, first)
        chosen = Split(used.features, used.labels, second)
    tried = fit(fitted, classes, settings.rates, settings, seed)
    return settings.rates[best(tried(chosen), chosen)], len(chosen.images)


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
    settings: ProbeSettings | None = None,
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
