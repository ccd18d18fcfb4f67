"""A file of rules: the YAML, and what is wrong with it."""

import difflib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ..errors import ConfigError
from ..recipes import ROOT
from .conventions import BY_NAME, Convention, common_name, find_band

#: Where the rules that ship with us lie, and the file among them that is for copying.
FOLDER = ROOT / 'datasets' / 'rules'
TEMPLATE = FOLDER / 'template.yaml'

KEYS = ('match', 'name', 'bands', 'convention', 'nodata', 'mean', 'std')


def read_rules(path: Path) -> list[dict[str, Any]]:
    """Read and check a file of rules.

    Args:
        path: The file.

    Returns:
        What each rule says: ``match``, ``name``, ``bands``, ``convention``, ``nodata``, ``mean``
        and ``std``, as in :class:`xscale.datasets.rules.Rule`.

    Raises:
        ConfigError: If the file cannot be read or a rule is wrong.
    """
    content = _read(path)
    if not isinstance(content, dict) or set(content) != {'rules'}:
        raise ConfigError(f'{path}: a file of rules is a list under rules:; see {TEMPLATE}')
    entries = content['rules']
    if not isinstance(entries, list) or not entries:
        raise ConfigError(f'{path}: there is no list of rules under rules:; see {TEMPLATE}')
    rules = [_rule(entry, f'{path}, rule {number}') for number, entry in enumerate(entries, 1)]
    named: dict[str, int] = {}
    for number, rule in enumerate(rules):
        first = rules[named.setdefault(rule['name'], number)]
        if (rule['mean'], rule['std']) != (first['mean'], first['std']):
            raise ConfigError(
                f'{path}: rules {named[rule["name"]] + 1} and {number + 1} are both named '
                f'{rule["name"]} but give other means or deviations; a sensor has one of each, '
                'so give them different names'
            )
    return rules


class _Loader(yaml.SafeLoader):
    """Refuses a key that is given twice, of which the parser would keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys: list[Any] = []
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in keys:
                problem = f'{key} is given twice; a rule starts with a dash'
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key_node.start_mark)
            keys.append(key)
        return super().construct_mapping(node, deep)


def _read(path: Path) -> object:
    try:
        return yaml.load(path.read_text(encoding='utf-8'), Loader=_Loader)
    except FileNotFoundError:
        raise ConfigError(
            f'{path} does not exist (looked from {Path.cwd()}); a file of rules is needed, '
            f'such as a copy of {TEMPLATE}'
        ) from None
    except UnicodeDecodeError:
        raise ConfigError(f'{path} is not UTF-8 text; a YAML file of rules is needed') from None
    except OSError as error:
        raise ConfigError(f'{path} cannot be read: {error.strerror}') from None
    except yaml.MarkedYAMLError as error:
        line = f', line {error.problem_mark.line + 1}' if error.problem_mark else ''
        raise ConfigError(f'{path}{line}: not YAML: {error.problem}') from None
    except yaml.YAMLError as error:
        raise ConfigError(f'{path}: not YAML: {error}') from None


def _rule(entry: object, where: str) -> dict[str, Any]:
    """Check what one rule says."""
    if not isinstance(entry, dict):
        raise ConfigError(f'{where}: a rule says match: and bands:, not {entry!r}')
    for key in entry:
        if key not in KEYS:
            close = difflib.get_close_matches(str(key), KEYS, 1)
            hint = f'did you mean {close[0]}?' if close else f'choose of: {", ".join(KEYS)}'
            raise ConfigError(f'{where}: unknown key {key!r}; {hint}')
    match = _match(entry.get('match'), where)
    if ('bands' in entry) == ('convention' in entry):
        has = 'both bands and convention' if 'bands' in entry else 'neither bands nor convention'
        raise ConfigError(
            f'{where} has {has}; one is needed: bands: says what bands 1, 2, … are, convention: '
            "by which sensor's names the files' own are to be read"
        )
    bands = _bands(entry['bands'], where) if 'bands' in entry else ()
    convention = _convention(entry['convention'], where) if 'convention' in entry else None
    name = entry.get('name', convention.name if convention else match)
    if not isinstance(name, str) or not name.strip():
        raise ConfigError(f'{where}: name: {name!r} is not the name of a sensor; text is needed')
    nodata = entry.get('nodata')
    if nodata is not None:
        nodata = _number(nodata, f'{where}: nodata:')
    mean, std = _statistics(entry, bands, convention, where)
    return {
        'match': match,
        'name': name.strip(),
        'bands': bands,
        'convention': convention.name if convention else None,
        'nodata': nodata,
        'mean': mean,
        'std': std,
    }


def _match(value: object, where: str) -> str:
    if not isinstance(value, str) or not value.strip('/ '):
        raise ConfigError(f"{where}: match: {value!r} is no pattern; text such as '*_ms.tif'")
    if value.endswith('/'):
        raise ConfigError(f"{where}: match: '{value}' is a folder; for its files '{value}**'")
    if '\\' in value:
        raise ConfigError(f"{where}: match: '{value}' has \\ in it; folders are divided by /")
    if any('**' in part and part != '**' for part in value.split('/')):
        raise ConfigError(f"{where}: match: '{value}': ** stands alone between slashes")
    return value


def _bands(value: object, where: str) -> tuple[str | None, ...]:
    if not isinstance(value, list) or not value:
        raise ConfigError(f'{where}: bands: {value!r} is no list such as [blue, green, red, nir]')
    bands: list[str | None] = []
    for number, band in enumerate(value, 1):
        if band is None or band == '_':
            bands.append(None)
            continue
        if not isinstance(band, str) or not band.strip() or band.strip().isdecimal():
            raise ConfigError(
                f'{where}: bands: the name of band {number} is {band!r}; text is needed, '
                'or _ for a band without a meaning'
            )
        names = [common_name(other or '') for other in bands]
        same = [i for i, other in enumerate(names, 1) if other == common_name(band)]
        if same:
            raise ConfigError(f'{where}: bands: {same[0]} and {number} are both {band}')
        bands.append(band.strip())
    if not any(bands):
        raise ConfigError(f'{where}: bands: not one has a meaning')
    return tuple(bands)


def _convention(value: object, where: str) -> Convention:
    if not isinstance(value, str) or value not in BY_NAME:
        raise ConfigError(
            f'{where}: unknown convention {value!r}; choose one of: {", ".join(sorted(BY_NAME))}'
        )
    return BY_NAME[value]


def _number(value: object, where: str) -> float:
    """Read a number; YAML takes 1e4 for text, and yes for one."""
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError
        return float(value)
    except ValueError:
        raise ConfigError(f'{where} {value!r} is not a number') from None


def _statistics(
    entry: Mapping[str, Any],
    bands: Sequence[str | None],
    convention: Convention | None,
    where: str,
) -> tuple[dict[str, float], dict[str, float]]:
    """Read the means and deviations, which come together and for the same bands."""
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
        listed = enumerate(value, 1)
        return {
            str(i): _number(one, f'{where} of band {i}:') for i, one in listed if one is not None
        }
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
    return {str(name): _number(one, f'{where} {name}:') for name, one in value.items()}


def _place(
    name: str, bands: Sequence[str | None], convention: Convention | None
) -> int | str | None:
    """Return what tells a band from the others of a rule, None for a name it does not have."""
    if convention is None:
        return find_band(name, bands)
    if convention.known([name]):
        return convention.known([name])[0]
    return convention.bands.get(common_name(name), (None,))[0]
