"""Which band of a file is red? Names across the conventions of sensors."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import BandsNotFoundError


@dataclass(frozen=True, slots=True)
class Convention:
    """How a family of sensors names its bands.

    Attributes:
        name: Name of the family.
        gsds: Its native ground sample distances in metres, to tell families apart that use the
            same names for other bands.
        bands: Common name (as in the STAC ``eo`` extension) to the sensor's own names.
    """

    name: str
    gsds: tuple[float, ...]
    bands: dict[str, tuple[str, ...]]

    def knows(self, names: Sequence[str]) -> int:
        """Count the names that belong to this convention."""
        own = {own for names in self.bands.values() for own in names}
        return sum(_plain(name) in own for name in names)

    def distance(self, gsd: float) -> float:
        """Return how far a GSD lies from the family's nearest one, as a ratio in logarithm."""
        return min(abs(math.log(gsd / native)) for native in self.gsds)


CONVENTIONS = (
    Convention(
        'naip',
        (0.6, 1.0),
        {'red': ('R',), 'green': ('G',), 'blue': ('B',), 'nir': ('N', 'NIR')},
    ),
    Convention(
        'sentinel-2',
        (10.0, 20.0, 60.0),
        {
            'coastal': ('B1',),
            'blue': ('B2',),
            'green': ('B3',),
            'red': ('B4',),
            'rededge071': ('B5',),
            'rededge075': ('B6',),
            'rededge078': ('B7',),
            'nir': ('B8',),
            'nir08': ('B8A',),
            'nir09': ('B9',),
            'cirrus': ('B10',),
            'swir16': ('B11',),
            'swir22': ('B12',),
        },
    ),
    Convention(
        'landsat-8-9',
        (30.0, 15.0),
        {
            'coastal': ('B1',),
            'blue': ('B2',),
            'green': ('B3',),
            'red': ('B4',),
            'nir': ('B5',),
            'swir16': ('B6',),
            'swir22': ('B7',),
            'pan': ('B8',),
            'cirrus': ('B9',),
            'lwir11': ('B10',),
            'lwir12': ('B11',),
        },
    ),
    Convention(
        'common names',
        (1.0,),
        {
            'red': ('RED',),
            'green': ('GREEN',),
            'blue': ('BLUE',),
            'nir': ('NIR',),
            'alpha': ('ALPHA',),
        },
    ),
)


def _plain(name: str) -> str:
    """Reduce spellings of one band to one: ``SR_B4``, ``B04`` and ``b4`` are ``B4``."""
    name = re.sub(r'^(SR|TOA)_', '', name.strip().upper())
    return re.sub(r'^B0(\d)$', r'B\1', name)


def recognise(names: Sequence[str | None], gsd: float) -> Convention | None:
    """Find the convention that a file's band names follow.

    Args:
        names: Band descriptions; None where a band has none.
        gsd: Ground sample distance of the file in metres, which tells Landsat's ``B5`` (near
            infrared) from Sentinel-2's (red edge).

    Returns:
        The convention that knows most of the names (quality bands belong to none), or None
        where none knows any.
    """
    present = [name for name in names if name]
    fitting = [convention for convention in CONVENTIONS if convention.knows(present)]
    return min(fitting, key=lambda c: (-c.knows(present), c.distance(gsd)), default=None)


@dataclass(frozen=True, slots=True)
class BandChoice:
    """Where the asked bands lie in one file.

    Attributes:
        indexes: Band numbers, from 1, in the order asked.
        names: The file's own names of those bands; the number where it has none.
        source: How they were found: a convention, 'description', 'number' or 'colour'.
    """

    indexes: tuple[int, ...]
    names: tuple[str, ...]
    source: str


def choose(
    wanted: Sequence[str], names: Sequence[str | None], colours: Sequence[str], gsd: float
) -> BandChoice:
    """Find the asked bands in one file.

    A band is asked for by number (from 1), by its description in the file, or by its common name
    (``red``, ``green``, ``blue``, ``nir``, …), which is looked up in the convention the file's
    descriptions follow; where no band has a description, the colour interpretation is read.

    Args:
        wanted: Bands asked for; empty for all.
        names: Band descriptions; None where a band has none.
        colours: Colour interpretation of each band.
        gsd: Ground sample distance of the file in metres.

    Returns:
        Where the bands lie.

    Raises:
        BandsNotFoundError: If a band is not there.
    """
    wanted = list(wanted) or [str(number) for number in range(1, len(names) + 1)]
    convention = recognise(names, gsd)
    found = {band: _find(band, names, colours, convention) for band in wanted}
    missing = [band for band, index in found.items() if index is None]
    if missing:
        raise BandsNotFoundError(missing, names)
    indexes = tuple(index for index in found.values() if index is not None)
    own = tuple(names[index - 1] or str(index) for index in indexes)
    if convention:
        source = convention.name
    elif any(names):
        source = 'description'
    else:
        source = 'number' if all(band.isdecimal() for band in wanted) else 'colour'
    return BandChoice(indexes, own, source)


def _find(
    band: str,
    names: Sequence[str | None],
    colours: Sequence[str],
    convention: Convention | None,
) -> int | None:
    if band.isdecimal():
        return int(band) if 1 <= int(band) <= len(names) else None
    plain = [_plain(name) if name else None for name in names]
    if _plain(band) in plain:
        return plain.index(_plain(band)) + 1
    for own in convention.bands.get(band.lower(), ()) if convention else ():
        if own in plain:
            return plain.index(own) + 1
    if not any(names) and band.lower() in colours:
        return list(colours).index(band.lower()) + 1
    return None
