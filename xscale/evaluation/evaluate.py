"""Evaluate encoders on a labelled data set: every protocol asked for, with its settings."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ..errors import ConfigError, UnknownNameError
from ..transforms import evenly
from . import measure
from .features import (
    Look,
    choose_side,
    common_gsd,
    extract,
    loader,
    show,
    statistics,
)
from .intervals import Values
from .measure import Draws, Labels
from .store import FeatureStore, Found

#: The protocols on features, in the order they are reported. A decoder's is apart.
PROTOCOLS = ('knn', 'linear', 'robustness', 'retrieval')

#: What models are compared by.
KNN = '20 nearest neighbours at full scale'

#: Image (B, C, S, S), metres per pixel (B,) and valid (B, 1, S, S), as an encoder takes them.
type Shown = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True, slots=True)
class Settings:
    """How encoders are evaluated.

    Attributes:
        protocols: Some of :data:`PROTOCOLS`.
        scales: Sides of query images over their own.
        labels: Shares of the training labels for the linear probe.
        side: Side of full scale in pixels; the images' own by default.
        draws: Seeds and bootstrap samples.
        batch_size: Images encoded together.
        workers: Processes that read ahead.
        device: Where encoders run.
    """

    protocols: tuple[str, ...] = PROTOCOLS
    scales: tuple[float, ...] = (0.125, 0.25, 0.5, 1.0)
    labels: tuple[float, ...] = (0.01, 0.1, 1.0)
    side: int | None = None
    draws: Draws = field(default_factory=Draws)
    batch_size: int = 64
    workers: int = 0
    device: str = 'cpu'

    def __post_init__(self) -> None:
        """Refuse what cannot be measured.

        Raises:
            UnknownNameError: If there is no such protocol.
            ConfigError: If a share or scale is not one.
        """
        for protocol in self.protocols:
            if protocol not in PROTOCOLS:
                raise UnknownNameError('protocol', protocol, PROTOCOLS)
        for name, shares in (('scale', self.scales), ('share of labels', self.labels)):
            wrong = [share for share in shares if not 0 < share <= 1]
            if wrong or not shares:
                raise ConfigError(f'{name} {wrong or "missing"}: above 0, up to 1 is needed')


def score_of(model: Mapping[str, Any]) -> float:
    """Return the score a model is known by: 20 nearest neighbours, the pooling it was trained with.

    Args:
        model: What :meth:`Evaluation.measure` found of it.
    """
    return float(model['poolings'][model['pooling']]['knn']['cosine_20']['score'])


def labels_of(data: Any) -> Labels:
    """Return what the images of a data set show.

    Args:
        data: As :mod:`xscale.datasets.labelled` gives it.
    """
    splits = data.splits
    val = splits['val'].labels if 'val' in splits else None
    return Labels(splits['train'].labels, splits['test'].labels, tuple(data.classes), val)


class Evaluation:
    """One data set, and the encoders that are measured on it one after the other.

    Attributes:
        side: Side of full scale in pixels.
        gsd: Metres per pixel of full scale, if images have one in common.
        mean: Mean of each band of training images, in the files' units, (C,).
        std: Standard deviation, likewise.
    """

    def __init__(self, data: Any, settings: Settings, store: FeatureStore) -> None:
        """Look at the data.

        Args:
            data: Labelled images.
            settings: What to measure, and how.
            store: Where features are kept.
        """
        self.data, self.settings, self.store = data, settings, store
        self.labels = labels_of(data)
        self.side = choose_side(data.splits['train'], settings.side)
        self.gsd = common_gsd(data.splits['test'], self.side)
        smallest = min(settings.scales) * self.side
        if smallest < 1:
            raise ConfigError(f'the scale {min(settings.scales):g} of {self.side} px is no pixel')
        self.mean, self.std = statistics(data.splits['train'], self.side)
        #: What the score of each encoder and pooling is the mean of.
        self.values: dict[tuple[str, str], Values] = {}
        self._features: dict[str, dict[str, dict[Look, Found]]] = {}

    def prepare(self, embedder: Any) -> list[str]:
        """Fit an encoder's input to the data, once.

        Args:
            embedder: The encoder.

        Returns:
            Warnings, such as of values in other units.
        """
        embedder.to(self.settings.device)
        warnings: list[str] = embedder.fit_data(self.mean.tolist(), self.std.tolist())
        return warnings

    def looks(self, embedder: Any) -> list[Look]:
        """Say how query images are shown to an encoder, the way of the protocol first.

        Args:
            embedder: The encoder.
        """
        if not embedder.any_size:
            return [Look(fixed=True)]
        if embedder.patch == 1:
            # What has no patches takes every size as it is.
            return [Look()]
        constant = [Look(constant=True)] if embedder.uses_gsd else []
        return [Look(), *constant, Look(fixed=True)]

    def features(self, embedder: Any) -> dict[str, dict[Look, Found]]:
        """Encode what the protocols need.

        Args:
            embedder: The encoder, prepared.

        Returns:
            By split, by look.
        """
        if embedder.name not in self._features:
            self._features[embedder.name] = self._extract(embedder)
        return self._features[embedder.name]

    def _extract(self, embedder: Any) -> dict[str, dict[Look, Found]]:
        plain = [Look()]
        scaled = set(self.settings.protocols) & {'robustness', 'retrieval'}
        wanted = {'train': plain, 'test': self._scaled(embedder) if scaled else plain}
        if 'linear' in self.settings.protocols and 'val' in self.data.splits:
            wanted['val'] = plain
        total = sum(len(self.data.splits[name]) * len(looks) for name, looks in wanted.items())
        with tqdm(total=total, desc=embedder.name, unit='image', file=sys.stderr) as bar:
            return {
                name: extract(
                    embedder,
                    self.data.splits[name],
                    looks,
                    side=self.side,
                    store=self.store,
                    batch_size=self.settings.batch_size,
                    workers=self.settings.workers,
                    device=self.settings.device,
                    progress=bar.update,
                )
                for name, looks in wanted.items()
            }

    def _scaled(self, embedder: Any) -> list[Look]:
        """Return every way and scale; at full scale all ways are one."""
        looks = [Look()]
        for way in self.looks(embedder):
            looks += [
                Look(scale, way.fixed, way.constant) for scale in self.settings.scales if scale < 1
            ]
        return looks

    def at(
        self, embedder: Any, test: Mapping[Look, Found], way: Look, pooling: str
    ) -> dict[float, Any]:
        """Return test features at each scale, shown one way.

        Args:
            embedder: The encoder.
            test: Test features by look.
            way: One of :meth:`looks`.
            pooling: One of the encoder's.
        """
        return {
            scale: test[Look(scale, way.fixed, way.constant) if scale < 1 else Look()][pooling]
            for scale in self.settings.scales
        }

    def measure(self, embedder: Any) -> dict[str, Any]:
        """Run the protocols on one encoder.

        Args:
            embedder: The encoder, prepared.

        Returns:
            Plain numbers, by pooling.
        """
        features = self.features(embedder)
        found = {}
        for pooling in embedder.poolings:
            found[pooling] = self._pooling(embedder, features, pooling)
        # Not the better of the two, which would be chosen on the test images.
        return {'poolings': found, 'pooling': embedder.poolings[0]}

    def _pooling(
        self, embedder: Any, features: Mapping[str, Mapping[Look, Found]], pooling: str
    ) -> dict[str, Any]:
        settings, labels = self.settings, self.labels
        train, test = (features[name][Look()][pooling] for name in ('train', 'test'))
        # Every comparison rests on the nearest neighbours, so they always run.
        knn, full = measure.knn(train, test, labels, settings.draws)
        self.values[embedder.name, pooling] = full
        found: dict[str, Any] = {
            'dimensions': train.shape[1],
            'knn': knn,
            'collapse': measure.judge(test),
        }
        if 'linear' in settings.protocols:
            val = features['val'][Look()][pooling] if 'val' in features else None
            found['linear'] = measure.linear(
                train, test, val, labels, settings.labels, settings.draws
            )
        ways = self.looks(embedder)
        if 'robustness' in settings.protocols:
            found['robustness'] = {
                str(way): measure.robustness(
                    train,
                    self.at(embedder, features['test'], way, pooling),
                    labels,
                    settings.draws,
                    full,
                )
                for way in ways
            }
        if 'retrieval' in settings.protocols:
            found['retrieval'] = measure.retrieval(
                self.at(embedder, features['test'], ways[0], pooling), labels
            )
        return found

    def compare(self, models: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Compare each model with the best control, image by image.

        Args:
            models: What :meth:`measure` found of each, with ``control`` said.
        """
        controls = [name for name, model in models.items() if model['control']]
        if not controls:
            return []
        score = {name: score_of(model) for name, model in models.items()}
        control = max(controls, key=score.__getitem__)
        own = self.values[control, models[control]['pooling']]
        found = []
        for name, model in models.items():
            if not model['control']:
                other = self.values[name, model['pooling']]
                apart = measure.difference(other, own, len(self.labels.test), self.settings.draws)
                found.append({'model': name, 'control': control, 'by': KNN} | apart)
        return found

    def shown(self, embedder: Any, indices: Sequence[int], scale: float = 1.0) -> Shown:
        """Prepare some test images for an encoder.

        Args:
            embedder: The encoder, prepared.
            indices: Which.
            scale: Of their sides; they are enlarged again, so that maps have one size.

        Returns:
            What the encoder takes: image, (B, C, S, S), gsd, (B,), and valid, (B, 1, S, S).
        """
        subset = torch.utils.data.Subset(self.data.splits['test'], list(indices))
        batch = next(iter(loader(subset, self.side, len(indices), 0)))
        batch = {name: value.to(self.settings.device) for name, value in batch.items()}
        return show(batch, Look(scale, fixed=True), embedder)

    def sample(self, most: int) -> list[int]:
        """Choose test images from the first to the last, evenly.

        Args:
            most: How many at most.
        """
        return evenly(len(self.data.splits['test']), most)

    def some(self, count: int) -> list[int]:
        """Choose test images, of as many classes as there are, the same for all encoders.

        Args:
            count: How many.
        """
        labels = self.labels.test
        own = labels if labels.ndim == 1 else labels.float().argmax(1)
        order = np.random.default_rng(self.settings.draws.seed).permutation(len(own))
        by_class: dict[int, list[int]] = {}
        for index in order.tolist():
            by_class.setdefault(int(own[index]), []).append(index)
        queues = [by_class[key] for key in sorted(by_class)]
        return [queues[number][0] for number in evenly(len(queues), count)]
