"""Which files a pattern means: globs on the tail of a path."""

import os
import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

from .remote import is_remote, plain


def split(path: str) -> tuple[str, ...]:
    """Split the path of a file for :func:`matches`, its name first and in lower case.

    Args:
        path: The path, absolute or from the working folder, or an address, of which the host and
            what follows count as folders. Links are not followed.
    """
    whole = plain(path) if is_remote(path) else Path(os.path.abspath(path)).as_posix()
    return tuple(reversed(whole.lower().strip('/').split('/')))


def matches(pattern: str, names: Sequence[str]) -> bool:
    """Return whether a pattern means a file.

    A pattern without a slash is held against the file's name, one with slashes against the tail
    of its path, one that starts with a slash against all of it. ``*`` and ``?`` stay within a
    name, ``**`` is any number of folders, ``[0-9]`` and ``[!0-9]`` one character. Case does not
    count, for the same products are called ``.tif`` and ``.TIF``.

    Args:
        pattern: The glob.
        names: The file's path, from :func:`split`.
    """
    return _matches(_parts(pattern), names)


def name_regex(pattern: str) -> str:
    """Return a regular expression (RE2) found in every path whose name a pattern can mean.

    A question mark ends the name in an address.

    Args:
        pattern: The glob.
    """
    words = re.split(r'(\[!?[^]]+\]|[*?])', _parts(pattern)[0])
    known = {'*': '[^/]*', '?': '[^/]'}
    parts = [
        known.get(word) or (word.replace('[!', '[^') if word[:1] == '[' else re.escape(word))
        for word in words
    ]
    return f'(?i:(?:^|/){"".join(parts)}(?:$|\\?))'


@cache
def _parts(pattern: str) -> tuple[str, ...]:
    """Split a pattern from its end, since it is in the file's name that most differ."""
    parts = pattern.lower().strip('/').split('/')
    if not pattern.startswith('/'):
        parts.insert(0, '**')
    if parts[-1] == '**':
        parts.append('*')
    return tuple(reversed(parts))


def _matches(parts: Sequence[str], names: Sequence[str]) -> bool:
    if not parts:
        return not names
    if parts[0] == '**':
        return any(_matches(parts[1:], names[skipped:]) for skipped in range(len(names) + 1))
    return bool(names) and fnmatchcase(names[0], parts[0]) and _matches(parts[1:], names[1:])
