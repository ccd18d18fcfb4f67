"""What a run leaves behind to look at: pictures, a curve of the losses."""

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from ..objectives.masked import MaskedObjective
from ..types import Sample
from .pictures import draw_losses, draw_reconstructions
from .pretraining import Pretraining
from .storage import whole


def run_folder(trainer: Trainer) -> Path:
    """Return the folder of a run: its first logger's, else the trainer's default.

    Every process has to ask, for the first one tells the others.

    Args:
        trainer: The trainer.
    """
    return Path(trainer.log_dir or trainer.default_root_dir)


def due(trainer: Trainer, every_n_steps: int) -> bool:
    """Tell whether this batch ended a step whose turn it is.

    Args:
        trainer: The trainer, at the end of a batch.
        every_n_steps: Optimizer steps from one turn to the next.
    """
    ended = not trainer.fit_loop._should_accumulate()
    return ended and trainer.global_step % every_n_steps == 0


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
        if due(trainer, self.every_n_steps):
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
            draw_losses(read_curves(table), folder / 'loss.png')


def read_curves(table: Path) -> dict[str, list[tuple[int, float]]]:
    """Read the training curves and that of nearest neighbours out of a metrics file.

    Args:
        table: The file.

    Returns:
        (step, value) of each, by name.
    """
    curves: dict[str, list[tuple[int, float]]] = {}
    with table.open(newline='') as file:
        for row in csv.DictReader(file):
            for name, value in row.items():
                if (name.startswith('train_') or name == 'val_knn') and value:
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
        if self._batch is None and not trainer.fast_dev_run:
            kept = run_folder(trainer) / 'pictures' / 'tiles.pt'
            if trainer.ckpt_path and kept.exists():
                self._batch = torch.load(kept, map_location=pl_module.device, weights_only=True)
                return
            chosen = _spread(batch, self.samples)
            self._batch = {key: value[chosen].clone() for key, value in batch.items()}
            if trainer.is_global_zero:
                # A run that goes on shows the same tiles.
                with whole(kept) as file:
                    torch.save(self._batch, file)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Draw every so many steps."""
        if due(trainer, self.every_n_steps):
            self._draw(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw at the end."""
        self._draw(trainer, pl_module)

    def _draw(self, trainer: Trainer, task: LightningModule) -> None:
        step, folder = trainer.global_step, run_folder(trainer) / 'pictures'
        if not trainer.is_global_zero or self._batch is None or step == self._drawn:
            return
        if not isinstance(task, Pretraining) or not isinstance(task.objective, MaskedObjective):
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
