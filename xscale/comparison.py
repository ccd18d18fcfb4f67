"""Compare encoders and controls on labelled images, in one call."""

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .datasets.catalogue import cache_folder
from .datasets.labelled import Labelled
from .encoders import Embedder, seen_warnings
from .encoders.checkpoints import CheckpointEmbedder
from .encoders.load import load_encoders
from .errors import ConfigError
from .evaluation.attended import draw_attention
from .evaluation.attention import attention_nmi, query_attention
from .evaluation.evaluate import Evaluation, Settings
from .evaluation.features import Look
from .evaluation.figures import draw_curves, draw_matrix
from .evaluation.pictures import draw_maps, draw_scales, draw_strips
from .evaluation.store import FeatureStore
from .models.attention_maps import attention_maps
from .models.band_groups import BandGroups

if TYPE_CHECKING:
    from .tuning import FineTuner, TrainingStore, Tuning

#: Images whose attention is measured.
ATTENDED = 32


@dataclass(frozen=True, slots=True)
class Comparison:
    """What came of a comparison, and pictures of it.

    Attributes:
        evaluation: The data and how they were looked at.
        encoders: By name, as they were asked for; controls that were added come last.
        models: What was measured of each, as plain numbers.
        tuner: What fine-tuned them, where that was asked for.
    """

    evaluation: Evaluation
    encoders: dict[str, Embedder]
    models: dict[str, dict[str, Any]]
    tuner: 'FineTuner | None' = None

    def compare(self) -> list[dict[str, Any]]:
        """Compare each model with the best control, image by image.

        Returns:
            Names of both, what they are compared ``by``, and the difference: ``score`` and its 95 %
            ``interval``.
        """
        found = self.evaluation.compare(self.models)
        return found + (self.tuner.compare(self.models) if self.tuner else [])

    def draw_curves(self, path: str | Path, ways: int = 3) -> Path:
        """Draw accuracy against scale with 95 % intervals, of all encoders.

        Args:
            path: PNG to write.
            ways: Ways of showing images that are drawn, the protocol's first.
        """
        score = 'mAP' if self.evaluation.data.multilabel else 'accuracy'
        return draw_curves(self.models, self.evaluation.gsd, score, Path(path), ways=ways)

    def draw_retrieval(self, name: str, path: str | Path, kind: str = 'map') -> Path:
        """Draw how well test images at one scale find others at another.

        Args:
            name: An encoder's.
            path: PNG to write.
            kind: 'map' for the class of the query, 'place_1' for the very place first, or another
                key of the results.
        """
        model = self.models[name]
        found = model['poolings'][model['pooling']]['retrieval']
        scales = [f'{100 * scale:g} %' for scale in found['scales']]
        labels = ('query at', 'gallery at', f'{name}: {kind}, in %')
        return draw_matrix(found[kind], scales, scales, labels, Path(path))

    def draw_scales(self, path: str | Path, count: int = 8) -> Path:
        """Draw test images as the encoders see them at each scale.

        Args:
            path: PNG to write.
            count: Number of images.
        """
        scales = self.evaluation.settings.scales
        return draw_scales(self.evaluation, scales, count, Path(path))

    def draw_neighbours(self, name: str, path: str | Path, scale: float | None = None) -> Path:
        """Draw the nearest training images at full scale of test images at another.

        Args:
            name: An encoder's.
            path: PNG to write.
            scale: That scale; the coarsest by default.

        Raises:
            ConfigError: If features at that scale were not asked for.
        """
        embedder, settings = self.encoders[name], self.evaluation.settings
        across = {'robustness', 'retrieval'} & set(settings.protocols)
        scale = scale or (min(settings.scales) if across else 1.0)
        features = self.evaluation.features(embedder)
        fixed = self.evaluation.looks(embedder)[0].fixed
        look = Look(scale, fixed) if scale < 1 else Look()
        if look not in features['test']:
            known = ', '.join(f'{each:g}' for each in settings.scales) if across else '1'
            raise ConfigError(f'scale {scale:g} was not measured; {known} are known')
        train, test = features['train'][Look()], features['test'][look]
        return draw_strips(self.evaluation, embedder, train, test, scale, Path(path))

    def draw_features(
        self, name: str, path: str | Path, scales: Sequence[float] = (), count: int = 6
    ) -> Path | None:
        """Draw the tokens of test images as colours, at several scales.

        Args:
            name: An encoder's.
            path: PNG to write.
            scales: Some, 0 to 1; those of the evaluation by default.
            count: Number of images.

        Returns:
            The path; None where the encoder has no square of tokens.
        """
        scales = scales or self.evaluation.settings.scales
        return draw_maps(self.evaluation, self.encoders[name], scales, count, Path(path))

    def draw_attention(
        self, name: str, path: str | Path, scales: Sequence[float] = (), count: int = 6
    ) -> Path:
        """Draw where the class token and the patch in the middle look, in the last block.

        Args:
            name: An encoder's.
            path: PNG to write.
            scales: Some, 0 to 1; those of the evaluation by default.
            count: Number of images.

        Raises:
            ConfigError: If the encoder has no attention, or no square of patches.
        """
        evaluation, embedder = self.evaluation, self.encoders[name]
        chosen = evaluation.some(count)
        seen = {}
        for scale in scales or evaluation.settings.scales:
            shown = evaluation.shown(embedder, chosen, scale)
            seen[scale] = shown, attended(embedder, shown)
        return draw_attention(seen, evaluation.data.bands, Path(path))


def compare(
    names: Sequence[str],
    data: Labelled,
    settings: Settings | None = None,
    *,
    sensor: str | None = None,
    store: FeatureStore | None = None,
    finetune: 'Tuning | None' = None,
    weights: Path | None = None,
    trainings: 'TrainingStore | None' = None,
) -> Comparison:
    """Measure encoders and the controls that go with them on labelled images.

    Args:
        names: Checkpoints, released files, names of timm's or TorchGeo's models, ``random:MODEL``
            or ``image-stats``. Random weights and image statistics are added where they lack.
        data: As :func:`~xscale.datasets.labelled.open_labelled` gives them.
        settings: What to measure, and how.
        sensor: Which sensor of a checkpoint the data are of; found by bands and values by
            default.
        store: Where features are kept; in the user's cache by default.
        finetune: How encoders are fine-tuned too; None to measure them frozen alone.
        weights: Folder for what was fine-tuned; by default it is not kept.
        trainings: Where fine-tunings are kept and taken from; None to train all anew.

    Raises:
        XScaleError: If an encoder cannot be loaded or does not fit the data.
    """
    encoders = load_encoders(names, data.bands, data.dtype, sensor)
    store = store or FeatureStore(cache_folder() / 'features')
    evaluation = Evaluation(data, settings or Settings(), store)
    warnings = {name: _prepare(evaluation, *found) for name, found in encoders.items()}
    embedders = {name: found[0] for name, found in encoders.items()}
    with tempfile.TemporaryDirectory() as folder:
        tuner = None
        tuned: dict[str, Embedder] = {}
        if finetune is not None:
            from .tuning import FineTuner

            tuner = FineTuner(evaluation, weights or Path(folder), finetune, trainings)
            tuned = {name: one for name, one in embedders.items() if _trainable(tuner, one)}
        models = {
            name: _measure(evaluation, embedder, encoders[name][1], warnings[name])
            for name, embedder in embedders.items()
        }
        for name, embedder in tuned.items():
            if tuner:
                models[name] |= {'finetune': tuner(embedder), 'notes': list(embedder.notes)}
    return Comparison(evaluation, embedders, models, tuner)


def _trainable(tuner: 'FineTuner', embedder: Embedder) -> bool:
    """Tell whether an encoder can be fine-tuned, and note why not."""
    if reason := tuner.check(embedder):
        embedder.own_notes.append(f'not fine-tuned: {reason}')
    return reason is None


def _prepare(evaluation: Evaluation, embedder: Embedder, control: bool) -> list[str]:
    """Fit an encoder to the data, and say what to doubt."""
    if embedder.uses_gsd:
        _check_gsd(embedder.name, evaluation.data)
    warnings = evaluation.prepare(embedder)
    if isinstance(embedder, CheckpointEmbedder) and not control:
        warnings += _seen(embedder, evaluation)
    for warning in warnings:
        print(f'warning: {embedder.name}: {warning}', file=sys.stderr)
    return warnings


def _check_gsd(name: str, data: Labelled) -> None:
    """Refuse images that do not say their metres per pixel, before any is encoded."""
    silent = [
        path
        for split in data.splits.values()
        for path, place in zip(split.names, split.places, strict=True)
        if not place.gsd > 0
    ]
    if silent:
        total = sum(map(len, data.splits.values()))
        raise ConfigError(
            f'{name} needs metres per pixel, and {len(silent):,} of {total:,} images of '
            f'{data.name} do not say them, such as {silent[0]}; give them (--gsd METRES), or take '
            'those out'
        )


def _measure(
    evaluation: Evaluation, embedder: Embedder, control: bool, warnings: list[str]
) -> dict[str, Any]:
    found = evaluation.measure(embedder)
    return {
        'kind': embedder.kind,
        'control': control,
        'fingerprint': embedder.fingerprint,
        'parameters': sum(parameter.numel() for parameter in embedder.parameters()),
        'input_side': embedder.input_side(evaluation.side, False),
        'any_size': embedder.any_size,
        'uses_gsd': embedder.uses_gsd,
        'notes': list(embedder.notes),
        'warnings': warnings,
        'attention_nmi': _attention(evaluation, embedder),
        **found,
    }


def _seen(embedder: CheckpointEmbedder, evaluation: Evaluation) -> list[str]:
    """Warn of test images whose ground was trained on."""
    split = evaluation.data.splits['test']
    if not bool(split[0]['footprint'].isfinite().all()):
        return []
    some = evaluation.sample(512)
    footprints = torch.stack([split[number]['footprint'] for number in some])
    return seen_warnings(embedder.contract, footprints)


def _attention(evaluation: Evaluation, embedder: Embedder) -> list[list[float]]:
    """Return the NMI of each head of each block; nothing where there is no attention."""
    shown = evaluation.shown(embedder, evaluation.some(ATTENDED))
    try:
        maps = attention_maps(
            embedder, lambda: embedder(*shown), lambda maps: attention_nmi(maps).mean(0)
        )
    except ConfigError:
        return []
    return [[round(value, 5) for value in heads.tolist()] for heads in maps]


def attended(embedder: Embedder, shown: tuple[Tensor, Tensor, Tensor]) -> dict[str, Tensor]:
    """Look up the attention of the last block, averaged over heads.

    Args:
        embedder: The encoder, prepared.
        shown: Image, gsd and valid, as :meth:`Evaluation.shown` gives them.

    Returns:
        The share each patch gets, shape (B, h, w), of the class token (where there is one) and of
        the patch in the middle, the lower right one of an even number.

    Raises:
        ConfigError: If the encoder has no attention, or no square of patches.
    """
    if isinstance(embedder, CheckpointEmbedder) and isinstance(embedder.encoder.layout, BandGroups):
        raise ConfigError(f'{embedder.name} has tokens of groups of bands, not of whole patches')
    patches = (shown[0].shape[-1] // embedder.patch) ** 2
    side = shown[0].shape[-1] // embedder.patch

    def look(maps: Tensor) -> dict[str, Tensor]:
        prefix = maps.shape[-1] - patches
        ask = partial(query_attention, maps, prefix=prefix)
        middle = {'middle patch': ask(prefix + side // 2 * (side + 1))}
        return {'class token': ask(0), **middle} if prefix else middle

    return attention_maps(embedder, lambda: embedder(*shown), look)[-1]
