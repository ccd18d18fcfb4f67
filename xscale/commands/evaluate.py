"""``xscale evaluate``: encoders and controls on labelled images, and one report."""

import argparse
import json
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from ..comparison import Comparison, compare
from ..datasets.labelled import Labelled, check_readable, open_labelled
from ..encoders.checkpoints import CheckpointEmbedder, read_ours
from ..errors import CheckpointError, ConfigError, UnknownNameError
from ..evaluation.evaluate import PROTOCOLS, Evaluation, Settings
from ..evaluation.measure import Draws
from ..evaluation.pictures import draw_made, draw_scales
from ..evaluation.report import summary, verdict, write_report
from ..models.checkpoint import versions
from ..tasks.reconstruction import Made, Reconstructor, mean_errors
from .arguments import split_bands, split_numbers

#: Everything that can be asked for.
ALL = (*PROTOCOLS, 'reconstruct')

#: Said of decoders that predict no colours.
TOLD = (
    'its decoder predicts patches normalised by themselves, and is told the mean and the deviation '
    'of each hidden patch to paint it: compare its reconstruction with "own mean colours" alone'
)

#: What a report's folder holds.
WRITTEN = ('figures', 'results.json', 'report.html')

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
    settings, reconstruct = read_settings(options)
    out = _out_folder(options.out)
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
    _say_data(data)
    comparison = compare(names, data, settings, sensor=options.sensor)
    evaluation = comparison.evaluation
    results: dict[str, Any] = {
        'command': shlex.join(['xscale', *command]),
        'versions': versions() | _libraries(),
        'settings': _plain_settings(settings, reconstruct),
        'data': describe(evaluation),
        'models': comparison.models,
    }
    pictures: dict[str, dict[str, Path]] = {'scales': {}, 'strips': {}, 'maps': {}, 'made': {}}
    figures = out / 'figures'
    shown = draw_scales(evaluation, settings.scales, 8, figures / 'scales.png')
    pictures['scales']['Test images as the encoders see them, before any is enlarged.'] = shown
    for number, (name, embedder) in enumerate(comparison.encoders.items()):
        model = comparison.models[name]
        if reconstruct and not model['control'] and isinstance(embedder, CheckpointEmbedder):
            model |= _reconstruct(evaluation, embedder, names, pictures['made'], figures, number)
    _draw(comparison, pictures, figures)
    results['comparisons'] = evaluation.compare(results['models'])
    out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(results, indent=1, allow_nan=False, default=str)
    (out / 'results.json').write_text(text + '\n', encoding='utf-8')
    page = write_report(results, pictures, out)
    print(table(results))
    print(f'{verdict(results)}\nreport:  {page}\nresults: {out / "results.json"}')
    return 0


def read_settings(options: argparse.Namespace) -> tuple[Settings, bool]:
    """Turn flags into settings.

    Args:
        options: What the command line was given.

    Returns:
        The settings, and whether decoders are measured too.

    Raises:
        UnknownNameError: If there is no such protocol.
        ConfigError: If a number is out of range.
    """
    asked = [name.strip() for name in (options.protocol or ','.join(ALL)).split(',')]
    for name in asked:
        if name not in ALL:
            raise UnknownNameError('protocol', name, ALL)
    for name in ('batch_size', 'size', 'seeds', 'bootstrap'):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise ConfigError(f'--{name.replace("_", "-")} {value}: 1 or more is needed')
    if options.seed < 0 or options.num_workers < 0:
        raise ConfigError('--seed and --num-workers: 0 or a number above is needed')
    settings = Settings(
        protocols=tuple(name for name in PROTOCOLS if name in asked),
        scales=_percents('scales', options.scales),
        labels=_percents('labels', options.labels),
        side=options.size,
        draws=Draws(options.bootstrap, options.seed, options.seeds),
        batch_size=options.batch_size,
        workers=options.num_workers,
        device=options.device or ('cuda' if torch.cuda.is_available() else 'cpu'),
    )
    return settings, 'reconstruct' in asked


def _percents(flag: str, text: str) -> tuple[float, ...]:
    values = split_numbers(flag, text) or []
    if not values or not all(0 < value <= 100 for value in values):
        raise ConfigError(f'--{flag} {text}: percents above 0, up to 100, with commas between')
    return tuple(sorted({value / 100 for value in values}))


def _out_folder(out: str | None) -> Path:
    """Choose the folder of the report; one of a report, finished or not, is written anew."""
    if out is None:
        number = 1
        while Path('runs', f'evaluate-{number}').exists():
            number += 1
        return Path('runs', f'evaluate-{number}')
    if Path(out).is_file():
        raise ConfigError(f'--out {out} is a file; a folder is needed')
    others = sorted(path.name for path in Path(out).glob('*') if path.name not in WRITTEN)
    if others:
        raise ConfigError(f'--out {out} holds other files ({others[0]}); choose a new folder')
    return Path(out)


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


def _draw(comparison: Comparison, pictures: Mapping[str, dict[str, Path]], folder: Path) -> None:
    """Draw neighbours and maps of each encoder."""
    for number, name in enumerate(comparison.encoders):
        path = folder / f'neighbours_{number}.png'
        pictures['strips'][name] = comparison.draw_neighbours(name, path)
        maps = comparison.draw_features(name, folder / f'maps_{number}.png', count=PICTURED)
        if maps is not None:
            pictures['maps'][name] = maps


def _say_data(data: Labelled) -> None:
    sizes = ', '.join(f'{len(split)} {name}' for name, split in data.splits.items())
    print(f'{data.name}: {len(data.classes)} classes, {sizes}; bands {", ".join(data.bands)}')
    for note in data.notes:
        print(f'  {note}')
    for one in data.rejected[:10]:
        print(f'  left out: {one.path}: {one.reason}')
    if len(data.rejected) > 10:
        print(f'  … and {len(data.rejected) - 10} more left out')


def table(results: Mapping[str, Any]) -> str:
    """Lay out the summary as text, in columns.

    Args:
        results: What ``results.json`` holds.
    """
    made = summary(results)
    rows = [made['heads']]
    rows += [[str(cell['text']) for cell in row['cells']] for row in made['rows']]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            text.ljust(width) if column < 2 else text.rjust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append('  '.join(cells).rstrip())
    return '\n'.join(lines)


def _libraries() -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in ('torchgeo', 'timm', 'lightly', 'scikit-learn')}


def _plain_settings(settings: Settings, reconstruct: bool) -> dict[str, Any]:
    return {
        'protocols': [*settings.protocols, *(['reconstruct'] if reconstruct else [])],
        'scales': list(settings.scales),
        'labels': list(settings.labels),
        'side': settings.side,
        'seed': settings.draws.seed,
        'probes': settings.draws.probes,
        'bootstrap': settings.draws.samples,
        'device': settings.device,
    }
