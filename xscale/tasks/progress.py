"""What a run says while it trains."""

import sys
import time
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar
from tqdm import tqdm

from ..types import Sample

#: Shorter names for the bar.
SHORT = {
    'reconstruction_fine': 'fine',
    'reconstruction_coarse': 'coarse',
    'cross_prediction': 'cross',
    'samples_per_s': 'samples/s',
}


class Throughput(Callback):
    """Log the samples trained on in a second and the share of the time spent waiting for them.

    ``samples_per_s`` is over all processes. ``data_wait``, 0 to 1, is of this one: the time from
    when all callbacks are done with a batch to the start of the next one, over the whole time.
    """

    def __init__(self) -> None:
        """Start without a time."""
        self._since: float | None = None
        self._samples = 0
        self._waited = 0.0

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Sample, batch_idx: int
    ) -> None:
        """Count the wait for the batch."""
        if self._since is not None and hasattr(pl_module, 'idle_since'):
            self._waited += time.perf_counter() - pl_module.idle_since

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Sample,
        batch_idx: int,
    ) -> None:
        """Count a batch; log at the trainer's interval."""
        if self._since is None:
            # The first batch pays for set-up; timing starts behind it.
            self._since = time.perf_counter()
            return
        self._samples += len(batch['image']) * trainer.world_size
        if trainer.global_step % trainer.log_every_n_steps == 0:
            now = time.perf_counter()
            rate, wait = (part / (now - self._since) for part in (self._samples, self._waited))
            pl_module.log('samples_per_s', rate, prog_bar=True, batch_size=1)
            if hasattr(pl_module, 'idle_since'):
                pl_module.log('data_wait', wait, batch_size=1)
            self._since, self._samples, self._waited = now, 0, 0.0


class Progress(ProgressBar):
    """One bar for the whole run, with the losses, the samples a second and the time left."""

    def __init__(self, title: str = 'training') -> None:
        """Start without a bar.

        Args:
            title: What stands before it.
        """
        super().__init__()
        self.title = title
        self._bar: Any = None
        self._enabled = True

    def disable(self) -> None:
        """Show nothing (Lightning calls this on all processes but the first)."""
        self._enabled = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the bar."""
        super().on_train_start(trainer, pl_module)
        if self._enabled:
            # A log file gets a line every few seconds, a terminal a moving bar.
            pause = 0.2 if sys.stderr.isatty() else 5.0
            total = int(trainer.estimated_stepping_batches)
            self._bar = tqdm(
                total=total,
                initial=trainer.global_step,
                unit='step',
                mininterval=pause,
                dynamic_ncols=True,
                desc=self.title,
            )

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Move the bar on."""
        if self._bar is not None:
            self._bar.set_postfix(self._losses(trainer), refresh=False)
            self._bar.update(trainer.global_step - self._bar.n)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close the bar."""
        self._close()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Close the bar, so that the message stands on its own line."""
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _losses(self, trainer: Trainer) -> dict[str, str]:
        metrics = trainer.progress_bar_metrics
        names = {name: name.removeprefix('train_') for name in metrics}
        order = sorted(metrics, key=lambda name: name != 'train_loss')
        return {SHORT.get(names[n], names[n]): f'{float(metrics[n]):.3g}' for n in order}
