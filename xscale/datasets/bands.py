"""Which band of a file is red? By a rule, by its own names, or by its colours."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..errors import BandsNotFoundError, UnusableError
from .conventions import BY_NAME, COMMON, Convention, common_name, find_band, plain, recognise
from .globs import is_several
from .rules import Rule, bundled_rules, find_rule


def band_names(bands: Sequence[str | int] | None) -> tuple[str, ...]:
    """Return bands asked for as words, for in YAML a number of one is a number.

    Args:
        bands: By number (from 1), name or common name; None or none of them for all.
    """
    return tuple(map(str, bands or ()))


@dataclass(frozen=True, slots=True)
class BandChoice:
    """Where the asked bands lie in one file.

    Attributes:
        indexes: Band numbers, from 1, in the order asked.
        names: What those bands are called, by the rule or in the file; the number where by none.
        meanings: Their common names; the name where there is none.
        source: How they were found, for people: 'rule … in FILE', 'description (CONVENTION)',
            'description', 'bundled rule …', 'colour' or 'number'.
        sensor: What the file is of: the rule's name, the convention, or as ``source``. Files of
            one sensor, the same names and one dtype mean the same.
        rule: The rule that said so, if one did.
        mean: Mean of each band, in the file's units, where the rule gives it, else None.
        std: Standard deviation, likewise.
    """

    indexes: tuple[int, ...]
    names: tuple[str, ...]
    meanings: tuple[str, ...]
    source: str
    sensor: str
    rule: Rule | None
    mean: tuple[float | None, ...]
    std: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class _Reading:
    """One way to read a file's bands.

    Attributes:
        names: What each band is called; None for one without a name.
        convention: The convention those names follow, if any.
        source: Who says so.
        sensor: What the file is of.
        rule: The rule that says so, if one does.
    """

    names: tuple[str | None, ...]
    convention: Convention | None
    source: str
    sensor: str
    rule: Rule | None = None

    def find(self, band: str) -> int | None:
        return find_band(band, self.names, self.convention)


def choose(
    wanted: Sequence[str],
    names: Sequence[str | None],
    colours: Sequence[str],
    gsd: float,
    path: str = '',
    rules: Sequence[Rule] = (),
) -> BandChoice:
    """Find the asked bands in one file.

    A band is asked for by number (from 1), by its name, or by its common name (``red``,
    ``green``, ``blue``, ``nir``, …). What the bands are is said, in this order, by a rule of the
    user's, by descriptions in the file that follow a known convention, by a rule that ships with
    us, and by the colour interpretation where no band has a description.

    Args:
        wanted: Bands asked for; empty for all.
        names: Band descriptions; None where a band has none.
        colours: Colour interpretation of each band.
        gsd: Ground sample distance of the file in metres.
        path: Path of the file, for the rules; without one no rule means it.
        rules: The user's rules, in order.

    Returns:
        Where the bands lie.

    Raises:
        BandsNotFoundError: If a band is not there.
        UnusableError: If a rule leaves the file out or a user's names another number of bands, if
            two bands have the asked name, or if two asked names are one band.
    """
    wanted = list(wanted) or [str(number) for number in range(1, len(names) + 1)]
    readings = _readings(names, colours, gsd, path, rules)
    found = [[reading.find(band) for band in wanted] for reading in readings]
    reading, places = min(zip(readings, found, strict=True), key=lambda pair: pair[1].count(None))
    missing = [band for band, index in zip(wanted, places, strict=True) if index is None]
    if missing:
        raise _not_found(missing, names, reading)
    indexes = tuple(index for index in places if index is not None)
    _refuse_twins(wanted, indexes)
    called = names if reading.source == 'colour' else reading.names
    by_number = reading.source == 'colour' and all(band.isdecimal() for band in wanted)
    rule, family = reading.rule, reading.convention or COMMON
    chosen = tuple(called[index - 1] or str(index) for index in indexes)
    return BandChoice(
        indexes,
        chosen,
        tuple(family.common(name) or common_name(name) for name in chosen),
        'number' if by_number else reading.source,
        'number' if by_number else reading.sensor,
        rule,
        _given(rule.mean if rule else {}, reading, indexes),
        _given(rule.std if rule else {}, reading, indexes),
    )


def _readings(
    names: Sequence[str | None],
    colours: Sequence[str],
    gsd: float,
    path: str,
    rules: Sequence[Rule],
) -> list[_Reading]:
    """List the ways to read a file, the most trusted first."""
    ours = bundled_rules()
    rule = find_rule(rules, path, len(names))
    rule = rule or find_rule((rule for rule in ours if rule.leave_out), path, len(names))
    if rule and rule.leave_out:
        raise UnusableError(f'{rule.leave_out} ({rule})')
    if not rule:
        rule = find_rule((rule for rule in ours if rule.parts), path, len(names))
        # The names of bands may be those that the rule read off the names of their files.
        rule = rule if rule and (is_several(path) or rule.band_of(path) in names) else None
    if rule:
        return [_by_rule(rule, names, gsd, path)]
    readings = []
    if any(names):
        readings.append(_by_description(names, gsd, path))
        if readings[0].convention:
            return readings
    rule = find_rule((rule for rule in ours if rule.bands or rule.parts), path, len(names))
    if rule:
        readings.append(_by_rule(rule, names, gsd, path))
    if not any(name and not _tells_nothing(name, i) for i, name in enumerate(names, 1)):
        shown = tuple(None if colour == 'undefined' else colour for colour in colours)
        readings.append(_Reading(shown, None, 'colour', 'colour'))
    return readings


def _by_rule(rule: Rule, names: Sequence[str | None], gsd: float, path: str) -> _Reading:
    alone = rule.band_of(path)
    called = rule.bands or ((alone,) if alone else tuple(names))
    path = path if rule.parts or rule.naming else ''
    convention, _ = _recognise(called, gsd, path)
    if rule.convention:
        convention = BY_NAME[rule.convention]
    # A class may show bands in false colour, of a sensor that is known by the names of its files.
    elif rule.rgb and not _hint(path, len(called)) and not _agrees(convention, rule.rgb):
        shown = zip(('red', 'green', 'blue'), rule.rgb, strict=False)
        convention = Convention(rule.name, (), {colour: (plain(own),) for colour, own in shown})
    return _Reading(called, convention, str(rule), rule.name, rule)


def _agrees(convention: Convention | None, rgb: Sequence[str]) -> bool:
    """Return whether the bands that a class shows as red, green and blue are a convention's."""
    if convention is None:
        return False
    shown = zip(('red', 'green', 'blue'), rgb, strict=False)
    return all(plain(own) in convention.bands.get(colour, ()) for colour, own in shown)


def _by_description(names: Sequence[str | None], gsd: float, path: str) -> _Reading:
    """Read a file by its own names."""
    convention, rule = _recognise(names, gsd, path)
    if convention is None:
        return _Reading(tuple(names), None, 'description', 'description')
    by = f', {rule}' if rule else ''
    source = f'description ({convention.name}{by})'
    return _Reading(tuple(names), convention, source, convention.name, rule)


def _recognise(
    names: Sequence[str | None], gsd: float, path: str
) -> tuple[Convention | None, Rule | None]:
    """Recognise a convention; the path tells sensors apart that share names.

    Returns:
        The convention, and the rule that told it by the path, if one did.
    """
    convention, hint = recognise(names, gsd), _hint(path, len(names))
    if convention and hint and hint.convention:
        meant, present = BY_NAME[hint.convention], [name for name in names if name]
        if meant != convention and len(meant.known(present)) >= len(convention.known(present)):
            return meant, hint
    return convention, None


def _hint(path: str, count: int) -> Rule | None:
    """Return the rule that tells by a path whose names the bands have, if one does."""
    hints = (rule for rule in bundled_rules() if rule.convention and not rule.parts)
    return find_rule(hints, path, count)


def _tells_nothing(name: str, number: int) -> bool:
    """Return whether a description only counts, as GIS programs write it: ``Band 1``."""
    return re.fullmatch(rf'(band|channel|layer)[ _]?0*{number}', name.strip(), re.I) is not None


def _refuse_twins(wanted: Sequence[str], indexes: Sequence[int]) -> None:
    for place, index in enumerate(indexes):
        first = indexes.index(index)
        if first < place:
            raise UnusableError(f'{wanted[first]} and {wanted[place]} are one band, number {index}')


def _given(
    values: Mapping[str, float], reading: _Reading, indexes: Sequence[int]
) -> tuple[float | None, ...]:
    """Return what a rule gives for each band, None where it gives nothing."""
    placed = {reading.find(band): value for band, value in values.items()}
    return tuple(placed.get(index) for index in indexes)


def _not_found(
    missing: Sequence[str], names: Sequence[str | None], reading: _Reading
) -> BandsNotFoundError:
    """Say what was tried."""
    said = f'by {reading.rule}' if reading.rule else ''
    if reading.convention and not (reading.rule and reading.rule.bands):
        said = f'read as {reading.convention.name}' + (f' {said}' if said else '')
    called = names if reading.source == 'colour' else reading.names
    return BandsNotFoundError(missing, called, said)
