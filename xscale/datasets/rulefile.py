"""A file of rules: the YAML, and what is wrong with it."""

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from ..errors import ConfigError
from ..recipes import ROOT
from .classes import class_fields
from .conventions import BY_NAME, Convention, common_name
from .globs import BAND
from .rulenumbers import read_number, read_statistics

#: Where the rules that ship with us lie, and the file among them that is for copying.
FOLDER = ROOT / 'datasets' / 'rules'
TEMPLATE = FOLDER / 'template.yaml'

KEYS = ('match', 'name', 'bands', 'convention', 'nodata', 'mean', 'std', 'leave_out', 'dataset')


def read_rules(path: Path) -> list[dict[str, Any]]:
    """Read and check a file of rules.

    Args:
        path: The file.

    Returns:
        What each rule says, as in :class:`xscale.datasets.rules.Rule`.

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
    if 'dataset' in entry:
        return _class(entry, where)
    match = _match(entry.get('match'), where)
    if 'leave_out' in entry:
        return _left_out(entry, match, where)
    convention = _convention(entry['convention'], where) if 'convention' in entry else None
    bands: tuple[str | None, ...] = ()
    parts: dict[str, str] = {}
    if BAND in match:
        parts = _parts(entry.get('bands'), match, where)
    elif ('bands' in entry) == ('convention' in entry):
        has = 'both bands and convention' if 'bands' in entry else 'neither bands nor convention'
        raise ConfigError(
            f'{where} has {has}; one is needed: bands: says what bands 1, 2, … are, convention: '
            "by which sensor's names the files' own are to be read"
        )
    elif 'bands' in entry:
        bands = _bands(entry['bands'], where)
    nodata = entry.get('nodata')
    if nodata is not None:
        nodata = read_number(nodata, f'{where}: nodata:')
    named = tuple(parts.values())
    mean, std = read_statistics(entry, bands or named, convention, where)
    if parts:
        # Their numbers count the files that are there.
        mean, std = (
            {named[int(key) - 1] if key.isdecimal() else key: one for key, one in numbers.items()}
            for numbers in (mean, std)
        )
    return {
        'match': match,
        'name': _name(entry.get('name', convention.name if convention else match), where),
        'bands': bands,
        'convention': convention.name if convention else None,
        'nodata': nodata,
        'mean': mean,
        'std': std,
        'parts': parts,
    }


def _class(entry: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Read a rule that is a class of TorchGeo's."""
    if len(entry) > 1:
        others = ', '.join(key for key in entry if key != 'dataset')
        raise ConfigError(f'{where}: dataset: says all there is to say; take away {others}')
    named = entry['dataset']
    if not isinstance(named, str) or '.' not in named:
        raise ConfigError(
            f'{where}: dataset: {named!r} is no class; text such as torchgeo.datasets.Sentinel2'
        )
    return class_fields(named, f'{where}: dataset')


def _left_out(entry: Mapping[str, Any], match: str, where: str) -> dict[str, Any]:
    """Read a rule that leaves files out."""
    allowed = ('match', 'name', 'leave_out', *(('bands',) if BAND in match else ()))
    if others := [key for key in entry if key not in allowed]:
        raise ConfigError(f'{where}: leave_out: goes without {", ".join(others)}')
    why = entry['leave_out']
    if why is not True and (not isinstance(why, str) or not why.strip()):
        raise ConfigError(f"{where}: leave_out: {why!r} is no reason; text such as 'is a mask'")
    name, reason = entry.get('name', match), 'is left out' if why is True else why.strip()
    parts = _parts(entry.get('bands'), match, where) if BAND in match else {}
    said = {'match': match, 'name': _name(name, where), 'parts': parts, 'leave_out': reason}
    return said | {'mean': {}, 'std': {}}


def _name(value: object, where: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ConfigError(f'{where}: name: {value!r} is not the name of a sensor; text is needed')
    return value.strip()


def _match(value: object, where: str) -> str:
    if not isinstance(value, str) or not value.strip('/ '):
        raise ConfigError(f"{where}: match: {value!r} is no pattern; text such as '*_ms.tif'")
    if value.endswith('/'):
        raise ConfigError(f"{where}: match: '{value}' is a folder; for its files '{value}**'")
    if '\\' in value:
        raise ConfigError(f"{where}: match: '{value}' has \\ in it; folders are divided by /")
    if any('**' in part and part != '**' for part in value.split('/')):
        raise ConfigError(f"{where}: match: '{value}': ** stands alone between slashes")
    if value.count(BAND) > 1:
        raise ConfigError(f"{where}: match: '{value}': {BAND} stands in one place only")
    return value


def _parts(value: object, match: str, where: str) -> dict[str, str]:
    """Read the bands of files that hold one each: their names by what the files' names say."""
    if not isinstance(value, list | dict) or not value:
        raise ConfigError(
            f"{where}: match: '{match}' has {BAND} in it; bands: says what stands there, such as "
            '[B02, B03, B04], or {B04: red}, and not ' + repr(value)
        )
    parts: dict[str, str] = {}
    for part, name in value.items() if isinstance(value, dict) else zip(value, value, strict=True):
        plain = isinstance(part, str | int) and not isinstance(part, bool)
        if not plain or not re.fullmatch(r'[^/{},*?]+', str(part)):
            raise ConfigError(f'{where}: bands: {part!r} is no part of the name of a file')
        if not isinstance(name, str) or not name.strip() or name.strip().isdecimal():
            raise ConfigError(
                f'{where}: bands: the name of {part} is {name!r}; text is needed, as in '
                f'{{{part}: red}}'
            )
        if str(part).lower() in map(str.lower, parts):
            raise ConfigError(f'{where}: bands: {part} is given twice')
        parts[str(part)] = name.strip()
    return parts


def _bands(value: object, where: str) -> tuple[str | None, ...]:
    if not isinstance(value, list) or not value:
        by_name = f', and there is no {BAND} in match' if isinstance(value, dict) else ''
        raise ConfigError(
            f'{where}: bands: {value!r} is no list such as [blue, green, red, nir]{by_name}'
        )
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
