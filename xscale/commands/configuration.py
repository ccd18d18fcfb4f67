"""A run of ``xscale pretrain`` as a configuration: a recipe, and flags written into it."""

import argparse
import math
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import yaml

from ..errors import ConfigError
from ..recipes import pretraining_recipe
from .arguments import split_bands, split_numbers
from .precision import resolve_precision

#: The callback of ``--knn``.
NEIGHBOURS = 'xscale.tasks.OnlineKNN'

#: Flags whose numbers are above 0.
_COUNTS = ('batch_size', 'size', 'max_steps', 'epochs', 'save_every', 'knn_every', 'lr')


def configuration(options: argparse.Namespace, out: Path) -> dict[str, Any]:
    """Write the flags into the objective's recipe.

    Args:
        options: What the command line was given.
        out: Run folder.
    """
    check_counts(options, _COUNTS)
    if options.seed < 0:
        raise ConfigError(f'--seed {options.seed}: 0 or a number above is needed')
    config = yaml.safe_load(pretraining_recipe(options.objective).read_text())
    model = config['model']['init_args']
    made_of = model.get('options') or {}
    # An objective that groups the bands of an image names them.
    bands = split_bands(options.bands) or list(made_of.get('bands') or ())
    if 'bands' in made_of:
        made_of['bands'] = bands
    given = {
        'model': options.model,
        'weights': options.init,
        'size': options.size,
        'seed': options.seed,
    }
    given.update(scale=options.scale and list(options.scale), lr=options.lr)
    model.update({key: value for key, value in given.items() if value is not None})
    layers = _layers(options)
    mixed = options.pairs and not bands and not layers
    if layers or mixed:
        groups = _count_groups(options, layers)
        model['in_channels'] = next(iter(groups.values()))
        model['groups'] = groups if len(groups) > 1 else None
    else:
        model['in_channels'] = len(bands) or _count_bands(options)
    if model['scale'][0] <= 0:
        raise ConfigError(f'--scale {model["scale"][0]}: a share of the area above 0 is needed')
    config['data'] = {
        'class_path': 'xscale.datamodules.CrossScaleDataModule',
        'init_args': {
            'paths': options.paths,
            'bands': bands,
            'rules': options.rules,
            'layers': layers,
            'mixed': mixed,
            'pairs': _pairs(options, _coarse_side(model)),
            'frames': made_of.get('frames', 1),
            'tile_size': _tile(model),
            'gsd': options.gsd and list(options.gsd),
            'max_nodata': options.max_nodata,
            'roi': options.roi,
            'batch_size': options.batch_size,
            'num_workers': _workers(options.num_workers),
            'seed': options.seed,
        },
    }
    data = config['data']['init_args']
    for name in ('balance', 'temperature', 'val_share'):
        if getattr(options, name) is not None:
            data[name] = getattr(options, name)
    data.update({name: split_numbers(name, getattr(options, name)) for name in ('mean', 'std')})
    config['seed_everything'] = options.seed
    _trainer(config['trainer'], options, out)
    set_rhythm(config, options.save_every)
    _add_neighbours(config['trainer']['callbacks'], options)
    return config


def check_counts(options: argparse.Namespace, names: Collection[str]) -> None:
    """Refuse numbers that are not above 0.

    Args:
        options: What the command line was given.
        names: The flags to look at.
    """
    for name in names:
        value = getattr(options, name)
        if value is not None and value <= 0:
            raise ConfigError(f'--{name.replace("_", "-")} {value}: a number above 0 is needed')


def _trainer(trainer: dict[str, Any], options: argparse.Namespace, out: Path) -> None:
    trainer['default_root_dir'] = str(out)
    trainer['precision'] = resolve_precision(options.precision)
    trainer.update(processes())
    set_length(trainer, options)
    for logger, folder in zip(trainer['logger'], (out, out / 'tensorboard'), strict=True):
        logger['init_args'] = {'save_dir': str(folder), 'name': '', 'version': ''}


def processes() -> dict[str, Any]:
    """Return what a trainer is told so that all processes that torchrun started train together."""
    world, local = (int(os.environ.get(name, 1)) for name in ('WORLD_SIZE', 'LOCAL_WORLD_SIZE'))
    if 'TORCHELASTIC_RUN_ID' not in os.environ or world == 1:
        return {}
    return {'devices': local, 'num_nodes': world // local, 'strategy': 'ddp'}


def _add_neighbours(callbacks: list[dict[str, Any]], options: argparse.Namespace) -> None:
    """Write nearest neighbours on labelled images into a configuration, where they are wanted."""
    if options.knn is None:
        if options.knn_every is not None:
            raise ConfigError('--knn-every says how often; it goes with --knn DATA')
        return
    every = options.knn_every or options.save_every
    # Before the others, which save and draw what it logs.
    callbacks.insert(
        0, {'class_path': NEIGHBOURS, 'init_args': {'data': options.knn, 'every_n_steps': every}}
    )


def set_length(trainer: dict[str, Any], options: argparse.Namespace) -> None:
    """Write into a configuration how long to train, where the command line says so.

    Args:
        trainer: The trainer's part; changed in place.
        options: What the command line was given.
    """
    if options.max_steps:
        trainer.update(max_steps=options.max_steps, max_epochs=-1)
        # A short run is still a curve.
        trainer['log_every_n_steps'] = min(10, max(1, options.max_steps // 50))
    elif options.epochs:
        trainer.update(max_steps=-1, max_epochs=options.epochs)


def set_rhythm(config: dict[str, Any], every_n_steps: int) -> None:
    """Write into a configuration how often to save, to draw and to validate.

    Args:
        config: The configuration; changed in place.
        every_n_steps: Steps from one checkpoint to the next.
    """
    before = saved_every(config['trainer'], every_n_steps)
    for callback in config['trainer']['callbacks']:
        args = callback.get('init_args', {})
        # One that was given a rhythm of its own keeps it.
        own = callback['class_path'] == NEIGHBOURS and args['every_n_steps'] != before
        if 'every_n_steps' in args and not own:
            args['every_n_steps'] = every_n_steps
    set_validation(config, every_n_steps)


def saved_every(trainer: Mapping[str, Any], default: int) -> int:
    """Return the steps from one checkpoint of a run to the next.

    Args:
        trainer: The trainer's part of a configuration.
        default: Where it does not say.
    """
    for callback in trainer['callbacks']:
        if callback['class_path'].endswith('LastCheckpoint'):
            return int(callback.get('init_args', {}).get('every_n_steps', default))
    return default


def set_validation(config: dict[str, Any], every_n_steps: int) -> None:
    """Write into a configuration how often to validate, if it keeps ground for that.

    Args:
        config: The configuration, its length set; changed in place.
        every_n_steps: Steps from one checkpoint to the next.
    """
    trainer = config['trainer']
    if config['data']['init_args'].get('val_share'):
        # A run shorter than that is validated at its end.
        steps = trainer.get('max_steps', -1)
        every = min(every_n_steps, steps) if steps > 0 else every_n_steps
        trainer.update(val_check_interval=every, check_val_every_n_epoch=None)
        trainer['num_sanity_val_steps'] = 0


def _tile(model: Mapping[str, Any]) -> int:
    """Return the side of a tile from which no view has to be upsampled, in pixels."""
    size = model['size'] * _zoom(model)
    if model.get('shared_crop'):
        # As released: the crop is enlarged from a tile of a view's size.
        return int(size)
    return math.ceil(size / math.sqrt(model['scale'][0]))


def _zoom(model: Mapping[str, Any]) -> int:
    """Return how many times finer than the encoder's input the objective wants a view."""
    from ..objectives import find_objective

    return find_objective(model['objective']).zoom


def _coarse_side(model: Mapping[str, Any]) -> int:
    """Return the pixels a side that a coarser raster shows of a tile's ground, at least."""
    # Where it shows the fine view's ground, that is cut out of the tile's.
    zoom = _zoom(model)
    return int(model['size']) if zoom == 1 else math.ceil(_tile(model) / zoom)


def _count_bands(options: argparse.Namespace) -> int:
    """Scan for the number of bands where none were asked for."""
    from ..datasets.index import scan
    from ..datasets.rules import load_rules

    rules = load_rules(options.rules) if options.rules else ()
    return len(scan(options.paths, rules=rules).sensors[0].bands)


def _layers(options: argparse.Namespace) -> dict[str, dict[str, Any]] | None:
    """Return the layers asked for, as the data module takes them."""
    if not options.layer:
        return None
    if options.paths or options.bands:
        raise ConfigError(
            'a layer names its own folder and bands; give no other DIR and no --bands'
        )
    layers: dict[str, dict[str, Any]] = {}
    for folder, bands in options.layer:
        name = Path(folder).name or folder
        while name in layers:
            name += "'"
        layers[name] = {'paths': folder, 'bands': split_bands(bands), 'rules': options.rules}
    return layers


def _pairs(options: argparse.Namespace, side: int) -> dict[str, Any] | bool:
    """Return how tiles are paired, as the data module takes it."""
    if options.pairs:
        return {'view': side, 'share': options.pair_share, 'max_days': options.max_days}
    for name in ('pair_share', 'max_days'):
        if getattr(options, name) is not None:
            raise ConfigError(f'--{name.replace("_", "-")} says how to pair; it goes with --pairs')
    return False


def _count_groups(
    options: argparse.Namespace, layers: Mapping[str, Mapping[str, Any]] | None
) -> dict[str, int]:
    """Scan for the groups of bands."""
    from ..datasets import Rasters

    if layers:
        dataset = Rasters.join({name: Rasters(**layer) for name, layer in layers.items()})
    else:
        dataset = Rasters(options.paths, rules=options.rules, mixed=True)
    return {name: len(bands) for name, bands in dataset.groups.items()}


def _workers(wanted: int | None) -> int:
    """Leave most cores to the model; with two or fewer, read in the training process."""
    cores = os.cpu_count() or 1
    return wanted if wanted is not None else (0 if cores <= 2 else min(8, cores // 2))
