"""Rules that say what the bands of files mean: which files, and which band is red."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from ..errors import UnusableError
from ..recipes import find_recipe
from .classes import ClassNames, class_fields
from .globs import Glob, any_meant, first_paths, is_several
from .rulefile import FOLDER, TEMPLATE, read_rules


@dataclass(frozen=True, slots=True)
class Rule:
    """What the bands of some files mean.

    Attributes:
        match: Glob of the files; see :class:`xscale.datasets.globs.Glob`.
        name: Name of the sensor; that of the convention, or the glob, where none is given.
        bands: Names of bands 1 to n, None for one without a meaning; empty where the files'
            own names are read by ``convention``.
        convention: Name of the convention the files' own band names follow, if that is given.
        nodata: Value that counts as no data where a file declares none.
        mean: Mean by band name or number, in the files' units, for bands where it is given.
        std: Standard deviation, likewise.
        source: Name of the file, or module, the rule is from; empty for one that ships with us.
        parts: Of files that hold one band each: names of the bands by what stands for ``{band}``
            in the names of the files, in the order of the bands; else empty.
        leave_out: Why the files are to be left out; empty where they are not.
        rgb: Names of the bands that are shown as red, green and blue, where that is given.
        naming: How the files are called, of a rule that is a class of TorchGeo's.
    """

    match: str
    name: str
    bands: tuple[str | None, ...] = ()
    convention: str | None = None
    nodata: float | None = None
    mean: Mapping[str, float] = field(default_factory=dict)
    std: Mapping[str, float] = field(default_factory=dict)
    source: str = ''
    parts: Mapping[str, str] = field(default_factory=dict)
    leave_out: str = ''
    rgb: tuple[str, ...] = ()
    naming: ClassNames | None = None

    def __str__(self) -> str:
        """Say which rule it is, for people."""
        return f'rule {self.name} in {self.source}' if self.source else f'bundled rule {self.name}'

    @property
    def files(self) -> Glob | ClassNames:
        """Which files are meant."""
        return self.naming or Glob(self.match, tuple(self.parts))

    def band_of(self, path: str) -> str | None:
        """Return which band a file holds by its name, where the rule says so.

        Args:
            path: Path of a file with one band.
        """
        divided = None if is_several(path) else self.files.divide(path)
        return divided and self.known(divided[1])[1]

    def known(self, part: str) -> tuple[int, str]:
        """Return the place, from 0, and the name of the band that a part of a file's name means.

        Args:
            part: What stands for ``{band}``, in any case.
        """
        spelled = enumerate(self.parts.items())
        return next((i, name) for i, (own, name) in spelled if own.lower() == part.lower())


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
    for rule in rules if path else ():
        if rule.files.means(path):
            # Of several files each holds one band.
            fit = len(rule.bands) or bool(rule.parts and not is_several(path))
            if fit in (0, count) or rule.leave_out:
                return rule
            if rule.source:
                named = f'{fit} band' + ('s' if fit > 1 else '')
                raise UnusableError(
                    f'{rule} names {named} where the file has {count}; write _ for a band without '
                    'a meaning, or a rule above it for such files'
                )
    return None


def meant_by_any(rules: Iterable[Rule], paths: pa.Array | pa.ChunkedArray) -> NDArray[np.bool_]:
    """Return which files are meant by any of some rules.

    Args:
        rules: The rules.
        paths: Absolute paths, (N,).
    """
    files = [rule.files for rule in rules]
    meant = any_meant([one for one in files if isinstance(one, Glob)], paths)
    for one in files:
        if isinstance(one, ClassNames):
            meant |= one.meant(paths)
    return meant


def meant_by(rules: Sequence[Rule], paths: pa.ChunkedArray) -> NDArray[np.int64]:
    """Group paths by the rules that mean them.

    Args:
        rules: The rules.
        paths: Paths of files, (N,).

    Returns:
        A number for each path, the same where the same rules mean it, (N,).
    """
    group = np.zeros(len(paths), np.int64)
    paths = first_paths(paths)
    # Of a million paths most are meant by none, which is told fast.
    possible = meant_by_any(rules, paths)
    at, some = np.flatnonzero(possible), paths.filter(pa.array(possible))
    for rule in rules:
        own = rule.files.meant(some)
        if own.any():
            group[at[own]] = group.max() + 1 + pd.factorize(group[at[own]])[0]
            if rule.source and not rule.parts and not rule.naming:
                # No other rule is asked about what the first of the user's says of a file.
                at, some = at[~own], some.filter(pa.array(~own))
    return group


@cache
def bundled_rules() -> tuple[Rule, ...]:
    """Return the rules that ship with us."""
    files = sorted(file for file in FOLDER.glob('*.yaml') if file != TEMPLATE)
    return tuple(Rule(**fields) for file in files for fields in read_rules(file))


def load_rules(rules: str | Path | type) -> tuple[Rule, ...]:
    """Read a user's rules.

    Args:
        rules: A YAML file like ``datasets/rules/template.yaml``, which can be given by that name;
            or a class of TorchGeo's, or its dotted path such as ``torchgeo.datasets.Sentinel2``,
            which leaves out all files that are not the class's.

    Raises:
        ConfigError: If the file cannot be read, the class not imported, or a rule is wrong.
    """
    path = Path(find_recipe(str(rules)))
    dotted = isinstance(rules, str) and _is_dotted(rules) and not path.exists()
    if dotted or isinstance(rules, type):
        rule = Rule(**class_fields(rules, 'rules (there is no such file)' if dotted else 'rules'))
        reason = 'is no file of the class'
        return rule, Rule('**', rule.name, leave_out=reason, source=rule.source)
    return tuple(Rule(**{'source': path.name, **fields}) for fields in read_rules(path))


def _is_dotted(text: str) -> bool:
    """Return whether a text is the path of a class and not the name of a YAML file."""
    return bool(re.fullmatch(r'\w+(\.\w+)+', text)) and not text.endswith(('.yaml', '.yml'))
