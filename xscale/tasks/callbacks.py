"""What a run leaves behind: a checkpoint, pictures, a curve of the losses."""

import csv
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from ..errors import ConfigError
from ..types import Sample
from .pictures import draw_losses, draw_reconstructions
from .pretraining import Pretraining


def run_folder(trainer: Trainer) -> Path:
    """Return the folder of a run: its first logger's, else the trainer's default.

    Every process has to ask, for the first one tells the others.

    Args:
        trainer: The trainer.
    """
    return Path(trainer.log_dir or trainer.default_root_dir)


def _due(trainer: Trainer, every_n_steps: int) -> bool:
    """Tell whether this batch ended a step whose turn it is."""
    ended = not trainer.fit_loop._should_accumulate()
    return ended and trainer.global_step % every_n_steps == 0


class LastCheckpoint(Callback):
    """Write ``last.ckpt`` every so many steps, at the end, and when training is broken off.

    It is written beside and then moved into place, so there is always a whole one.
    """

    def __init__(self, every_n_steps: int = 500) -> None:
        """Say how often.

        Args:
            every_n_steps: Optimizer steps between two checkpoints.
        """
        self.every_n_steps = every_n_steps
        self._path = Path('last.ckpt')
        self._saved = -1

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse to write over another run."""
        # Asked for once: on the way out not every process answers.
        self._path = run_folder(trainer) / 'last.ckpt'
        if stage == 'fit' and trainer.ckpt_path is None and self._path.exists():
            raise ConfigError(f'{self._path.parent} holds a run already; choose another folder')

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save every so many steps."""
        if _due(trainer, self.every_n_steps) and trainer.global_step != self._saved:
            self.save(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save at the end."""
        if trainer.global_step != self._saved:
            self.save(trainer)

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Save when the user breaks off; after an error the last good checkpoint stays."""
        if not isinstance(exception, KeyboardInterrupt):
            return
        if trainer.global_step > 0:
            self.save(trainer)
        if trainer.is_global_zero:
            kept = f'checkpoint: {self._path}' if self._path.exists() else 'before the first step'
            print(f'stopped at step {trainer.global_step}; {kept}')

    def save(self, trainer: Trainer) -> None:
        """Write the checkpoint.

        Args:
            trainer: The trainer.
        """
        part = self._path.with_suffix('.part')
        trainer.save_checkpoint(part)
        if trainer.is_global_zero:
            os.replace(part, self._path)
        self._saved = trainer.global_step


class LossPlot(Callback):
    """Draw ``loss.png`` from the run's ``metrics.csv``, at checkpoints and at the end."""

    def __init__(self, every_n_steps: int = 500) -> None:
        """Say how often.

        Args:
            every_n_steps: Optimizer steps between two drawings.
        """
        self.every_n_steps = every_n_steps

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Draw every so many steps."""
        if _due(trainer, self.every_n_steps):
            self._draw(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw at the end."""
        self._draw(trainer)

    def _draw(self, trainer: Trainer) -> None:
        folder = run_folder(trainer)
        if not trainer.is_global_zero:
            return
        for logger in trainer.loggers:
            logger.save()
        table = folder / 'metrics.csv'
        if table.exists():
            draw_losses(_curves(table), folder / 'loss.png')


def _curves(table: Path) -> dict[str, list[tuple[int, float]]]:
    """Read the training curves out of a metrics file."""
    curves: dict[str, list[tuple[int, float]]] = {}
    with table.open(newline='') as file:
        for row in csv.DictReader(file):
            for name, value in row.items():
                if name.startswith('train_') and value:
                    point = int(row['step']), float(value)
                    curves.setdefault(name.removeprefix('train_'), []).append(point)
    return curves


class ReconstructionPictures(Callback):
    """Draw what the model makes of the same few tiles, again and again.

    One tile of each ground sample distance of the first batch is kept, up to ``samples``.
    """

    def __init__(self, every_n_steps: int = 500, samples: int = 4) -> None:
        """Say how often and how many.

        Args:
            every_n_steps: Optimizer steps between two pictures.
            samples: Tiles to show.
        """
        self.every_n_steps, self.samples = every_n_steps, samples
        self._batch: Sample | None = None
        self._drawn = -1

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Sample, batch_idx: int
    ) -> None:
        """Keep the tiles to show."""
        if self._batch is None:
            chosen = _spread(batch, self.samples)
            self._batch = {key: value[chosen].clone() for key, value in batch.items()}

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Draw every so many steps."""
        if _due(trainer, self.every_n_steps):
            self._draw(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw at the end."""
        self._draw(trainer, pl_module)

    def _draw(self, trainer: Trainer, task: LightningModule) -> None:
        step, folder = trainer.global_step, run_folder(trainer) / 'pictures'
        if not trainer.is_global_zero or self._batch is None or step == self._drawn:
            return
        if not isinstance(task, Pretraining) or not hasattr(task.objective, 'picture'):
            return
        self._drawn = step
        folder.mkdir(parents=True, exist_ok=True)
        training = task.training
        task.eval()
        with torch.no_grad():
            draw_reconstructions(task, self._batch, folder / f'step_{step:06d}.png')
        task.train(training)


def _spread(batch: Sample, count: int) -> Sequence[int]:
    """Choose tiles of a batch whose ground sample distances differ as much as they can."""
    total = len(batch['image'])
    if 'gsd' not in batch:
        return range(min(count, total))
    order = batch['gsd'].argsort().tolist()
    take = min(count, total)
    return [order[math.floor(i * (total - 1) / max(1, take - 1))] for i in range(take)]
