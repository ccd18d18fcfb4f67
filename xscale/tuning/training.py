"""One training on labels, by Lightning."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningDataModule, Trainer

from ..tasks import Progress
from .kept import TrainingStore

#: Said of a training that was not repeated.
TAKEN = 'taken from an earlier run that did not end,'


@dataclass(frozen=True, slots=True)
class Trained:
    """What came of a training.

    Attributes:
        task: The task, in evaluation mode, where it was trained.
        seconds: How long it took.
        steps: Optimizer steps.
        loss: Of the last batch.
        kept: File of an earlier run that it was taken from; None where it was trained now.
    """

    task: Any
    seconds: float
    steps: int
    loss: float
    kept: Path | None = None

    def plain(self, epochs: int) -> dict[str, Any]:
        """Return what a report says of it.

        Args:
            epochs: Passes over the images.
        """
        learnt = sum(one.numel() for one in self.task.parameters() if one.requires_grad)
        return {
            'epochs': epochs,
            'steps': self.steps,
            'seconds': round(self.seconds, 1),
            'loss': self.loss,
            'trained_parameters': learnt,
        }


def build[Task](make: Callable[..., Task], seed: int, **settings: Any) -> Task:
    """Build a task that is the same each time, whoever drew what before.

    Args:
        make: The class of the task.
        seed: Of random weights, and of what the task draws.
        **settings: Of the task.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return make(**settings, seed=seed)


def train(
    task: Any,
    data: LightningDataModule,
    *,
    epochs: int,
    device: str,
    title: str,
    path: Path,
    store: TrainingStore | None = None,
) -> Trained:
    """Train a task to the end, and keep its weights.

    Args:
        task: The task.
        data: What it is trained on.
        epochs: Passes over the training images.
        device: Where, such as 'cpu' or 'cuda:1'.
        title: What stands before the progress bar.
        path: Where the checkpoint goes.
        store: Where it is kept in case the report it is for is not finished, and taken from if it
            is there; None to train anew and keep nothing.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = store.path(task, data, epochs, device) if store else None
    if store and kept and (found := store.find(kept)):
        print(f'{title}: {TAKEN} {kept}', flush=True)
        return _restored(task, found, kept, device, path)
    kind, _, number = device.partition(':')
    trainer = Trainer(
        max_epochs=epochs,
        accelerator='gpu' if kind == 'cuda' else kind,
        devices=[int(number)] if number else 1,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        limit_val_batches=0,
        callbacks=[Progress(title)],
    )
    start = time.perf_counter()
    trainer.fit(task, datamodule=data)
    seconds = time.perf_counter() - start
    trainer.save_checkpoint(path, weights_only=True)
    steps, loss = trainer.global_step, float(trainer.callback_metrics['train_loss'])
    if store and kept:
        content = torch.load(path, map_location='cpu', weights_only=True)
        store.keep(kept, content, seconds=seconds, steps=steps, loss=loss)
    print(f'{title}: {epochs} epochs, {steps} steps in {seconds:.0f} s', flush=True)
    return Trained(task.to(device).eval(), seconds, steps, loss)


def _restored(task: Any, found: dict[str, Any], kept: Path, device: str, path: Path) -> Trained:
    """Bring a task to what an earlier training made of it."""
    checkpoint = found.pop('checkpoint')
    task.on_load_checkpoint(checkpoint)
    task.load_state_dict(checkpoint['state_dict'])
    torch.save(checkpoint, path)
    return Trained(task.to(device).eval(), kept=kept, **found)
