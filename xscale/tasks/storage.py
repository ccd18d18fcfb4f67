"""Files that are on disk as a whole or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

#: Ending of a file that is being written.
PART = '.part'


@contextmanager
def whole(path: Path) -> Iterator[BinaryIO]:
    """Open a file that takes its place when all of it is on disk; until then the old one stays.

    Args:
        path: Where it shall be.

    Raises:
        OSError: If it cannot be written; the old one stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + PART)
    # One left behind may be another name of a file that is to stay.
    part.unlink(missing_ok=True)
    try:
        with part.open('wb') as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    _sync(path.parent)


def place(source: Path, target: Path) -> None:
    """Give a file a second name, or make a copy where the disk knows no links.

    Args:
        source: The file.
        target: Its other name; what was there goes.

    Raises:
        OSError: If there is no room for a copy.
    """
    if target.exists() and target.samefile(source):
        return
    part = target.with_name(target.name + PART)
    part.unlink(missing_ok=True)
    try:
        os.link(source, part)
    except OSError:
        with whole(target) as file, source.open('rb') as original:
            shutil.copyfileobj(original, file)
    else:
        os.replace(part, target)


def _sync(folder: Path) -> None:
    """Make a change of names last, where the system can say so of a folder."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def clear(folder: Path) -> None:
    """Remove what was being written when a process was killed.

    Args:
        folder: Where to look.
    """
    for part in folder.glob(f'*{PART}'):
        part.unlink(missing_ok=True)


def free(folder: Path) -> str:
    """Say how much room is left.

    Args:
        folder: A folder on the disk in question.
    """
    return f'{shutil.disk_usage(folder).free / 1e9:.2f} GB free in {folder}'


class WholeFiles(TorchCheckpointIO):
    """Write checkpoints as a whole or not at all, straight to where they belong.

    Lightning's own way holds a second copy in memory and a third in the system's temporary folder,
    which stays there if the process is killed.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write a checkpoint.

        Args:
            checkpoint: Tensors and plain values.
            path: Where to.
            storage_options: Not used.

        Raises:
            OSError: If it cannot be written; the old one stays.
        """
        with whole(Path(path)) as file:
            try:
                torch.save(checkpoint, file)
            except RuntimeError as error:
                # PyTorch's writer fails a second time when it is closed, and hides the reason.
                cause: BaseException | None = error
                while cause is not None and not isinstance(cause, OSError):
                    cause = cause.__context__
                raise cause or error from None
