"""Classes of pixels: their names, and the values that stand for them in files."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import ConfigError

#: Number of pixels that are not labelled.
UNLABELLED = 255

#: Classes there may be.
MOST = 255

#: File that names the classes, in the folder of the data.
NAMES = 'classes.txt'

#: Values that are told.
TOLD = 8

type Given = Sequence[str] | Mapping[int, str]


@dataclass(frozen=True, slots=True)
class Classes:
    """Classes in the order of their numbers.

    Attributes:
        names: What each is called.
        values: What stands for each in the masks.
        ignored: Values of pixels that are not labelled.
        source: Who says so.
    """

    names: tuple[str, ...]
    values: tuple[int, ...]
    ignored: tuple[int, ...]
    source: str

    def numbers(
        self,
        mask: NDArray[np.integer],
        path: str,
        count: Callable[[], Mapping[int, int]],
        nodata: int | None = None,
    ) -> NDArray[np.uint8]:
        """Turn values of a mask into numbers of classes.

        Args:
            mask: Values, of any shape.
            path: The file, for messages.
            count: Counts the pixels of each value in all of the file, for messages.
            nodata: What the file declares to be no data; not labelled, unless it is a class.

        Returns:
            Numbers, 255 where nothing is labelled.

        Raises:
            ConfigError: If a value is no class.
        """
        order = np.argsort(self.values)
        known = np.array(self.values, np.int64)[order]
        places = np.searchsorted(known, mask).clip(max=len(known) - 1)
        found = known[places] == mask
        ignored = self.ignored if nodata is None else (*self.ignored, nodata)
        strange = ~found & ~np.isin(mask, ignored)
        if strange.any():
            raise self._stranger(path, count(), ignored)
        return np.where(found, order[places], UNLABELLED).astype(np.uint8)

    def _stranger(
        self, path: str, counts: Mapping[int, int], ignored: tuple[int, ...]
    ) -> ConfigError:
        """Name the values of a mask that are no class."""
        known = {*self.values, *ignored}
        wrong = {value: pixels for value, pixels in counts.items() if value not in known}
        told = ', '.join(
            f'{value} ({pixels:,} pixels)' for value, pixels in sorted(wrong.items())[:TOLD]
        )
        more = f' and {len(wrong) - TOLD} more' if len(wrong) > TOLD else ''
        pairs = [f'{v} {n}' for v, n in zip(self.values, self.names, strict=True)]
        names = ', '.join(pairs[:20]) + (' …' if len(pairs) > 20 else '')
        return ConfigError(
            f'{path} holds the values {told}{more}, which are no class; the classes are {names} '
            f'({self.source}), and {", ".join(map(str, ignored)) or "no value"} is not '
            'labelled. Name them (classes), or say which value is not labelled (ignore)'
        )


def given_classes(given: Given | None, ignore: int | None, folder: Path) -> Classes | None:
    """Return the classes that a user names, by a setting or a file; None where neither does.

    Args:
        given: Names, of the values from 0 on, or names by value; None for ``classes.txt``.
        ignore: Value of pixels that are not labelled; by default 255, unless it is a class.
        folder: Where ``classes.txt`` is looked for: a name a line, or ``VALUE: NAME``.

    Raises:
        ConfigError: If they cannot be.
    """
    source = 'by the setting classes'
    if isinstance(given, str):
        raise ConfigError(f'classes {given!r}: a list of names is needed, or names by value')
    if given is None:
        file = folder / NAMES
        if not file.is_file():
            return None
        given, source = _read(file), f'by {file}'
    pairs = list(given.items()) if isinstance(given, Mapping) else list(enumerate(given))
    return make_classes([str(name) for _, name in pairs], [v for v, _ in pairs], ignore, source)


def make_classes(
    names: Sequence[str], values: Sequence[int], ignore: int | None, source: str
) -> Classes:
    """Put classes together.

    Args:
        names: What each is called.
        values: What stands for each.
        ignore: Value of pixels that are not labelled; by default 255, unless it is a class.
        source: Who says so.

    Raises:
        ConfigError: If there are too few or too many, two are called alike, or one is ignored.
    """
    if ignore is not None and ignore in values:
        raise ConfigError(
            f'ignore {ignore} is a class ({names[list(values).index(ignore)]}, {source}); choose '
            'another, or take it out of the classes'
        )
    if not 2 <= len(names) <= MOST:
        told = ', '.join(names[:TOLD]) or 'none'
        raise ConfigError(
            f'{len(names)} classes {source} ({told}); 2 to {MOST} are needed: what is looked for, '
            'and all the rest'
        )
    twins = {name for name in names if list(names).count(name) > 1}
    if twins or len(set(values)) < len(values):
        raise ConfigError(f'classes {source}: {", ".join(sorted(twins)) or "a value"} comes twice')
    apart = UNLABELLED if ignore is None else ignore
    ignored = () if apart in values else (apart,)
    return Classes(tuple(names), tuple(values), ignored, source)


def _read(file: Path) -> Given:
    return listed_classes(file.read_text(encoding='utf-8-sig').splitlines(), str(file))


def listed_classes(texts: Sequence[str], source: str) -> Given:
    """Return names of classes that were written one by one.

    Args:
        texts: ``NAME``, of the values from 0 on, or ``VALUE: NAME``.
        source: Where they are from, for messages.

    Raises:
        ConfigError: If a value comes twice.
    """
    lines = [text.strip() for text in texts if text.strip()]
    parts = [line.partition(':') for line in lines]
    numbers = [part[0].strip() for part in parts]
    if lines and all(part[1] for part in parts) and all(one.isdecimal() for one in numbers):
        if len(set(numbers)) < len(numbers):
            raise ConfigError(f'{source}: a value comes twice')
        return {int(one): part[2].strip() for one, part in zip(numbers, parts, strict=True)}
    return lines
