"""What reports of ``xscale evaluate`` share: their protocols, settings and table."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ..datasets.find import Rejected
from ..errors import ConfigError, UnknownNameError
from ..evaluation.evaluate import PROTOCOLS, Settings
from ..evaluation.measure import Draws
from ..tuning import Tuning
from .arguments import split_numbers

#: The protocol that goes with masks, and the one that trains on labelled images.
SEGMENT, FINETUNE = 'segment', 'finetune'

#: What is measured of labelled images where nothing is asked for, and what can be asked for.
USUAL = (*PROTOCOLS, 'reconstruct')
OF_LABELS = (*USUAL, FINETUNE)
ALL = (*OF_LABELS, SEGMENT)


def choose_protocols(options: argparse.Namespace, masked: bool) -> tuple[str, ...]:
    """Return what is to be measured.

    Args:
        options: What the command line was given.
        masked: Whether the data are images with masks or polygons.

    Raises:
        UnknownNameError: If there is no such protocol.
        ConfigError: If it does not go with the data.
    """
    usual = (SEGMENT,) if masked else USUAL
    asked = [name.strip() for name in (options.protocol or ','.join(usual)).split(',')]
    for name in asked:
        if name not in ALL:
            raise UnknownNameError('protocol', name, ALL)
    source, labelled = options.models[-1], ', '.join(OF_LABELS)
    others = [name for name in asked if name != SEGMENT]
    if masked and others:
        raise ConfigError(
            f'--protocol {",".join(others)} needs one label an image, and {source} holds images '
            f'with a class for each pixel; with these goes {SEGMENT} alone ({labelled} go with '
            'folders of classes)'
        )
    if not masked and SEGMENT in asked:
        raise ConfigError(
            f'--protocol {SEGMENT} needs a class for each pixel, and {source} is no folder of '
            'images with masks (DIR/{train,test}/{images,masks}/NAME.*, or DIR/{images,masks} with '
            f'split.csv) or with --polygons FILE; with labelled images go {labelled}'
        )
    return tuple(name for name in ALL if name in asked)


def read_settings(options: argparse.Namespace, asked: Sequence[str]) -> Settings:
    """Turn flags into settings.

    Args:
        options: What the command line was given.
        asked: The protocols.

    Raises:
        ConfigError: If a number is out of range.
    """
    for name in ('batch_size', 'size', 'seeds', 'bootstrap', 'epochs'):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise ConfigError(f'--{name.replace("_", "-")} {value}: 1 or more is needed')
    if options.seed < 0 or options.num_workers < 0:
        raise ConfigError('--seed and --num-workers: 0 or a number above is needed')
    return Settings(
        protocols=tuple(name for name in PROTOCOLS if name in asked),
        scales=_percents('scales', options.scales),
        labels=_percents('labels', options.labels),
        side=options.size,
        draws=Draws(options.bootstrap, options.seed, options.seeds),
        batch_size=options.batch_size or 64,
        workers=options.num_workers,
        device=options.device or ('cuda' if torch.cuda.is_available() else 'cpu'),
    )


def read_tuning(options: argparse.Namespace, settings: Settings) -> Tuning:
    """Turn flags into how encoders are trained.

    Args:
        options: What the command line was given.
        settings: Those of the evaluation.

    Raises:
        ConfigError: If a number is out of range.
    """
    return Tuning(
        epochs=options.epochs,
        lr=options.lr,
        decoder=options.decoder,
        decoder_channels=options.decoder_channels,
        tile=options.tile,
        batch_size=options.batch_size,
        workers=settings.workers,
        device=settings.device,
        seed=settings.draws.seed,
    )


def _percents(flag: str, text: str) -> tuple[float, ...]:
    values = split_numbers(flag, text) or []
    if not values or not all(0 < value <= 100 for value in values):
        raise ConfigError(f'--{flag} {text}: percents above 0, up to 100, with commas between')
    return tuple(sorted({value / 100 for value in values}))


def say_left_out(rejected: Sequence[Rejected]) -> None:
    """Name the first images that are left out.

    Args:
        rejected: All of them.
    """
    for one in rejected[:10]:
        print(f'  left out: {one.path}: {one.reason}')
    if len(rejected) > 10:
        print(f'  … and {len(rejected) - 10} more left out')


def say_warnings(warnings: Sequence[str]) -> None:
    """Say what makes scores doubtful.

    Args:
        warnings: A line each.
    """
    for warning in warnings:
        print(f'warning: {warning}', file=sys.stderr)


def table(made: Mapping[str, Any]) -> str:
    """Lay out a summary as text, in columns.

    Args:
        made: Its ``heads`` and ``rows``.
    """
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


def libraries() -> dict[str, str]:
    """Return the versions of libraries that numbers may depend on."""
    from importlib.metadata import version

    return {name: version(name) for name in ('torchgeo', 'timm', 'lightly', 'scikit-learn')}


def plain_settings(settings: Settings, asked: Sequence[str]) -> dict[str, Any]:
    """Return settings as ``results.json`` holds them.

    Args:
        settings: Those of the evaluation.
        asked: The protocols.
    """
    return {
        'protocols': list(asked),
        'scales': list(settings.scales),
        'labels': list(settings.labels),
        'side': settings.side,
        'seed': settings.draws.seed,
        'probes': settings.draws.probes,
        'bootstrap': settings.draws.samples,
        'device': settings.device,
    }
