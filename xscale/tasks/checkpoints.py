"""The checkpoints of a run, and how it is stopped."""

import math
import sys
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.plugins.io import TorchCheckpointIO

from ..errors import CheckpointNotWrittenError, ConfigError, Stopped, XScaleError
from .best import Best
from .callbacks import due, run_folder
from .loggers import rewind
from .loops import position, settle, start_epoch
from .signals import Signals
from .storage import WholeFiles, clear, free, place


class LastCheckpoint(Callback):
    """Write ``last.ckpt`` every so many steps, at the end, and when training is stopped.

    ``best.ckpt`` is the one with the lowest validation loss, where there is validation, else with
    the lowest mean training loss since the one before. Both are whole at any time.

    Lightning's ``fast_dev_run`` writes none.

    The first Ctrl-C, or SIGTERM, ends training after the running step. A checkpoint is written
    before the next step begins, when the last one has been logged, so that a run that goes on from
    it has lost nothing.

    Attributes:
        go_on: What to type to go on with the run.
    """

    def __init__(self, every_n_steps: int = 500) -> None:
        """Say how often.

        Args:
            every_n_steps: Optimizer steps between two checkpoints.
        """
        self.every_n_steps = every_n_steps
        self.go_on = ''
        self.best = Best()
        self._path, self._newest, self._saved = Path('last.ckpt'), '', -1
        self._due, self._step_ended, self._writing = False, True, False
        self._signals = Signals()

    @property
    def best_path(self) -> Path:
        """Where the best checkpoint is."""
        return self._path.with_name('best.ckpt')

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Find the run folder, and see to it that files in it are whole."""
        if stage != 'fit':
            return
        # Asked for once: on the way out not every process answers.
        self._path = run_folder(trainer) / 'last.ckpt'
        self.go_on = self.go_on or f'the same command and --ckpt_path {self._path}'
        if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
            trainer.strategy.checkpoint_io = WholeFiles()
        if trainer.is_global_zero:
            clear(self._path.parent)

    def state_dict(self) -> dict[str, Any]:
        """Return the best loss, which a run that goes on has to beat."""
        return {'best': self.best.state()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the best loss from a checkpoint."""
        self.best = Best(**state_dict['best'])

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Write down where the run stands."""
        if self._writing:
            accumulate = trainer.accumulate_grad_batches
            settle(checkpoint['loops']['fit_loop'], *position(trainer), accumulate)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuse to write over another run; go on where a checkpoint stands."""
        # Lightning does not know before that it goes on with one.
        if trainer.ckpt_path is None and self._path.exists() and not trainer.fast_dev_run:
            raise ConfigError(f'{self._path.parent} holds a run already; choose another folder')
        self._signals.listen(trainer)
        start_epoch(trainer)
        if trainer.is_global_zero:
            for logger in trainer.loggers:
                rewind(logger, trainer.global_step)
        if trainer.ckpt_path is not None:
            self._newest = f'{trainer.ckpt_path} of step {trainer.global_step}'
            self._keep_best(trainer)

    def _keep_best(self, trainer: Trainer) -> None:
        """Make good for a process that was killed between two files."""
        source = Path(str(trainer.ckpt_path))
        is_best = self.best.step == trainer.global_step and source.is_file()
        if is_best and trainer.is_global_zero:
            place(source, self.best_path)
        if not trainer.strategy.broadcast(self.best_path.exists()):
            # Another folder than before, or no checkpoint that was compared yet.
            self.best = replace(self.best, value=math.inf, step=-1)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Save, and stop if a signal came, when the step before is done with and logged."""
        if not self._step_ended:
            return
        signum = self._signals.agreed(trainer)
        if self._due:
            self._save(trainer)
        if signum:
            self._stop(trainer, signum)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save every so many steps."""
        self.best.add(outputs, trainer.accumulate_grad_batches)
        self._step_ended = not trainer.fit_loop._should_accumulate()
        self._due = self._due or due(trainer, self.every_n_steps)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save when the validation loss is lower than ever."""
        if trainer.state.fn == 'fit' and not trainer.sanity_checking:
            self._due = self._due or copy(self.best).improves(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save at the end, and give the signals back."""
        if trainer.global_step != self._saved and (problem := self._save(trainer)):
            raise CheckpointNotWrittenError(problem, self._newest, self._advice())
        self._signals.leave()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Say what there is to go on from; after an error the last good checkpoint stays."""
        self._signals.leave()
        if isinstance(exception, Stopped | XScaleError) or not trainer.is_global_zero:
            return
        if self._newest:
            where = f'broken off in step {trainer.global_step}'
            print(f'{where}; checkpoint: {self._newest}; {self._advice()}', flush=True)

    def _stop(self, trainer: Trainer, signum: int) -> None:
        """Write a checkpoint and end training."""
        step = trainer.global_step
        if step != self._saved and (problem := self._save(trainer, compare=False)):
            raise CheckpointNotWrittenError(problem, self._newest, self._advice())
        if trainer.is_global_zero:
            print(f'stopped at step {step}; checkpoint: {self._path}; {self._advice()}', flush=True)
        raise Stopped(signum)

    def _advice(self) -> str:
        return f'go on with: {self.go_on}'

    def _save(self, trainer: Trainer, compare: bool = True) -> str:
        """Write the checkpoint, and say why where that is impossible; each process has to ask.

        Args:
            trainer: The trainer.
            compare: Whether it may be the best; not where a signal set the number of steps whose
                losses are averaged.

        Returns:
            What went wrong; empty if nothing did.
        """
        if trainer.fast_dev_run:
            return ''
        before, self._due, self._writing = copy(self.best), False, True
        better, problem = compare and self.best.improves(trainer), ''
        try:
            trainer.save_checkpoint(self._path)
        except OSError as error:
            # The process that writes is the only one that gets here; the others wait for it.
            trainer.strategy.barrier('not saved')
            problem = self._complain(trainer, self._path, error)
        finally:
            self._writing = False
        if problem := trainer.strategy.broadcast(problem):
            self.best = before
            return problem
        self._saved = trainer.global_step
        self._newest = f'{self._path} of step {self._saved}'
        if better and trainer.is_global_zero:
            try:
                place(self._path, self.best_path)
            except OSError as error:
                self._complain(trainer, self.best_path, error)
        return ''

    def _complain(self, trainer: Trainer, path: Path, error: OSError) -> str:
        """Say that a checkpoint could not be written; training goes on."""
        problem = f'{path} of step {trainer.global_step} not written: {error.strerror}'
        problem += f' ({free(path.parent)})'
        kept = f'{self._newest} is kept' if self._newest else 'there is none yet'
        print(f'\nxscale: {problem}; {kept}', file=sys.stderr, flush=True)
        return problem
