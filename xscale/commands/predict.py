"""``xscale predict``: maps of rasters by a model that was trained to segment."""

import argparse
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import torch
from rasterio.errors import RasterioError
from tqdm import tqdm

from .. import __version__, tasks
from ..datasets.catalogue import catalogue
from ..datasets.files import COLUMNS, Row
from ..datasets.index import TO_CHOOSE, Index, index_of
from ..datasets.paths import as_paths
from ..datasets.remote import shown
from ..datasets.rules import load_rules
from ..encoders.base import digest
from ..errors import ConfigError, InputSizeError, Stopped, XScaleError
from ..inference import (
    ClassLayer,
    Layer,
    Mapper,
    ProbabilityLayer,
    Settings,
    map_grid,
    map_paths,
    map_tags,
    tags_of,
)
from ..inference.names import PROBABILITIES
from ..inference.sinks import GSD, MODEL
from .arguments import split_bands
from .doubts import warn_of_gsd, warn_of_units
from .precision import autocast_dtype


@dataclass(frozen=True)
class Job:
    """A map to be made.

    Attributes:
        row: The raster's row of the index.
        target: Where the map goes.
        tags: What it is.
        windows: How many windows it takes.
    """

    row: Row
    target: Path
    tags: dict[str, str]
    windows: int

    @property
    def name(self) -> str:
        """The raster's path for people."""
        return shown(self.row['filepath'])


def predict(options: argparse.Namespace) -> int:
    """Predict rasters, and say where the maps are.

    Args:
        options: What the command line was given.

    Returns:
        0, or 2 where a raster has no map.

    Raises:
        XScaleError: If the checkpoint or the flags cannot be used, or none of the rasters can.
    """
    out = Path(options.out)
    if out.exists() and not out.is_dir():
        raise ConfigError(f'--out {out} is a file; a folder is needed')
    device = options.device or ('cuda' if torch.cuda.is_available() else 'cpu')
    predictor = tasks.load_predictor(options.checkpoint).to(device)
    settings = read_settings(options, predictor, device)
    layer = choose_layer(predictor.classes, options.probabilities)
    mapper = Mapper(predictor, len(predictor.classes), layer, settings)
    mapper.check(len(predictor.bands))
    index = find_rasters(options, predictor.bands)
    failed = {one.path: one.reason for one in index.rejected}
    for path, why in failed.items():
        _complain(path, why)
    fingerprint = digest(predictor.state_dict())[:32]
    jobs, unfit = plan_jobs(index, options, mapper, predictor.classes, fingerprint)
    failed |= unfit
    warn_of_units(index.sensors, predictor)
    warn_of_gsd([job.row for job in jobs], settings.gsd, predictor.gsd)
    with _stoppable():
        failed |= run(jobs, mapper)
    return 2 if failed else 0


def read_settings(options: argparse.Namespace, predictor: Any, device: str) -> Settings:
    """Turn flags into settings.

    Args:
        options: What the command line was given.
        predictor: The model, for the sizes it takes.
        device: Where it is.

    Raises:
        ConfigError: If a number is out of range.
        UnknownNameError: If there is no such precision.
        InputSizeError: If the model does not take windows of that size.
    """
    size, share = options.size or predictor.size, options.overlap
    if options.batch_size < 1 or size < 1:
        raise ConfigError('--batch-size and --size: 1 or more is needed')
    if size % predictor.patch:
        raise InputSizeError((size, size), predictor.patch)
    if not 0 <= share <= 0.9:
        raise ConfigError(f'--overlap {share:g}: a share of the window is needed, 0 to 0.9')
    if options.gsd is not None and not 0 < options.gsd < float('inf'):
        raise ConfigError(f'--gsd {options.gsd:g}: metres per pixel above 0 are needed')
    overlap = min(round(size * share), size - 1)
    dtype = autocast_dtype(options.precision)
    return Settings(size, overlap, options.batch_size, options.gsd, device, dtype)


def choose_layer(classes: Sequence[str], probabilities: str | None) -> Layer:
    """Choose what a map says of each pixel.

    Args:
        classes: Names of the model's classes.
        probabilities: 'uint8' or 'float32' for probabilities; None for the most likely class.

    Raises:
        ConfigError: If a map cannot hold so many classes.
    """
    if probabilities is None:
        return ClassLayer(classes)
    return ProbabilityLayer(classes, 'float32' if probabilities == 'float32' else 'uint8')


def find_rasters(options: argparse.Namespace, bands: Sequence[str]) -> Index:
    """Find the rasters that hold a model's bands; maps of earlier runs are none.

    Args:
        options: What the command line was given.
        bands: Bands of the model, unless others are asked for in their place.

    Raises:
        ConfigError: If others are asked for, and not as many, or rasters lie where maps go.
        NoRastersError: If no raster can be used.
    """
    asked = split_bands(options.bands) or list(bands)
    if len(asked) != len(bands):
        raise ConfigError(
            f'--bands {options.bands}: one for each band of the model is needed, in its order: '
            f'{", ".join(bands)}'
        )
    rules = load_rules(options.rules) if options.rules else ()
    made = os.path.join(os.path.abspath(options.out), '')
    for path in options.paths:
        if os.path.exists(path) and os.path.join(os.path.abspath(path), '').startswith(made):
            raise ConfigError(
                f'{path} lies in --out {options.out}, and what lies there is taken for maps; '
                'choose another folder for the maps'
            )
    table = catalogue(options.paths, rules, columns=(*COLUMNS, *TO_CHOOSE))
    table = table.filter(pc.invert(pc.starts_with(table['filepath'], made)))
    return index_of(table, as_paths(options.paths), asked, rules)


def plan_jobs(
    index: Index,
    options: argparse.Namespace,
    mapper: Mapper,
    classes: Sequence[str],
    fingerprint: str,
) -> tuple[list[Job], dict[str, str]]:
    """Plan the maps that are not there yet.

    Args:
        index: The rasters.
        options: What the command line was given.
        mapper: What makes them.
        classes: Names of the model's classes.
        fingerprint: Of the model.

    Returns:
        The maps to be made, and rasters that have none with the reason.
    """
    files = [index.files.filepath(number) for number in range(len(index.files))]
    ending = PROBABILITIES if options.probabilities else ''
    targets = map_paths(files, options.paths, Path(options.out), ending)
    jobs, failed = [], {}
    for row, target in zip(index.files, targets, strict=True):
        path = shown(row['filepath'])
        try:
            windows, gsd = len(mapper.plan(row)), map_grid(row, mapper.settings.gsd).gsd
        except XScaleError as error:
            failed[path] = str(error)
            _complain(path, str(error))
            continue
        tags = map_tags(classes, gsd, os.path.basename(path), fingerprint, __version__)
        if target.exists() and not options.overwrite:
            _say_kept(target, tags)
        else:
            jobs.append(Job(row, target, tags, windows))
    return jobs, failed


def run(jobs: Sequence[Job], mapper: Mapper) -> dict[str, str]:
    """Make maps; one that fails does not keep the others from being made.

    Args:
        jobs: The maps.
        mapper: What makes them.

    Returns:
        Rasters without a map, with the reason.
    """
    failed = {}
    total = sum(job.windows for job in jobs)
    with tqdm(total=total, unit='window', file=sys.stderr, delay=0.5) as bar:
        for job in jobs:
            bar.set_description(os.path.basename(job.name))
            before = bar.n
            try:
                mapper.write(job.row, job.target, job.tags, bar.update)
            except (XScaleError, RasterioError, OSError) as error:
                failed[job.name] = str(error)
                bar.write(f'xscale: {job.name}: {error}', file=sys.stderr)
                bar.update(before + job.windows - bar.n)
            else:
                bar.write(f'written: {job.target}', file=sys.stdout)
    return failed


@contextmanager
def _stoppable() -> Iterator[None]:
    """Let SIGTERM end what is being done as Ctrl-C does, so that no half map is left behind."""

    def stop(number: int, frame: object) -> None:
        raise Stopped(number)

    # Python lets no other thread set handlers.
    alone = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, stop) if alone else None
    try:
        yield
    finally:
        if alone:
            signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def _complain(path: str, why: str) -> None:
    print(f'xscale: {path}: {why}', file=sys.stderr)


def _say_kept(target: Path, tags: Mapping[str, str]) -> None:
    """Say that a map is there already, and whether it is the one that was asked for."""
    there = tags_of(target)
    if there.get(MODEL) != tags[MODEL]:
        what = 'which this model did not make; --overwrite replaces it'
    elif there.get(GSD) != tags[GSD]:
        what = f'at {there.get(GSD)} m and not {tags[GSD]} m; --overwrite replaces it'
    else:
        what = ''
    print(f'kept: {target}' + (f', {what}' if what else ''))
