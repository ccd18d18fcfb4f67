"""``xscale pretrain --resume RUN``: go on with a run that was broken off."""

import argparse
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from ..datasets.paths import as_paths
from ..errors import CheckpointError, ConfigError, MissingPathError
from ..models.checkpoint import CONTRACT
from ..models.convert import read_checkpoint
from ..tasks.storage import whole
from .configuration import (
    check_counts,
    processes,
    saved_every,
    set_length,
    set_rhythm,
    set_validation,
)
from .pretrain import train

#: Flags that may stand beside ``--resume``; everything else is the run's own.
ALLOWED = {'resume', 'max_steps', 'epochs', 'num_workers', 'save_every'}

#: Entry of a checkpoint in which the data module says where the training stands.
DATA = 'CrossScaleDataModule'


def resume(options: argparse.Namespace, given: Mapping[str, Any]) -> int:
    """Go on with a run: with the same batches, masks and crops it would have had.

    Args:
        options: What the command line was given.
        given: The flags that were really written, with their values.

    Raises:
        XScaleError: If there is no such run, or nothing left to do.
    """
    if other := sorted(set(given) - ALLOWED - {'command'}):
        flags = ', '.join('DIR' if name == 'paths' else _flag(name) for name in other)
        allowed = ', '.join(map(_flag, sorted(ALLOWED - {'resume'})))
        raise ConfigError(
            f'--resume goes on with the settings of the run; leave out {flags} '
            f'(what may be given: {allowed})'
        )
    check_counts(options, ('max_steps', 'epochs', 'save_every'))
    folder = _folder(Path(options.resume))
    config = _configuration(folder)
    checkpoint = read_checkpoint(folder / 'last.ckpt')
    if CONTRACT not in checkpoint or DATA not in checkpoint:
        raise CheckpointError(f'{folder / "last.ckpt"} is no checkpoint of xscale pretrain')
    _move(config['trainer'], folder)
    config['trainer'].update(processes())
    set_length(config['trainer'], options)
    if 'num_workers' in given:
        config['data']['init_args']['num_workers'] = options.num_workers
    if 'save_every' in given:
        set_rhythm(config, options.save_every)
    elif options.max_steps or options.epochs:
        # A short run was validated at its end; a longer one is as often as it is saved.
        set_validation(config, saved_every(config['trainer'], options.save_every))
    _check(config, checkpoint, folder)
    if int(os.environ.get('LOCAL_RANK', 0)) == 0:
        with whole(folder / 'config.yaml') as file:
            file.write(yaml.safe_dump(config, sort_keys=False).encode())
    print(f'going on with {folder} at step {checkpoint["global_step"]}')
    # The checkpoint holds the weights; those the run started from need not be there any more.
    init = config['model']['init_args']
    init.update(weights=None, options=checkpoint['hyper_parameters']['options'])
    del checkpoint
    return train(config, folder, folder / 'last.ckpt')


def _flag(name: str) -> str:
    return f'--{name.replace("_", "-")}'


def _folder(run: Path) -> Path:
    """Find the folder of a run, of which its checkpoint may have been named."""
    if not run.exists():
        raise MissingPathError(run)
    if run.is_file() and run.name != 'last.ckpt':
        raise ConfigError(f'--resume {run}: a run folder is needed, or the last.ckpt in it')
    folder = run.parent if run.is_file() else run
    if not (folder / 'last.ckpt').is_file():
        raise ConfigError(
            f'{folder} holds no checkpoint (last.ckpt) to go on from; a run that ended before its '
            'first one is started again with the command that started it'
        )
    return folder


def _configuration(folder: Path) -> dict[str, Any]:
    """Read what the run was configured with."""
    path = folder / 'config.yaml'
    if not path.is_file():
        raise ConfigError(f'{folder} holds no config.yaml, so how it was trained is unknown')
    try:
        config = yaml.safe_load(path.read_text())
        root, data = config['trainer']['default_root_dir'], config['data']['init_args']
    except (yaml.YAMLError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise ConfigError(f'{path} is no configuration of a run: {error!r}') from error
    if root is None:
        raise ConfigError(
            f'{folder} is a run of xscale fit; go on with: '
            f'xscale fit -c {path} --ckpt_path {folder / "last.ckpt"}'
        )
    for source in as_paths(data['paths']):
        if isinstance(source, Path) and not source.exists():
            raise ConfigError(
                f'{source}, which the run was trained on, does not exist (looked from '
                f'{Path.cwd()}); bring it back, or correct paths in {path}'
            )
    return config


def _move(trainer: dict[str, Any], folder: Path) -> None:
    """Let the run log where it is now: its folder may have been moved."""
    before = trainer['default_root_dir']
    for logger in trainer['logger']:
        inside = os.path.relpath(logger['init_args']['save_dir'], before)
        logger['init_args']['save_dir'] = str(folder / inside)
    trainer['default_root_dir'] = str(folder)


def _check(config: Mapping[str, Any], checkpoint: Mapping[str, Any], folder: Path) -> None:
    """Refuse to go on with a run that has reached its end."""
    steps, epochs = (config['trainer'][name] for name in ('max_steps', 'max_epochs'))
    done, epoch = checkpoint['global_step'], checkpoint[DATA]['epoch']
    if 0 <= steps <= done:
        raise ConfigError(
            f'{folder} has done {done} of {steps} steps: nothing is left to do; to train on, give '
            'a larger --max-steps'
        )
    if epochs is not None and 0 <= epochs <= epoch:
        raise ConfigError(
            f'{folder} has done {epoch} of {epochs} epochs: nothing is left to do; to train on, '
            'give more --epochs, or --max-steps'
        )
