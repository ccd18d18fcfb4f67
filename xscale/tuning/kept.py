"""Trainings that came to their end, kept until the report they are for is whole."""

import hashlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ..encoders.base import digest
from ..models.checkpoint import versions
from ..tasks.storage import WholeFiles

#: Changes when trainings come out differently, or are kept differently.
VERSION = 1

#: What of a data module's settings decides nothing: what is in the data is said by their files.
IDLE = ('data', 'num_workers')


class TrainingStore:
    """Trainings kept as files, named by what they were made of.

    As a context it removes them once what they are for is done, and otherwise says that they stay.

    Attributes:
        folder: Where the files are.
        used: Those that were written or found since it was opened.
    """

    def __init__(self, folder: Path) -> None:
        """Open a store.

        Args:
            folder: Where the files are; it is made when the first is written.
        """
        self.folder, self.used = folder, list[Path]()

    def __enter__(self) -> 'TrainingStore':
        """Return itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Remove what was used; where something went wrong it stays, and that is said."""
        if kind is None:
            self.forget()
        elif self.used:
            print(
                f'\ntrainings that are done: {len(self.used)}, kept in {self.folder}; the same '
                'command goes on after them',
                file=sys.stderr,
            )

    def path(self, task: Any, data: Any, epochs: int, device: str) -> Path:
        """Say where a training is kept.

        Args:
            task: The task as it begins.
            data: Data module of what it is trained on, opened.
            epochs: Passes over the training images.
            device: Where it is trained.
        """
        made_of = {
            'version': VERSION,
            'versions': versions(),
            'task': type(task).__name__,
            'tensors': digest(task.state_dict()),
            'settings': dict(task.hparams),
            'contract': task.features.contract,
            'images': data.opened().fingerprint('train'),
            'batches': {key: one for key, one in data.hparams.items() if key not in IDLE},
            'epochs': epochs,
            'device': device.partition(':')[0],
        }
        text = json.dumps(made_of, sort_keys=True, default=_plain)
        return self.folder / f'{hashlib.sha256(text.encode()).hexdigest()[:32]}.ckpt'

    def find(self, path: Path) -> dict[str, Any] | None:
        """Read a kept training.

        Args:
            path: As :meth:`path` says.

        Returns:
            What :meth:`keep` was given, with the ``checkpoint``; None where there is none, or it
            is not whole, or it was written since the store was opened.
        """
        if path in self.used or not path.is_file():
            return None
        try:
            found = torch.load(path, map_location='cpu', weights_only=True)
            whole = found['tensors'] == digest(found['checkpoint']['state_dict'])
            numbers = {name: found[name] for name in ('seconds', 'steps', 'loss')}
        except Exception:  # whatever is wrong with it, it is trained again
            return None
        if not whole:
            return None
        self.used.append(path)
        return numbers | {'checkpoint': found['checkpoint']}

    def keep(self, path: Path, checkpoint: Mapping[str, Any], **numbers: float) -> None:
        """Keep a training; where that cannot be done, it is said.

        Args:
            path: As :meth:`path` says.
            checkpoint: Of the trained task.
            **numbers: ``seconds``, ``steps`` and ``loss``.
        """
        content = {**numbers, 'tensors': digest(checkpoint['state_dict']), 'checkpoint': checkpoint}
        try:
            WholeFiles().save_checkpoint(content, path)
            self.used.append(path)
        except (OSError, RuntimeError) as error:
            print(f'warning: a training cannot be kept in {self.folder}: {error}', file=sys.stderr)

    def forget(self) -> None:
        """Remove what was written or found since the store was opened."""
        for path in self.used:
            path.unlink(missing_ok=True)
        self.used.clear()


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, torch.Tensor) else repr(value)
