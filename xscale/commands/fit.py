"""Lightning's command line over TorchGeo's tasks and data modules, and ours."""

import logging
import os
import warnings
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import LearningRateMonitor, ProgressBar
from lightning.pytorch.cli import LightningCLI
from torchgeo.datamodules import BaseDataModule
from torchgeo.tasks import BaseTask

from .. import __version__
from ..errors import MissingPathError
from ..recipes import find_recipe


def fit(args: list[str]) -> int:
    """Run Lightning's command line; recipes that ship with us are found by their name.

    Args:
        args: Such as ``['fit', '-c', 'tasks/pretrain/mae.yaml', '-c', 'datasets/folder.yaml']``.
    """
    lightning(_with_recipes(args))
    return 0


class CommandLine(LightningCLI):
    """Lightning's command line, in which a recipe's callbacks do not forbid to do without them.

    Lightning refuses a progress bar where there is to be none, and rates that no logger takes.
    """

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Build the trainer without such callbacks.

        Args:
            kwargs: Arguments that go before those of the configuration.
        """
        config = self.config_init if self.subcommand is None else self.config_init[self.subcommand]
        asked = {**config['trainer'], **kwargs}
        useless = {'enable_progress_bar': ProgressBar, 'logger': LearningRateMonitor}
        kinds = tuple(kind for name, kind in useless.items() if asked[name] is False)
        if kinds and isinstance(asked['callbacks'], list):
            kept = [one for one in asked['callbacks'] if not isinstance(one, kinds)]
            kwargs['callbacks'] = kept
        return super().instantiate_trainer(**kwargs)


def lightning(args: Any, **kwargs: Any) -> LightningCLI:
    """Build Lightning's command line.

    Args:
        args: Arguments, or a configuration as a dictionary.
        kwargs: For :class:`~lightning.pytorch.cli.LightningCLI`.
    """
    # Short class names in YAML are looked up among what is imported.

    import xscale.datamodules
    import xscale.tasks  # noqa: F401

    quiet()
    return CommandLine(
        model_class=BaseTask,
        datamodule_class=BaseDataModule,
        subclass_mode_model=True,
        subclass_mode_data=True,
        seed_everything_default=0,
        parser_kwargs={'version': __version__},
        save_config_kwargs={'overwrite': True},
        args=args,
        **kwargs,
    )


def quiet() -> None:
    """Silence what a user can do nothing about."""
    for name in ('lightning.pytorch', 'lightning.fabric'):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in (
        ".*LightningCLI's args parameter is intended to run from within Python.*",
        '.*does not have many workers.*',
        '.*isinstance.treespec, LeafSpec.*',
        '.*Total length of `list` across ranks is zero.*',
        '.*`weights_only` was not set.*',
        '.*The number of training batches.*is smaller than the logging interval.*',
        '.*directory.*exists and is not empty.*',
        '.*You defined a `validation_step` but have no `val_dataloader`.*',
    ):
        warnings.filterwarnings('ignore', message)


def _with_recipes(args: list[str]) -> list[str]:
    result = []
    for position, arg in enumerate(args):
        if position and args[position - 1] in ('-c', '--config'):
            arg = _config(arg)
        elif arg.startswith(('--config=', '-c=')):
            flag, _, path = arg.partition('=')
            arg = f'{flag}={_config(path)}'
        result.append(arg)
    return result


def _config(path: str) -> str:
    found = find_recipe(path)
    if not os.path.exists(found):
        raise MissingPathError(path)
    return found
