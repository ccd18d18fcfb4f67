"""What a user may name as data: folders, files, catalogues, addresses, and lists of all these."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from ..errors import ConfigError, MissingPathError
from .remote import address_of

#: Suffix of a text file that lists what else could be named, one a line.
LIST = '.txt'


def as_paths(paths: str | Path | Iterable[str | Path]) -> list[Path | str]:
    """Return one path or several as a list: an address as text, everything else as a Path.

    Args:
        paths: A path, or an iterable of them.

    Raises:
        ConfigError: If an address is of a kind that is not read.
    """
    named = [paths] if isinstance(paths, str | Path) else paths
    return [address_of(path) or Path(path) for path in named]


def expand(paths: str | Path | Iterable[str | Path]) -> Iterator[Path | str]:
    """Go through paths, with what lists name in their place.

    Args:
        paths: A path, or an iterable of them.

    Raises:
        MissingPathError: If a path does not exist.
        ConfigError: If a list cannot be read, or an address is of a kind that is not read.
    """
    for path in as_paths(paths):
        if isinstance(path, Path) and not path.exists():
            raise MissingPathError(path)
        if isinstance(path, Path) and path.suffix.lower() == LIST and path.is_file():
            yield from _listed(path)
        else:
            yield path


def _listed(file: Path) -> Iterator[Path | str]:
    """Read a list; local paths in it count from its folder."""
    try:
        lines = file.read_text('utf-8-sig').splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f'{file} cannot be read as a list of paths, one a line: {error}'
        ) from error
    for number, line in enumerate(map(str.strip, lines), 1):
        if not line or line.startswith('#'):
            continue
        path = address_of(line) or file.parent / line
        if isinstance(path, Path) and not path.exists():
            raise ConfigError(f'{file}, line {number}: {path} does not exist')
        yield path
