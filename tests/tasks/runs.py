"""Runs small enough to be stopped, killed and compared again and again."""

import csv
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import yaml

from xscale.cli import main
from xscale.recipes import pretraining_recipe

from ..tiny import DECODER

FLAGS = ('--bands', 'red,green,blue', '--batch-size', '4', '--precision', '32-true')
#: Batches of an epoch of the small world.
EPOCH = 5


def write_recipe(path: Path, model: dict[str, Any], trainer: dict[str, Any]) -> Path:
    """Write a recipe with the smallest model and nothing but checkpoints."""
    config = yaml.safe_load(pretraining_recipe('cross_scale_mae').read_text())
    init = config['model']['init_args']
    init.update({'model': 'test_vit', 'size': 64} | model)
    init['options'] |= DECODER
    checkpoints = {'class_path': 'xscale.tasks.LastCheckpoint', 'init_args': {'every_n_steps': 500}}
    lean = {'callbacks': [checkpoints], 'enable_progress_bar': False, 'log_every_n_steps': 1}
    config['trainer'].update(lean | trainer)
    path.write_text(yaml.safe_dump(config))
    return path


def start(images: Path, out: Path, *flags: str) -> int:
    return main(['pretrain', str(images), *FLAGS, '--out', str(out), *flags])


def go_on(run: Path, *flags: str) -> int:
    return main(['pretrain', '--resume', str(run), *flags])


def interrupt(number: int = signal.SIGINT) -> None:
    os.kill(os.getpid(), number)


def rows(run: Path) -> list[dict[str, str]]:
    with (run / 'metrics.csv').open(newline='') as file:
        return list(csv.DictReader(file))


def losses(run: Path, name: str = 'train_loss') -> list[tuple[int, str]]:
    """Return a column of the table as it is written, with the steps."""
    return [(int(row['step']), row[name]) for row in rows(run) if row.get(name)]


def step_of(checkpoint: Path) -> int:
    return torch.load(checkpoint, weights_only=True)['global_step']


def fork(work: Callable[[], int]) -> int:
    """Start a copy of this process, with all that it has imported, and return its number."""
    process = os.fork()
    if process:
        return process
    status = 99
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (1, 2):
            os.dup2(nowhere, stream)
        status = work()
    finally:
        os._exit(status)


def forked(work: Callable[[], int]) -> int:
    """Run something in a copy of this process; return its exit status, or minus the signal."""
    return os.waitstatus_to_exitcode(os.waitpid(fork(work), 0)[1])
