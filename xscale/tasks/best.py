"""How low a loss has come, and at which checkpoint."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from lightning.pytorch import Trainer
from torch import Tensor


@dataclass
class Best:
    """The lowest validation loss, or mean training loss between two checkpoints.

    Attributes:
        loss: Its name.
        value: The lowest.
        step: Step of the checkpoint that has it.
        total: Sum of the training losses since the last checkpoint.
        count: How many these are.
    """

    loss: str = 'train_loss'
    value: float = math.inf
    step: int = -1
    total: float | Tensor = 0.0
    count: int = 0

    def add(self, outputs: Any, accumulate: int = 1) -> None:
        """Take in the loss of a batch.

        Args:
            outputs: What Lightning tells callbacks of a batch.
            accumulate: Batches of an optimizer step, by which it has divided the loss.
        """
        loss = outputs.get('loss') if isinstance(outputs, dict) else outputs
        if isinstance(loss, Tensor):
            # Summed on the device, so that nothing waits for it.
            self.total = loss.detach().float() * accumulate + self.total
            self.count += 1

    def improves(self, trainer: Trainer) -> bool:
        """Compare what was taken in with the best, and keep it if it is lower.

        Args:
            trainer: The trainer; each process has to ask.
        """
        name = 'val_loss' if sum(trainer.num_val_batches) else 'train_loss'
        if name == 'val_loss':
            now = trainer.callback_metrics.get(name)
        else:
            now = self.total / self.count if self.count else None
        self.total, self.count = 0.0, 0
        if now is None:
            return False
        tensor = torch.as_tensor(now, device=trainer.strategy.root_device)
        value = float(trainer.strategy.reduce(tensor, reduce_op='mean'))
        if math.isnan(value) or (name == self.loss and value >= self.value):
            return False
        self.loss, self.value, self.step = name, value, trainer.global_step
        return True

    def state(self) -> dict[str, Any]:
        """Return plain values that a checkpoint may hold."""
        return {**vars(self), 'total': float(self.total)}

    def __str__(self) -> str:
        """Say what is best."""
        return f'{self.loss} {self.value:.4g} at step {self.step}'
