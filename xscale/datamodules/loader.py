"""A data loader that outlives its worker processes."""

import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import wait
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset
from torch.utils.data._utils import signal_handling

from ..errors import DeadWorkerError
from ..types import Sample

#: What it means when the system kills a process.
MEANING = {
    signal.SIGKILL: ', as the system does when memory runs out',
    signal.SIGBUS: ', as the system does when shared memory (/dev/shm) runs out',
}


def ignore_interrupts(worker: int) -> None:
    """Leave Ctrl-C, which a terminal sends to the workers too, to the training process.

    Args:
        worker: Number of the worker.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def interrupts_wait() -> Iterator[None]:
    """Hold Ctrl-C back; processes that are started meanwhile do not hear it at all."""
    if not hasattr(signal, 'pthread_sigmask'):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT,))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class TileLoader(DataLoader[Sample]):
    """Load batches; when a worker process dies, say so and go on with the batch that was due.

    The sampler draws a batch from its number alone, beginning with its ``start``, so starting
    again there loses, repeats and changes nothing. Workers stay for the next epoch. They start
    when the first batch is asked for, not with ``iter``: Lightning calls that before it tells the
    sampler the epoch.
    """

    def __init__(
        self, dataset: Dataset[Sample], *, limit: int = 3, num_workers: int = 0, **kwargs: Any
    ) -> None:
        """Make the loader.

        Args:
            dataset: What to read.
            limit: How often reading is started again in an epoch.
            num_workers: Processes that read ahead; 0 reads in this one.
            **kwargs: What else :class:`~torch.utils.data.DataLoader` takes; a ``sampler`` is
                needed.
        """
        own: dict[str, Any] = {
            'num_workers': num_workers,
            'persistent_workers': num_workers > 0,
            'worker_init_fn': ignore_interrupts,
            # Workers are given a seed, which is not to be drawn from the global generator.
            'generator': torch.Generator(),
        }
        super().__init__(dataset, **own, **kwargs)
        self.limit = limit

    def __iter__(self) -> Iterator[Sample]:  # type: ignore[override]
        """Yield the batches of an epoch.

        Raises:
            DeadWorkerError: If workers died more often than the limit.
        """
        if not self.num_workers:
            yield from super().__iter__()
            return
        due: int = self.sampler.start  # type: ignore[attr-defined]
        batches: Iterator[Sample] | None = None
        died: list[str] = []
        while True:
            try:
                if self._dead():
                    raise RuntimeError('a worker died while nobody waited for it')
                if batches is None:
                    batches = self._begin(due)
                batch = next(batches)
            except StopIteration:
                return
            # A worker that is gone is found when its turn comes, or when its tensors are fetched.
            except (RuntimeError, OSError, EOFError):
                dead = self._dead(patience=1.0)
                if not dead:
                    raise
                died.append(' and '.join(dead))
                self._bury(died, due)
                batches = None
                continue
            due += 1
            yield batch

    def _begin(self, batch: int) -> Iterator[Sample]:
        """Set the workers to work from some batch of the epoch on."""
        sampler: Any = self.sampler
        start, sampler.start = sampler.start, batch
        try:
            # One that reaches a worker before it ignores them would end it.
            with interrupts_wait():
                batches: Any = super().__iter__()
        finally:
            sampler.start = start
        if batches._worker_pids_set:
            # PyTorch watches workers by SIGCHLD, and raises in the middle of whatever the
            # training does when one dies; here the death can wait until a batch is asked for.
            signal_handling._remove_worker_pids(id(batches))
            batches._worker_pids_set = False
        return batches

    def _dead(self, patience: float = 0.0) -> list[str]:
        """Describe the workers that have died, waiting for a death some seconds at most."""
        workers: list[Any] = getattr(self._iterator, '_workers', [])
        if patience:
            gone = wait([worker.sentinel for worker in workers], patience)
            for worker in workers:
                if worker.sentinel in gone:
                    # It has let go of its files, and may take a moment more to be gone.
                    worker.join()
        return [
            f'data worker {worker.pid} died ({_how(worker.exitcode)})'
            for worker in workers
            if not worker.is_alive()
        ]

    def _bury(self, died: Sequence[str], due: int) -> None:
        """Say who died and clear away the other workers, which may have lost what they share."""
        self._iterator._shutdown_workers()  # type: ignore[union-attr]
        self._iterator = None
        if len(died) > self.limit:
            raise DeadWorkerError(died, self.limit)
        text = f'xscale: {died[-1]}; started again at batch {due}'
        print(text, file=sys.stderr, flush=True)


def _how(code: int | None) -> str:
    """Say how a process ended, from its exit code."""
    if code is None or code >= 0:
        return f'exit status {code}'
    number = signal.Signals(-code)
    return f'killed by {number.name}{MEANING.get(number, "")}'
