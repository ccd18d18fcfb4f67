"""Which files a pattern means: globs on the tail of a path, and the bands named in them."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

#: Stands in a pattern for the name of a band.
BAND = '{band}'

#: How the files of one raster are written as one path.
_SEVERAL = r'\{([^,{}/]+),[^{}/]*\}'


@dataclass(frozen=True, slots=True)
class Glob:
    """Files by their names.

    A pattern without a slash is held against the file's name, one with slashes against the tail
    of its path, one that starts with a slash against all of it. ``*`` and ``?`` stay within a
    name, ``**`` is any number of folders, ``[0-9]`` and ``[!0-9]`` one character. Case does not
    count, for the same products are called ``.tif`` and ``.TIF``. Of several files that are one
    raster the first one's path counts.

    Attributes:
        pattern: The glob.
        bands: What may stand for ``{band}`` in it; empty where it has none.
    """

    pattern: str
    bands: tuple[str, ...] = ()

    def means(self, path: str) -> bool:
        """Return whether a file is meant.

        Args:
            path: Its path, absolute or from the working folder. Links are not followed.
        """
        return _compiled(self).match(whole_path(path)) is not None

    def meant(self, paths: pa.Array | pa.ChunkedArray) -> NDArray[np.bool_]:
        """Return which files are meant.

        Args:
            paths: Absolute paths, (N,).
        """
        return np.asarray(pc.match_substring_regex(paths, _regex(self)))

    def divide(self, path: str) -> tuple[str, str, str] | None:
        """Return what stands in a path before the band's name, the name, and what stands after.

        Args:
            path: Path of a file with one band.

        Returns:
            The three, or None where the file is not meant or the pattern has no ``{band}``.
        """
        found = _compiled(self).match(whole_path(path)) if self.bands else None
        return found and (found['head'], found['band'], found['tail'])

    def divide_all(self, paths: pa.Array) -> tuple[pa.Array, pa.Array, pa.Array]:
        """Divide the paths of files that are meant, as :meth:`divide` does.

        Args:
            paths: Absolute paths, (N,).
        """
        found = pc.extract_regex(paths, _regex(self))
        return found.field('head'), found.field('band'), found.field('tail')


def any_meant(globs: Sequence[Glob], paths: pa.Array | pa.ChunkedArray) -> NDArray[np.bool_]:
    """Return which files are meant by any of some globs.

    Args:
        globs: The globs.
        paths: Absolute paths, (N,).
    """
    if not globs:
        return np.zeros(len(paths), bool)
    nameless = (re.sub(r'\?P<\w+>', '?:', _regex(glob)).removeprefix('(?i)') for glob in globs)
    return np.array(pc.match_substring_regex(paths, f'(?i)(?:{"|".join(nameless)})'))


def several_paths(head: pa.Array, bands: pa.ListArray, tail: pa.Array) -> pa.Array:
    """Write several files that differ in the name of a band as one path, as a shell would.

    Args:
        head: What stands in their paths before the name, (N,).
        bands: The names, (N,).
        tail: What stands after them, (N,).

    Returns:
        Paths such as ``a_{B2,B3}.tif``, (N,).
    """
    return pc.binary_join_element_wise(head, '{', pc.binary_join(bands, ','), '}', tail, '')


def is_several(path: str) -> bool:
    """Return whether a path stands for several files.

    Args:
        path: A path, such as :func:`several_paths` writes.
    """
    return re.search(_SEVERAL, path) is not None


def first_paths(paths: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return paths with those that stand for several files replaced by their first file's.

    Args:
        paths: The paths, (N,).
    """
    if not pc.any(pc.match_substring(paths, '{')).as_py():
        return paths
    return pc.replace_substring_regex(paths, _SEVERAL, r'\1')


def whole_path(path: str) -> str:
    """Return the absolute path that patterns are held against; of several files the first one's.

    Args:
        path: A path, absolute or from the working folder, or one for several files.
    """
    return re.sub(_SEVERAL, r'\1', Path(os.path.abspath(path)).as_posix())


@cache
def _compiled(glob: Glob) -> re.Pattern[str]:
    return re.compile(_regex(glob))


@cache
def _regex(glob: Glob) -> str:
    """Return a regular expression of the paths that are meant, as Python and Arrow (RE2) read it.

    Where the pattern has a ``{band}``, its groups are ``head``, ``band`` and ``tail``.
    """
    start, whole = ('/' if glob.pattern.startswith('/') else '(?:.*/)?'), glob.pattern.strip('/')
    folders = [*whole.split('/'), '*'] if whole.split('/')[-1] == '**' else whole.split('/')
    parts = ['(?:[^/]+/)*' if name == '**' else f'{_name(name)}/' for name in folders]
    regex = start + ''.join(parts)[:-1]
    if glob.bands:
        # The longest first: B10 is not B1 with something behind it.
        names = '|'.join(map(re.escape, sorted(glob.bands, key=len, reverse=True)))
        head, tail = regex.split(re.escape(BAND))
        regex = f'(?P<head>{head})(?P<band>{names})(?P<tail>{tail})'
    return f'(?i)^{regex}$'


def _name(pattern: str) -> str:
    """Translate the part of a pattern between two slashes."""
    # As few as will do: of two places where a band could be named the first counts.
    known = {'*': '[^/]*?', '?': '[^/]'}
    words = re.split(r'(\[!?\]?[^]]*\]|[*?])', pattern)
    return ''.join(
        known.get(word) or (_one_of(word) if re.fullmatch(r'\[.+\]', word) else re.escape(word))
        for word in words
    )


def _one_of(word: str) -> str:
    """Translate ``[…]``, in which a range that runs backwards is empty, as in a shell."""
    inside = word[1:-1].removeprefix('!')
    if not inside:
        return re.escape(word)
    pieces = [piece for piece in re.findall(r'.-.|.', inside) if piece[0] <= piece[-1]]
    ends = ''.join('-'.join(map(re.escape, piece[::2])) for piece in pieces)
    if word[1] == '!':
        return f'[^{ends}/]'
    return f'[{ends}]' if ends else r'\b\B'
