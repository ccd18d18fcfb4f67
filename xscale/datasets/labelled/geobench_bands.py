"""What GEO-Bench calls the bands of a task, and which of them is red."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ...errors import BandsNotFoundError, ConfigError, UnusableError
from ..conventions import BY_NAME, COMMON, find_band, recognise
from .unpickle import fields, kind, texts

#: Sentinel-2's bands in the order of all.
SENTINEL2 = (
    *('B01', 'B02', 'B03', 'B04', 'B05', 'B06', 'B07', 'B08'),
    *('B8A', 'B09', 'B10', 'B11', 'B12'),
)

#: What the channels are of two tasks that were published with :data:`SENTINEL2` for names; their
#: pixels are right. Issues 28 and 29 of GEO-Bench.
TRUE_BANDS = {
    'm-eurosat': (*SENTINEL2[:8], 'B09', 'B10', 'B11', 'B12', 'B8A'),
    'm-brick-kiln': (
        *SENTINEL2[:5],
        *('B07', 'B8A', 'B08', 'B11', 'B12', 'TCI_R', 'TCI_G', 'TCI_B'),
    ),
}


class Band(NamedTuple):
    """A band of a task.

    Attributes:
        stored: What its samples call it.
        name: What it is called here: as in ``B04``, or by its common name.
        others: What else the task calls it.
    """

    stored: str
    name: str
    others: tuple[str, ...]


def bands_of(task: dict[str, Any], folder: Path, notes: list[str]) -> list[Band]:
    """Return the bands of a task.

    Args:
        task: Its attributes.
        folder: Its folder, whose name tells the tasks apart that were published with wrong names.
        notes: Where it is told that they were.

    Raises:
        ConfigError: If it has none.
    """
    told = task['bands_info']
    found = [_band(one) for one in told] if isinstance(told, list | tuple) else []
    if not found or not all(band.stored for band in found):
        raise ConfigError(f'{folder}/task_specs.pkl names no bands (bands_info)')
    names = tuple(band.name for band in found)
    known = (folder.resolve().name, *texts([task.get('dataset_name')]))
    called = next((one for one in known if one in TRUE_BANDS), '')
    if not called or names != SENTINEL2:
        return found
    notes.append(
        f'{called} was published with wrong names of bands (issues 28 and 29 of GEO-Bench); the '
        'right ones are taken, so selecting by name differs from the geobench package'
    )
    pairs = zip(found, TRUE_BANDS[called], strict=True)
    return [Band(band.stored, name, ()) for band, name in pairs]


def _band(info: Any) -> Band:
    told = fields(info)
    stored = ''.join(texts([told.get('name')]))
    number = re.match(r'0?(\d{1,2}A?) - ', stored)
    name = COMMON.common(stored) or stored
    if number and kind(info) == 'Sentinel2':
        name = f'B{number[1]:0>2}'
    elif number and kind(info) == 'Landsat8':
        # Its own names are those of other bands of Sentinel-2.
        name = BY_NAME['landsat-8-9'].common(f'B{number[1]}') or stored
    return Band(stored, name, texts(told.get('alt_names')))


def pick(wanted: Sequence[str], bands: Sequence[Band], gsd: float) -> list[Band]:
    """Choose bands.

    Args:
        wanted: By number (from 1), by the name here or in the task, or by common name; empty for
            all.
        bands: Those there are.
        gsd: Metres per pixel, which tells sensors apart.

    Raises:
        BandsNotFoundError: If one is not there.
        UnusableError: If two of them are one band.
    """
    names = [band.name for band in bands]
    convention = recognise(names, gsd if gsd > 0 else 10.0)
    found: list[Band] = []
    missing = []
    for want in wanted:
        number = find_band(want, names, convention)
        also = (one for one in bands if want in (one.stored, *one.others))
        band = bands[number - 1] if number else next(also, None)
        if band in found:
            raise UnusableError(f'{want} and another of {", ".join(wanted)} are one band')
        if band is None:
            missing.append(want)
        else:
            found.append(band)
    if missing:
        raise BandsNotFoundError(missing, names)
    return found or list(bands)
