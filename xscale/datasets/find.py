"""Find the raster files under some folders."""

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import MissingPathError
from .formats import DRIVERS, VIRTUAL

#: Files and folders that may hold rasters and are not opened.
OTHERS = {'.asc', '.bil', '.bip', '.bsq', '.dem', '.ecw', '.gpkg', '.grb', '.grib', '.grib2'}
OTHERS |= {'.h5', '.hdf', '.hdf5', '.he5', '.img', '.jpeg', '.jpg', '.mbtiles', '.nc', '.ntf'}
OTHERS |= {'.png', '.sid', '.webp', '.zarr', '.gz', '.rar', '.tar', '.tgz', '.zip'}


@dataclass(frozen=True, slots=True)
class Rejected:
    """A file that was left out, and why."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Found:
    """What lies under some folders.

    Attributes:
        rasters: The raster files, sorted.
        rejected: Virtual rasters, folders that cannot be looked into, and names that are no text.
        others: How many files of other formats there are, by suffix.
    """

    rasters: tuple[str, ...]
    rejected: tuple[Rejected, ...]
    others: dict[str, int]


def passed_over(others: Mapping[str, int]) -> str:
    """Say in words what was not looked at; nothing if there is nothing.

    Args:
        others: How many files of other formats there are, by suffix.
    """
    counts = sorted(others.items(), key=lambda item: (-item[1], item[0]))
    files = ', '.join(f'{count:,} {suffix}' for suffix, count in counts)
    return f'not looked at: {files}; only GeoTIFF and JPEG 2000 are read' if files else ''


def find_rasters(paths: str | Path | Iterable[str | Path]) -> Found:
    """List the raster files under some folders.

    Links to folders are followed, each folder once, so links that run in a circle do no harm.
    What is hidden (a name that begins with a dot, as macOS leaves ``._x.tif``) is passed over.

    Args:
        paths: Folders to walk, or files, which count as rasters whatever they are called.

    Raises:
        MissingPathError: If a path does not exist.
    """
    files: set[str] = set()
    rejected: list[Rejected] = []
    others: Counter[str] = Counter()
    seen: set[str] = set()
    for path in map(Path, [paths] if isinstance(paths, str | Path) else paths):
        if not path.exists():
            raise MissingPathError(path)
        if not path.is_dir():
            files.add(str(path))
            continue
        for file in _walk(path, seen, rejected):
            suffix = os.path.splitext(file)[1].lower()
            if suffix in DRIVERS:
                files.add(file)
            elif suffix == '.vrt':
                rejected.append(Rejected(_printable(file), VIRTUAL))
            elif suffix in OTHERS:
                others[suffix] += 1
    odd = {file for file in files if _printable(file) != file}
    reason = 'has a name that is no text (UTF-8 without control characters); rename it'
    rejected += [Rejected(_printable(file), reason) for file in odd]
    by_path = sorted(rejected, key=lambda r: r.path)
    return Found(tuple(sorted(files - odd)), tuple(by_path), dict(others))


def _walk(top: Path, seen: set[str], rejected: list[Rejected]) -> Iterator[str]:
    """Yield the files under a folder, and the folders that are one raster in pieces."""

    def unreadable(error: OSError) -> None:
        reason = f'cannot be looked into: {error.strerror}'
        rejected.append(Rejected(_printable(str(error.filename)), reason))

    for folder, folders, names in os.walk(top, followlinks=True, onerror=unreadable):
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        names += [name for name in folders if name.lower().endswith('.zarr')]
        folders[:] = sorted(set(folders).difference(names))
        folders[:] = [name for name in folders if name[0] != '.']
        yield from (str(Path(folder, name)) for name in names if name[0] != '.')


def _printable(text: str) -> str:
    """Write out what does not belong in text: bytes that are not UTF-8, control characters."""
    text = text.encode('utf-8', 'backslashreplace').decode('utf-8')
    return re.sub(r'[\x00-\x1f\x7f]', lambda found: f'\\x{ord(found[0]):02x}', text)
