"""The numbers in a file of rules: no-data values, means and deviations."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import ConfigError
from .conventions import Convention, common_name, find_band


def read_number(value: object, where: str) -> float:
    """Read a number; YAML takes 1e4 for text, and yes for one.

    Args:
        value: What is written.
        where: Where, for messages.

    Raises:
        ConfigError: If it is none.
    """
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError
        return float(value)
    except ValueError:
        raise ConfigError(f'{where} {value!r} is not a number') from None


def read_statistics(
    entry: Mapping[str, Any],
    bands: Sequence[str | None],
    convention: Convention | None,
    where: str,
) -> tuple[dict[str, float], dict[str, float]]:
    """Read the means and deviations, which come together and for the same bands.

    Args:
        entry: What is written of a rule.
        bands: Names of its bands; None for one without a meaning.
        convention: The convention the files' own names follow, if any.
        where: Where it is written, for messages.

    Returns:
        Mean and deviation by the name or number of a band.

    Raises:
        ConfigError: If they are wrong.
    """
    given = [key for key in ('mean', 'std') if entry.get(key) is not None]
    if not given:
        return {}, {}
    if len(given) < 2:
        raise ConfigError(f'{where} gives {given[0]} alone; mean and std are needed together')
    mean, std = (_by_band(entry[key], bands, convention, f'{where}: {key}:') for key in given)
    if mean.keys() != std.keys():
        odd = ', '.join(sorted(mean.keys() ^ std.keys()))
        raise ConfigError(f'{where}: mean and std are of other bands: {odd} is in one of them')
    if not all(math.isfinite(value) for value in (*mean.values(), *std.values())):
        raise ConfigError(f'{where}: mean and std are finite numbers')
    for band, value in std.items():
        if value <= 0:
            raise ConfigError(f'{where}: std: {value:g} of {band}; a number above 0 is needed')
    return mean, std


def _by_band(
    value: object, bands: Sequence[str | None], convention: Convention | None, where: str
) -> dict[str, float]:
    """Read numbers given by name, or as a list in band order, of which the keys are numbers."""
    if isinstance(value, list) and bands:
        if len(value) != len(bands):
            raise ConfigError(f'{where} {len(value)} numbers for {len(bands)} bands')
        listed = {str(i): one for i, one in enumerate(value, 1) if one is not None}
        return {i: read_number(one, f'{where} of band {i}:') for i, one in listed.items()}
    if not isinstance(value, dict):
        also = ', or a list in band order' if bands else ''
        raise ConfigError(f'{where} {value!r}; numbers by band are needed, as {{red: 1}}{also}')
    places: dict[int | str, str] = {}
    for name in map(str, value):
        place = _place(name, bands, convention)
        if place is None:
            raise ConfigError(f'{where} {name!r} is not one of the bands of this rule')
        if places.setdefault(place, name) != name:
            raise ConfigError(f'{where} {places[place]} and {name} are one band')
    return {str(name): read_number(one, f'{where} {name}:') for name, one in value.items()}


def _place(
    name: str, bands: Sequence[str | None], convention: Convention | None
) -> int | str | None:
    """Return what tells a band from the others of a rule, None for a name it does not have."""
    if convention is None:
        return find_band(name, bands)
    if convention.known([name]):
        return convention.known([name])[0]
    return convention.bands.get(common_name(name), (None,))[0]
