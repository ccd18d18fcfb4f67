"""Stop a run before a number that is not finite reaches the weights."""

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer

from ..errors import NonFiniteError
from ..types import Sample
from .callbacks import run_folder


class FiniteCheck(Callback):
    """Check the terms and the gradient before each optimizer step, and log ``grad_norm``.

    That is after the backward pass: processes that train together hold the same gradient then, so
    all of them stop, and a GPU has got its work before it is waited for. Weights that are not
    finite all the same are not written to a checkpoint.
    """

    def __init__(self) -> None:
        """Start without a batch."""
        self._last = Path('last.ckpt')
        self._rows: Tensor | None = None
        self._seen: list[tuple[dict[str, Tensor], Tensor | None]] = []

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Ask for the run folder while every process answers."""
        self._last = run_folder(trainer) / 'last.ckpt'

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Sample, batch_idx: int
    ) -> None:
        """Keep which files the batch is of."""
        rows = [batch[key] for key in ('row', 'row_coarse') if key in batch]
        self._rows = torch.cat(rows) if rows else None

    def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the terms of every batch that goes into a step."""
        self._seen.append((pl_module.terms, self._rows))

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        """Stop if a term or the gradient is not finite.

        Raises:
            NonFiniteError: If so.
        """
        seen, self._seen = self._seen, []
        whole: dict[str, Tensor] = {}
        # Under 16-mixed the scaler looks at the gradient and skips the step by itself.
        if getattr(trainer.precision_plugin, 'scaler', None) is None:
            weights = [weight for group in optimizer.param_groups for weight in group['params']]
            norm = get_total_norm([w.grad for w in weights if w.grad is not None])
            whole['grad_norm'] = norm
            pl_module.log('grad_norm', norm, batch_size=1)
        values = [v.float() for terms in (*(t for t, _ in seen), whole) for v in terms.values()]
        if torch.stack(values).isfinite().all():
            return
        bad = [(terms, rows) for terms, rows in seen if _not_finite(terms)]
        found = [text for terms, _ in bad for text in _not_finite(terms)] + _not_finite(whole)
        # A gradient alone may come from any of the batches.
        rows = [rows for _, rows in bad or seen if rows is not None]
        files = trainer.datamodule.files(torch.cat(rows)) if rows else []
        raise NonFiniteError(trainer.global_step, found, files, self._kept(trainer))

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Refuse to write weights that are not finite.

        Raises:
            NonFiniteError: If there are any.
        """
        check_weights(pl_module, self._kept(trainer))

    def _kept(self, trainer: Trainer) -> str:
        """Return the last checkpoint there is; empty for none."""
        if self._last.exists():
            return str(self._last)
        return best_kept(trainer)


def check_weights(task: LightningModule, kept: str) -> None:
    """Refuse weights that are not finite.

    Args:
        task: What has them.
        kept: Path of the last checkpoint; empty where there is none.

    Raises:
        NonFiniteError: If there are any.
    """
    weights = [(name, weight.detach()) for name, weight in task.named_parameters()]
    found = [name for name, weight in weights if not weight.isfinite().all()]
    if found:
        more = f', and {len(found) - 1:,} more' if len(found) > 1 else ''
        told = f'{found[0]} is not finite{more}'
        raise NonFiniteError(task.trainer.global_step, [told], [], kept)


def check_loss(task: LightningModule) -> None:
    """Refuse a loss that is not finite.

    Args:
        task: What logged it as ``train_loss``.

    Raises:
        NonFiniteError: If it is not.
    """
    loss = task.trainer.callback_metrics.get('train_loss')
    if loss is not None and not loss.isfinite():
        told, step = f'train_loss is {float(loss)}', task.trainer.global_step
        raise NonFiniteError(step, [told], [], best_kept(task.trainer))


def best_kept(trainer: Trainer) -> str:
    """Return the best checkpoint of a run; empty for none.

    Args:
        trainer: The run's.
    """
    found = (getattr(c, 'best_model_path', '') for c in trainer.checkpoint_callbacks)
    return next(filter(None, found), '')


def _not_finite(values: dict[str, Tensor]) -> list[str]:
    return [f'{name} is {float(v)}' for name, v in values.items() if not v.isfinite()]
