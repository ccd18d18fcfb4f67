"""``xscale evaluate``: encoders and controls on labelled images, and one report."""

import argparse
import shlex
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ..comparison import Comparison, compare
from ..datasets.catalogue import cache_folder
from ..datasets.labelled import Labelled, check_readable, open_labelled
from ..datasets.masked.listing import is_masked
from ..encoders.checkpoints import CheckpointEmbedder, read_ours
from ..errors import CheckpointError, ConfigError
from ..evaluation.evaluate import Evaluation
from ..evaluation.pictures import draw_made, draw_scales
from ..evaluation.report import summary, verdict, write_report
from ..models.checkpoint import versions
from ..tasks.reconstruction import Made, Reconstructor, mean_errors
from ..tuning import TrainingStore
from .arguments import split_bands
from .evaluate_segment import evaluate_segment
from .fit import quiet
from .report_folder import publish, report_folder
from .reports import (
    FINETUNE,
    choose_protocols,
    libraries,
    plain_settings,
    read_settings,
    read_tuning,
    say_left_out,
    say_warnings,
    table,
)

#: Said of decoders that predict no colours.
TOLD = (
    'its decoder predicts patches normalised by themselves, and is told the mean and the deviation '
    'of each hidden patch to paint it: compare its reconstruction with "own mean colours" alone'
)

#: Images that are reconstructed, and of which pictures are drawn.
RECONSTRUCTED, PICTURED = 128, 6


def evaluate(options: argparse.Namespace, command: Sequence[str]) -> int:
    """Evaluate encoders, and say where the report is.

    Args:
        options: What the command line was given.
        command: The same, as it was typed.

    Raises:
        XScaleError: If something cannot be used; nothing is written then.
    """
    *names, source = options.models
    if not names:
        raise ConfigError(
            f'only {source} was given; which models, and on what? xscale evaluate CKPT… DATA'
        )
    names = list(dict.fromkeys(names))
    asked = choose_protocols(options, options.polygons is not None or is_masked(Path(source)))
    settings = read_settings(options, asked)
    tuning, line = read_tuning(options, settings), shlex.join(['xscale', *command])
    trainings = TrainingStore(cache_folder() / 'trained')
    with (
        report_folder(options.out) as out,
        tempfile.TemporaryDirectory() as folder,
        trainings,
    ):
        # Until the report is whole.
        made = Path(folder)
        if 'segment' in asked:
            quiet()
            return evaluate_segment(names, options, settings, tuning, out, made, trainings, line)
        data = _open(options, source)
        finetune = tuning if FINETUNE in asked else None
        if finetune:
            quiet()
        comparison = compare(
            names,
            data,
            settings,
            sensor=options.sensor,
            finetune=finetune,
            weights=made / 'models',
            trainings=trainings,
        )
        results: dict[str, Any] = {
            'command': line,
            'versions': versions() | libraries(),
            'settings': plain_settings(settings, asked),
            'data': describe(comparison.evaluation),
            'models': comparison.models,
        }
        pictures = _draw(comparison, names, 'reconstruct' in asked, made / 'figures')
        results['comparisons'] = comparison.compare()
        page = write_report(results, pictures, made)
        written = publish(results, made, out)
    print(table(summary(results)))
    print(f'{verdict(results)}\nreport:  {out / page.name}\nresults: {written}')
    return 0


def _open(options: argparse.Namespace, source: str) -> Labelled:
    """Open labelled images, and say what they are."""
    data = check_readable(
        open_labelled(
            source,
            root=options.root,
            splits=options.splits,
            bands=split_bands(options.bands) or (),
            gsd=options.gsd,
            seed=options.seed,
        )
    )
    sizes = ', '.join(f'{len(split)} {name}' for name, split in data.splits.items())
    print(f'{data.name}: {len(data.classes)} classes, {sizes}; bands {", ".join(data.bands)}')
    for note in data.notes:
        print(f'  {note}')
    say_left_out(data.rejected)
    say_warnings(data.warnings)
    return data


def describe(evaluation: Evaluation) -> dict[str, Any]:
    """Say what the data are, as ``results.json`` holds it.

    Args:
        evaluation: The data, looked at.
    """
    data = evaluation.data
    return {
        'name': data.name,
        'classes': list(data.classes),
        'bands': list(data.bands),
        'dtype': data.dtype,
        'multilabel': data.multilabel,
        **{name: len(split) for name, split in data.splits.items()},
        'fingerprints': {name: split.fingerprint for name, split in data.splits.items()},
        'side': evaluation.side,
        'gsd': evaluation.gsd,
        'mean': evaluation.mean.tolist(),
        'std': evaluation.std.tolist(),
        'notes': list(data.notes),
        'warnings': data.warnings,
        'rejected': [[one.path, one.reason] for one in data.rejected],
    }


def _reconstruct(
    evaluation: Evaluation,
    embedder: CheckpointEmbedder,
    names: Sequence[str],
    pictures: dict[str, Path],
    folder: Path,
    number: int,
) -> dict[str, Any]:
    """Measure a decoder at every scale, and draw what it makes."""
    try:
        content = read_ours(names[number])
        reconstructor = Reconstructor(content, evaluation.settings.draws.seed)
    except CheckpointError as error:
        print(f'{embedder.name}: no reconstruction: {error}', file=sys.stderr)
        return {}
    reconstructor.to(evaluation.settings.device)
    some = evaluation.sample(RECONSTRUCTED)
    rows: dict[str, list[Any]] = {}
    made = {}
    scales = evaluation.settings.scales
    for scale in tqdm(scales, desc=f'{embedder.name}: decoder', unit='scale', file=sys.stderr):
        batches = list(_decoded(evaluation, embedder, reconstructor, some, scale))
        for answer, row in mean_errors(batches, scale).items():
            rows.setdefault(answer, []).append(row)
        shown = evaluation.shown(embedder, evaluation.some(PICTURED), scale)
        pictured = reconstructor(embedder, shown)
        made[scale] = pictured.image, pictured.picture, pictured.valid
    bands = embedder.intake.sensor.bands if embedder.intake else evaluation.data.bands
    if getattr(reconstructor.objective, 'norm_pix', False):
        embedder.own_notes.append(TOLD)
    path = draw_made(made, bands, folder / f'reconstructions_{number}.png')
    pictures[f'{embedder.name}: three of four patches hidden'] = path
    return {'reconstruct': rows, 'notes': list(embedder.notes)}


def _decoded(
    evaluation: Evaluation,
    embedder: CheckpointEmbedder,
    reconstructor: Reconstructor,
    indices: Sequence[int],
    scale: float,
) -> Iterator[Made]:
    size = evaluation.settings.batch_size
    for number, start in enumerate(range(0, len(indices), size)):
        shown = evaluation.shown(embedder, indices[start : start + size], scale)
        yield reconstructor(embedder, shown, number)


def _draw(
    comparison: Comparison, names: Sequence[str], reconstruct: bool, folder: Path
) -> Mapping[str, dict[str, Path]]:
    """Draw images, neighbours and maps of each encoder, and measure decoders."""
    evaluation = comparison.evaluation
    pictures: dict[str, dict[str, Path]] = {'scales': {}, 'strips': {}, 'maps': {}, 'made': {}}
    shown = draw_scales(evaluation, evaluation.settings.scales, 8, folder / 'scales.png')
    pictures['scales']['Test images as the encoders see them, before any is enlarged.'] = shown
    for number, (name, embedder) in enumerate(comparison.encoders.items()):
        model = comparison.models[name]
        if reconstruct and not model['control'] and isinstance(embedder, CheckpointEmbedder):
            model |= _reconstruct(evaluation, embedder, names, pictures['made'], folder, number)
        path = folder / f'neighbours_{number}.png'
        pictures['strips'][name] = comparison.draw_neighbours(name, path)
        maps = comparison.draw_features(name, folder / f'maps_{number}.png', count=PICTURED)
        if maps is not None:
            pictures['maps'][name] = maps
    return pictures
