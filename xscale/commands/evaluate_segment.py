"""``xscale evaluate --protocol segment``: encoders that are trained to segment, and one report."""

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..datasets.formats import DRIVERS
from ..datasets.masked import Masked, open_masked
from ..datasets.masked.classes import listed_classes
from ..evaluation.evaluate import Settings
from ..evaluation.overlays import draw_at_scales, draw_overlays
from ..evaluation.segment_report import (
    segment_summary,
    segment_verdict,
    ways,
    write_segment_report,
)
from ..evaluation.segmenters import MAJORITY
from ..models.checkpoint import versions
from ..tuning import Segmentations, TrainingStore, Tuning, segment
from .arguments import split_bands
from .report_folder import publish
from .reports import SEGMENT, libraries, plain_settings, say_left_out, say_warnings, table


def evaluate_segment(
    names: Sequence[str],
    options: argparse.Namespace,
    settings: Settings,
    tuning: Tuning,
    out: Path,
    made: Path,
    trainings: TrainingStore,
    line: str,
) -> int:
    """Train encoders to segment, measure them, and say where the report is.

    Args:
        names: The encoders.
        options: What the command line was given.
        settings: Those of the evaluation.
        tuning: How encoders are trained.
        out: Folder of the report.
        made: Folder of the report until it is whole.
        trainings: Those that an earlier run kept.
        line: The command, as it was typed.

    Raises:
        XScaleError: If something cannot be used; nothing is trained and nothing written then.
    """
    data = _open(options)
    found = segment(
        names,
        data,
        made / 'models',
        tuning,
        scales=settings.scales,
        draws=settings.draws,
        sensor=options.sensor,
        store=trainings,
    )
    results: dict[str, Any] = {
        'command': line,
        'versions': versions() | libraries(),
        'settings': plain_settings(settings, [SEGMENT]) | _plain(tuning),
        'data': _described(found),
        'models': found.models,
        'comparisons': found.comparisons,
    }
    first = data.splits['test'][0].image
    path = Path(first.path)
    # Maps are made of rasters that lie somewhere; of a folder of PNG or HDF5 there are none.
    placed = path.suffix.lower() in DRIVERS and first.whole.outline is not None
    images = str(path.parent) if placed else 'GEOTIFFS'
    for *_, one in ways(results):
        if 'training' in one:
            kept, maps = str(out / one['training']['checkpoint']), f'{out}-maps'
            predict = ['xscale', 'predict', kept, images, '--out', maps]
            one['training']['predict'] = shlex.join(predict)
    pictures = _draw(found, made / 'figures')
    page = write_segment_report(results, pictures, made)
    written = publish(results, made, out)
    print(table(segment_summary(results)))
    print(f'{segment_verdict(results)}\nreport:  {out / page.name}\nresults: {written}')
    trained = [one['training'] for *_, one in ways(results) if 'training' in one]
    print(f'maps:    {trained[0]["predict"]}')
    return 0


def _open(options: argparse.Namespace) -> Masked:
    """Open images with masks, and say what they are."""
    named = options.classes.split(',') if options.classes else []
    data = open_masked(
        options.models[-1],
        labels=options.polygons,
        attribute=options.attribute,
        splits=options.splits,
        classes=listed_classes(named, '--classes') or None,
        ignore=options.ignore,
        bands=tuple(split_bands(options.bands)),
        gsd=options.gsd,
        seed=options.seed,
    )
    sizes = ', '.join(f'{len(scenes)} {name}' for name, scenes in data.splits.items())
    shown = ', '.join(data.classes.names[:8]) + (' …' if len(data.classes.names) > 8 else '')
    print(f'{data.name}: classes {shown}; images: {sizes}; bands {", ".join(data.bands)}')
    for note in data.notes:
        print(f'  {note}')
    say_left_out(data.rejected)
    say_warnings(data.warnings)
    return data


def _plain(tuning: Tuning) -> dict[str, Any]:
    return {
        'epochs': tuning.epochs,
        'lr': tuning.lr,
        'decoder': tuning.decoder,
        'decoder_channels': tuning.decoder_channels,
    }


def _described(found: Segmentations) -> dict[str, Any]:
    """Say what the data are, as ``results.json`` holds it."""
    tiles, data = found.tiles, found.tiles.data
    names = data.classes.names
    return {
        'name': data.name,
        'classes': list(names),
        'bands': list(data.bands),
        'dtype': data.dtype,
        **{name: len(scenes) for name, scenes in data.splits.items()},
        'tile': tiles.side,
        'tiles': {'train': tiles.training, 'test': len(tiles.test)},
        'shares': {
            split: dict(zip(names, shares, strict=True)) for split, shares in tiles.shares.items()
        },
        'fingerprint': tiles.test.fingerprint,
        'gsd': tiles.gsd,
        'mean': tiles.mean.tolist(),
        'std': tiles.std.tolist(),
        'notes': list(data.notes),
        'warnings': [*data.warnings, *tiles.warnings],
        'rejected': [[one.path, one.reason] for one in data.rejected],
    }


def _draw(found: Segmentations, folder: Path) -> dict[str, dict[str, Path]]:
    """Draw what test images were segmented to."""
    bands, classes = found.tiles.data.bands, found.tiles.data.classes.names
    # One colour everywhere shows nothing.
    drawn = {key: maps for key, maps in found.maps.items() if key[0] != MAJORITY}
    at_full = {key: maps[1.0] for key, maps in drawn.items()}
    paths = draw_overlays(found.shown, at_full, bands, classes, folder)
    middle = len(found.shown['image']) // 2
    path = folder / 'at_scales.png'
    draw_at_scales(found.shown, drawn, middle, bands, classes, path)
    told = 'One of the test images at each scale, at native size, and what was made of it.'
    captions = [f'Test images and what was made of them ({n})' for n in range(1, len(paths) + 1)]
    return {'overlays': dict(zip(captions, paths, strict=True)), 'scales': {told: path}}
