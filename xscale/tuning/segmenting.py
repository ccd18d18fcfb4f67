"""Train encoders to segment, frozen and whole, and measure them across scales."""

import sys
import tempfile
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..datasets.masked import Masked
from ..encoders import Embedder, seen_warnings
from ..encoders.load import STATISTICS, load_encoders
from ..errors import ConfigError
from ..evaluation.measure import Draws
from ..evaluation.segmenters import untrained
from ..recipes import task_settings
from ..tasks import Segmentation
from .kept import TrainingStore
from .measuring import UNTRAINED, Measured, Segmentations, TrainedSegmenter
from .settings import Tuning
from .start import slug, start_of, why_not
from .tiles import Tiles, choose_tile
from .training import TAKEN, build, train

#: How encoders are trained: what people read, and the recipe.
WAYS = {'frozen': 'segment/frozen', 'fine-tuned': 'segment/finetune'}

#: Test images that are drawn.
PICTURED = 6


def segment(
    names: Sequence[str],
    data: Masked,
    models: Path,
    tuning: Tuning | None = None,
    *,
    scales: Sequence[float] = (0.125, 0.25, 0.5, 1.0),
    draws: Draws | None = None,
    sensor: str | None = None,
    store: TrainingStore | None = None,
) -> Segmentations:
    """Train encoders and random weights of their architecture to segment, and measure them.

    Each is trained twice, ``frozen`` and ``fine-tuned``, with the same head to begin with and on
    the same batches, and is measured after the last step, on all pixels of the test images. Beside
    them stand what needs no network (:func:`~xscale.evaluation.segmenters.untrained`).

    Args:
        names: Checkpoints, released files, timm's vision transformers, or ``random:MODEL``.
        data: As :func:`~xscale.datasets.masked.open_masked` gives them.
        models: Folder for the trained weights.
        tuning: How they are trained.
        scales: Sides of the test images over their own.
        draws: For the intervals.
        sensor: Which sensor of a checkpoint the data are of; found by values by default.
        store: Where trainings are kept and taken from; None to train all anew.

    Raises:
        XScaleError: If an encoder or the data cannot be used; nothing is trained then.
    """
    tuning, draws = tuning or Tuning(), draws or Draws()
    for name in names:
        reason = None if name == STATISTICS else why_not(name)
        if reason:
            raise ConfigError(f'{name} cannot be trained to segment: {reason}; leave it out')
    encoders = load_encoders(names, data.bands, data.dtype, sensor)
    # They answer for whole images; colours of pixels stand in their place.
    del encoders[STATISTICS]
    patches = [embedder.patch for embedder, _ in encoders.values()]
    tiles = Tiles(data, choose_tile(data, tuning.tile, patches))
    for warning in tiles.warnings:
        print(f'warning: {warning}', file=sys.stderr)
    scales = tuple(sorted({*scales, 1.0}))
    if round(min(scales) * tiles.side) < 1:
        raise ConfigError(f'the scale {min(scales):g} of {tiles.side} px is no pixel')
    described = {name: _described(*one, tiles) for name, one in encoders.items()}
    result = Segmentations(tiles, tuning, scales, described, tiles.some(PICTURED))
    measured = Measured(result, draws)
    with tempfile.TemporaryDirectory() as folder:
        starts = {name: start_of(one, Path(folder)) for name, (one, _) in encoders.items()}
        for start, recipe in product(starts.values(), WAYS.values()):
            # What cannot be built is said before anything is trained.
            build(Segmentation, tuning.seed, **_settings(recipe, start, tiles, tuning))
        for number, (name, start) in enumerate(starts.items()):
            for way, recipe in WAYS.items():
                settings = _settings(recipe, start, tiles, tuning)
                path = models / f'{number}_{slug(name)}_{way}.ckpt'
                _train(measured, (name, way), settings, path, store)
    for name, segmenter in untrained(tiles.statistics).items():
        result.models[name] = {'kind': 'no network', 'control': True, 'notes': [], 'warnings': []}
        # What has no patches takes every size as it is.
        measured.add(name, UNTRAINED, segmenter, (False,))
    result.comparisons = measured.compare()
    return result


def _train(
    measured: Measured,
    who: tuple[str, str],
    settings: Mapping[str, Any],
    path: Path,
    store: TrainingStore | None,
) -> None:
    """Train one encoder one way, and measure it."""
    tiles, tuning = measured.result.tiles, measured.result.tuning
    module = tiles.module(tuning)
    trained = train(
        build(Segmentation, tuning.seed, **settings),
        module,
        epochs=tuning.epochs,
        device=tuning.device,
        title=', '.join(who),
        path=path,
        store=store,
    )
    if trained.kept:
        measured.result.models[who[0]]['notes'].append(f'{who[1]}: {TAKEN} {trained.kept}')
    numbers = measured.add(*who, TrainedSegmenter(trained.task), (False, True))
    how = {'lr': settings['lr'], 'batch_size': module.batch_size}
    kept = {'checkpoint': f'models/{path.name}'}
    numbers['training'] = trained.plain(tuning.epochs) | how | kept


def _described(embedder: Embedder, control: bool, tiles: Tiles) -> dict[str, Any]:
    """Fit an encoder to the data, and say what it is and what to doubt."""
    warnings = embedder.fit_data(tiles.mean.tolist(), tiles.std.tolist())
    if not control:
        footprints = torch.from_numpy(np.asarray(tiles.test.footprints, np.float64))
        warnings = warnings + seen_warnings(embedder.contract, footprints)
    for warning in warnings:
        print(f'warning: {embedder.name}: {warning}', file=sys.stderr)
    if embedder.uses_gsd and not tiles.known:
        raise ConfigError(
            f'{embedder.name} needs metres per pixel, and images of {tiles.data.name} do not say '
            'them; give them (--gsd METRES)'
        )
    return {
        'kind': embedder.kind,
        'control': control,
        'parameters': sum(one.numel() for one in embedder.parameters()),
        'uses_gsd': embedder.uses_gsd,
        'notes': list(embedder.notes),
        'warnings': warnings,
    }


def _settings(
    recipe: str, start: Mapping[str, Any], tiles: Tiles, tuning: Tuning
) -> dict[str, Any]:
    own = {
        'num_classes': len(tiles.data.classes.names),
        'decoder': tuning.decoder,
        'decoder_channels': tuning.decoder_channels,
    }
    rate = {} if tuning.lr is None else {'lr': tuning.lr}
    return {**task_settings(recipe), **own, **start, **rate}
