"""Names that come near one that is not known."""

import difflib
from collections.abc import Iterable

#: Names shown at most.
SHOWN = 8


def near(name: str, known: Iterable[str]) -> list[str]:
    """Return names like one, the first few of all where none is.

    Args:
        name: What came.
        known: All names.
    """
    names = list(known)
    found = difflib.get_close_matches(name, names, SHOWN, cutoff=0.6)
    return found or names[:SHOWN]
