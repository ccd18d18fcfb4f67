"""Rules that say what the bands of files mean: which files, and which band is red."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..errors import UnusableError
from ..recipes import find_recipe
from .globs import matches, name_regex, split
from .rulefile import FOLDER, TEMPLATE, read_rules


@dataclass(frozen=True, slots=True)
class Rule:
    """What the bands of some files mean.

    Attributes:
        match: Glob of the files; see :func:`xscale.datasets.globs.matches`.
        name: Name of the sensor; that of the convention, or the glob, where none is given.
        bands: Names of bands 1 to n, None for one without a meaning; empty where the files'
            own names are read by ``convention``.
        convention: Name of the convention the files' own band names follow, if that is given.
        nodata: Value that counts as no data where a file declares none.
        mean: Mean by band name or number, in the files' units, for bands where it is given.
        std: Standard deviation, likewise.
        source: Name of the file the rule is from; empty for one that ships with us.
    """

    match: str
    name: str
    bands: tuple[str | None, ...] = ()
    convention: str | None = None
    nodata: float | None = None
    mean: Mapping[str, float] = field(default_factory=dict)
    std: Mapping[str, float] = field(default_factory=dict)
    source: str = ''

    def __str__(self) -> str:
        """Say which rule it is, for people."""
        return f'rule {self.name} in {self.source}' if self.source else f'bundled rule {self.name}'


def find_rule(rules: Iterable[Rule], path: str, count: int) -> Rule | None:
    """Return the first rule that means a file.

    A rule that ships with us is passed over where it names another number of bands than the file
    has. A user's is not, for to read other bands than were named would go unseen.

    Args:
        rules: The rules, in order.
        path: Path of the file; empty for none.
        count: Number of bands of the file.

    Raises:
        UnusableError: If a user's rule names another number of bands than the file has.
    """
    names = split(path)
    for rule in rules if path else ():
        if matches(rule.match, names):
            if len(rule.bands) in (0, count):
                return rule
            if rule.source:
                named = f'{len(rule.bands)} band' + ('s' if len(rule.bands) > 1 else '')
                raise UnusableError(
                    f'{rule} names {named} where the file has {count}; write _ for a band without '
                    'a meaning, or a rule above it for such files'
                )
    return None


def meant_by(rules: Sequence[Rule], paths: pa.ChunkedArray) -> NDArray[np.int64]:
    """Group paths by the rules that mean them.

    Args:
        rules: The rules.
        paths: Paths of files, (N,).

    Returns:
        A number for each path, the same where the same rules mean it, (N,).
    """
    groups: dict[tuple[int, ...], int] = {(): 0}
    meant = np.zeros(len(paths), np.int64)
    if not rules:
        return meant
    # Of a million paths most are meant by none, which a regular expression of Arrow's tells fast.
    possible = pc.match_substring_regex(paths, '|'.join(name_regex(r.match) for r in rules))
    for at in np.flatnonzero(possible.to_numpy()):
        names = split(paths[int(at)].as_py())
        own = tuple(i for i, rule in enumerate(rules) if matches(rule.match, names))
        meant[at] = groups.setdefault(own, len(groups))
    return meant


@cache
def bundled_rules() -> tuple[Rule, ...]:
    """Return the rules that ship with us."""
    files = sorted(file for file in FOLDER.glob('*.yaml') if file != TEMPLATE)
    return tuple(Rule(**fields) for file in files for fields in read_rules(file))


def load_rules(file: str | Path) -> tuple[Rule, ...]:
    """Read a user's rules.

    Args:
        file: A YAML file like ``datasets/rules/template.yaml``, which can be given by that name.

    Raises:
        ConfigError: If the file cannot be read or a rule is wrong.
    """
    path = Path(find_recipe(str(file)))
    return tuple(Rule(**fields, source=path.name) for fields in read_rules(path))
