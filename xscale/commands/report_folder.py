"""The folder of a report: written when the report is whole, what an earlier one wrote replaced."""

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

from ..errors import ConfigError

#: What it holds.
RESULTS = 'results.json'
WRITTEN = ('figures', 'models', RESULTS, 'report.html')

#: What of an earlier report gives way to a new one; all else is the user's.
REPLACED = re.compile(r'(figures|models)/[^/\\]+\.(png|ckpt)')


@contextmanager
def report_folder(out: str | None) -> Iterator[Path]:
    """Choose the folder of the report; one of a report, finished or not, is written anew.

    Where nobody asks for one it is a new one, which no other run takes meanwhile, and which is
    gone again if nothing is written into it.

    Args:
        out: What the user asks for.

    Raises:
        ConfigError: If it is a file, holds anything else, or cannot be written to.
    """
    if out is not None:
        yield _asked_for(Path(out))
        return
    parent = Path('runs')
    own = [] if parent.exists() else [parent]
    folder = _numbered(parent)
    try:
        yield folder
    finally:
        with suppress(OSError):
            for one in (folder, *own):
                one.rmdir()


def _numbered(parent: Path) -> Path:
    _writable(parent)
    for number in count(1):
        folder = parent / f'evaluate-{number}'
        with suppress(FileExistsError):
            folder.mkdir(parents=True)
            break
    return folder


def _asked_for(out: Path) -> Path:
    if out.is_file():
        raise ConfigError(f'--out {out} is a file; a folder is needed')
    others = sorted(path.name for path in out.glob('*') if path.name not in WRITTEN)
    if others:
        raise ConfigError(f'--out {out} holds other files ({others[0]}); choose a new folder')
    return _writable(out)


def _writable(out: Path) -> Path:
    """Refuse a folder that cannot be written to, before what takes hours."""
    there = next(one for one in (out, *out.absolute().parents) if one.exists())
    if not there.is_dir():
        raise ConfigError(f'{out}: {there} is a file; choose another folder (--out)')
    if not os.access(there, os.W_OK | os.X_OK):
        raise ConfigError(f'{out}: {there} cannot be written to; choose another folder (--out)')
    return out


def publish(results: Mapping[str, Any], made: Path, out: Path) -> Path:
    """Move a report that is whole to its folder, and write ``results.json`` last.

    Files of the report that was there before, as its ``results.json`` lists them, are removed; any
    others stay.

    Args:
        results: What ``results.json`` holds; ``files`` is added to it.
        made: Folder of the report until now.
        out: Its folder.

    Returns:
        ``results.json``.

    Raises:
        ConfigError: If it cannot be written.
    """
    try:
        return _publish(results, made, out)
    except OSError as error:
        raise ConfigError(
            f'--out {out} cannot be written: {error}; choose another folder'
        ) from error


def _publish(results: Mapping[str, Any], made: Path, out: Path) -> Path:
    earlier = _listed(out / RESULTS)
    files = sorted(one.relative_to(made).as_posix() for one in made.rglob('*') if one.is_file())
    for name in files:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.move(made / name, out / name)
    for name in earlier - set(files):
        (out / name).unlink(missing_ok=True)
        # Folders of nothing are no use; others stay.
        with suppress(OSError):
            (out / name).parent.rmdir()
    path = out / RESULTS
    text = json.dumps({**results, 'files': files}, indent=1, allow_nan=False, default=str)
    path.write_text(text + '\n', encoding='utf-8')
    return path


def _listed(path: Path) -> set[str]:
    """Return the figures and weights that a report lists; nothing where it is none."""
    try:
        listed = json.loads(path.read_text(encoding='utf-8'))['files']
        return {name for name in listed if REPLACED.fullmatch(name)}
    except (OSError, ValueError, TypeError, KeyError):
        return set()
