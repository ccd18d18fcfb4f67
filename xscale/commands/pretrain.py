"""``xscale pretrain``: a recipe, a folder and a few flags, run as one configuration."""

import argparse
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from ..models.build import torchgeo_loads
from .configuration import configuration
from .fit import lightning

#: Tells the processes of one run, which Lightning starts one by one, its folder.
RUN_FOLDER = 'XSCALE_RUN_FOLDER'


def pretrain(
    options: argparse.Namespace, objective: Mapping[str, Any] | None = None, **trainer: Any
) -> int:
    """Train on folders of GeoTIFFs.

    Args:
        options: What the command line was given.
        objective: Arguments of the objective that differ from its recipe.
        trainer: Arguments of the trainer, likewise.
    """
    out = run_folder(options.out, options.objective)
    config = configuration(options, out)
    config['model']['init_args']['options'] |= objective or {}
    config['trainer'] |= trainer
    return train(config, out)


def train(config: Mapping[str, Any], out: Path, checkpoint: Path | None = None) -> int:
    """Train as a configuration says, and say what came of it.

    Args:
        config: The configuration.
        out: Run folder.
        checkpoint: Where to go on from; the configuration is then in the run folder already.
    """
    # Imported late: the command line builds configurations without them.
    from ..tasks import LastCheckpoint, OnlineKNN

    saved: dict[str, Any] = {} if checkpoint is None else {'save_config_callback': None}
    cli = lightning(config, run=False, **saved)
    if cli.model.initial:
        print(cli.model.initial)
    print(f'{describe(cli.model)}; run folder: {out}')
    checkpoints = [c for c in cli.trainer.callbacks if isinstance(c, LastCheckpoint)]
    for callback in checkpoints:
        callback.go_on = f'xscale pretrain --resume {shlex.quote(str(out))}'
    cli.trainer.fit(cli.model, cli.datamodule, ckpt_path=checkpoint, weights_only=True)
    neighbours = [c for c in cli.trainer.callbacks if isinstance(c, OnlineKNN)]
    made_of = cli.model.hparams['options'] or {}
    plain = torchgeo_loads(cli.model.hparams)
    tasks = 'torchgeo.tasks.Classification' if plain else 'xscale.tasks'
    if plain and made_of.get('position') == 'gsd':
        tasks += ', which takes every pixel for 1 m'
    print(
        f'checkpoint: {out / "last.ckpt"}, for xscale.load and {tasks}\n'
        + ''.join(f'best:       {c.best_path} ({c.best})\n' for c in checkpoints)
        + ''.join(
            f'val_knn:    {c.score:.3f} on {c.data}\n' for c in neighbours if c.score is not None
        )
        + f'pictures:   {out / "pictures"}\nlosses:     {out / "loss.png"}, {out / "metrics.csv"}'
    )
    return 0


def run_folder(out: str | None, objective: str) -> Path:
    """Choose the run folder, and make sure that no finished run is written over.

    Args:
        out: What the user chose.
        objective: For the name of a new folder.

    Raises:
        ConfigError: If the folder holds a run.
    """
    if int(os.environ.get('LOCAL_RANK', 0)) > 0 and RUN_FOLDER in os.environ:
        return Path(os.environ[RUN_FOLDER])
    os.environ[RUN_FOLDER] = str(folder := _own_folder(out, objective))
    return folder


def _own_folder(out: str | None, objective: str) -> Path:
    if out is None:
        number = 1
        while Path('runs', f'{objective}-{number}').exists():
            number += 1
        return Path('runs', f'{objective}-{number}')
    if (Path(out) / 'last.ckpt').exists():
        raise ConfigError(
            f'{out} holds a run already (last.ckpt); choose another --out, or move it'
        )
    if Path(out).is_file():
        raise ConfigError(f'--out {out} is a file; a folder is needed')
    return Path(out)


def describe(task: Any) -> str:
    """Say what is trained in a line.

    Args:
        task: The pretraining task.
    """
    millions = [sum(p.numel() for p in m.parameters()) / 1e6 for m in (task.model, task.objective)]
    hparams = task.hparams
    return (
        f'{hparams["objective"]}: {hparams["model"]} ({millions[0]:.1f} M parameters, '
        f'{millions[1]:.1f} M with its decoder), views of {hparams["size"]} px'
    )
