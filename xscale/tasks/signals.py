"""Ctrl-C and SIGTERM: noted when they come, acted on between two steps."""

import os
import signal
import threading
from types import FrameType
from typing import Any

import torch
from lightning.pytorch import Trainer

STOPPING = b'\nstopping after this step; Ctrl-C again stops at once\n'


class Signals:
    """Note the first Ctrl-C or SIGTERM; a Ctrl-C after it stops at once."""

    def __init__(self) -> None:
        """Start without a signal, and leave Python's handlers alone."""
        self.received = 0
        self._loud = True
        self._before: dict[int, Any] = {}

    def listen(self, trainer: Trainer) -> None:
        """Take the signals over, in place of Lightning.

        Args:
            trainer: The trainer, which may have noted a SIGTERM already.
        """
        self.received = signal.SIGTERM if trainer.received_sigterm else 0
        self._loud = trainer.is_global_zero
        # Python lets no other thread set handlers; there the signals are the main thread's.
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)

    def leave(self) -> None:
        """Give the signals back to whom they belonged."""
        while self._before:
            number, handler = self._before.popitem()
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def agreed(self, trainer: Trainer) -> int:
        """Return the signal that came to any process, or 0; each process has to ask.

        Args:
            trainer: The trainer.
        """
        if trainer.world_size == 1:
            return self.received
        # Which process a signal reaches first differs, and all have to stop at the same step.
        number = torch.tensor(self.received, device=trainer.strategy.root_device)
        return int(trainer.strategy.reduce(number, reduce_op='max'))

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.received and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = number
        if self._loud:
            # Printing is not safe while something else may be printing.
            os.write(2, STOPPING)
