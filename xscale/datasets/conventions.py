"""What sensors call their bands, and what the common names for them are."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import UnusableError


@dataclass(frozen=True, slots=True)
class Convention:
    """How a family of sensors names its bands.

    Attributes:
        name: Name of the family.
        gsds: Its native ground sample distances in metres, to tell families apart that use the
            same names for other bands; empty where they say nothing.
        bands: Common name (as in the STAC ``eo`` extension) to the sensor's own names, as
            :func:`plain` writes them, the most usual first.
        stack: Own names of the stack its products usually come in, which tells it from a family
            of the same names and GSD; empty where there is none.
    """

    name: str
    gsds: tuple[float, ...]
    bands: dict[str, tuple[str, ...]]
    stack: frozenset[str] = frozenset()

    def known(self, names: Sequence[str]) -> list[str]:
        """Return the names that belong to this convention, as :func:`plain` writes them."""
        own = {own for names in self.bands.values() for own in names}
        return [plain(name) for name in names if plain(name) in own]

    def common(self, name: str) -> str | None:
        """Return the common name of a band, None where the family has no such band.

        Args:
            name: What the sensor calls it.
        """
        fitting = (common for common, own in self.bands.items() if plain(name) in own)
        return next(fitting, None)

    def distance(self, gsd: float) -> float:
        """Return how far a GSD lies from the family's nearest one, as a ratio in logarithm."""
        return min((abs(math.log(gsd / native)) for native in self.gsds), default=0.0)


COMMON = Convention(
    'common names',
    (),
    {
        'pan': ('PAN', 'PANCHROMATIC'),
        'coastal': ('COASTAL', 'COASTALBLUE', 'COASTALAEROSOL', 'AEROSOL', 'DEEPBLUE'),
        'blue': ('BLUE',),
        'green': ('GREEN',),
        'green05': ('GREEN05', 'GREENI'),
        'yellow': ('YELLOW',),
        'red': ('RED',),
        'rededge': ('REDEDGE',),
        'rededge071': ('REDEDGE071', 'REDEDGE1'),
        'rededge075': ('REDEDGE075', 'REDEDGE2'),
        'rededge078': ('REDEDGE078', 'REDEDGE3'),
        'nir': ('NIR', 'NIR1', 'NEARINFRARED', 'NEARINFRARED1'),
        'nir08': ('NIR08', 'NARROWNIR', 'NIRNARROW', 'NARROWNEARINFRARED'),
        'nir09': ('NIR09', 'WATERVAPOUR', 'WATERVAPOR'),
        'cirrus': ('CIRRUS',),
        'swir16': ('SWIR16', 'SWIR1', 'SHORTWAVEINFRARED1'),
        'swir22': ('SWIR22', 'SWIR2', 'SHORTWAVEINFRARED2'),
        'lwir': ('LWIR', 'THERMAL', 'THERMALINFRARED'),
        'lwir11': ('LWIR11', 'TIRS1', 'THERMALINFRARED1'),
        'lwir12': ('LWIR12', 'TIRS2', 'THERMALINFRARED2'),
        'alpha': ('ALPHA',),
    },
)

NAIP = Convention(
    'naip',
    (0.6, 1.0),
    {'red': ('R',), 'green': ('G',), 'blue': ('B',), 'nir': ('N', 'NIR')},
)

# Of families that know a file's names equally well the first counts: Landsat 4–7 and the
# multispectral scanner come after those whose names they share, and are told by the file's name.
CONVENTIONS = (
    COMMON,
    NAIP,
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
            # The survey's own catalogue calls Landsat's near infrared nir08.
            'nir': ('B5',),
            'nir08': ('B5',),
            'swir16': ('B6',),
            'swir22': ('B7',),
            'pan': ('B8',),
            'cirrus': ('B9',),
            'lwir11': ('B10', 'STB10'),
            'lwir12': ('B11',),
        },
    ),
    Convention(
        'landsat-4-7',
        (30.0, 15.0),
        {
            'blue': ('B1',),
            'green': ('B2',),
            'red': ('B3',),
            'nir': ('B4',),
            'nir08': ('B4',),
            'swir16': ('B5',),
            'swir22': ('B7',),
            'pan': ('B8',),
            'lwir': ('B6', 'STB6', 'B6VCID1'),
        },
        stack=frozenset({'B1', 'B2', 'B3', 'B4', 'B5', 'B7'}),
    ),
    Convention(
        'landsat-mss-4-5',
        (60.0,),
        {
            'green': ('B1',),
            'red': ('B2',),
            'nir08': ('B3',),
            'nir': ('B4',),
            'nir09': ('B4',),
        },
    ),
    Convention(
        'landsat-mss-1-3',
        (60.0,),
        {
            'green': ('B4',),
            'red': ('B5',),
            'nir08': ('B6',),
            'nir': ('B7',),
            'nir09': ('B7',),
        },
    ),
)

#: The conventions by name.
BY_NAME = {convention.name: convention for convention in CONVENTIONS}


def plain(name: str) -> str:
    """Reduce spellings of one band to one.

    ``SR_B4``, ``sr_band4``, ``B04`` and ``b4`` are ``B4``; ``Near-infrared band`` is
    ``NEARINFRARED``; of ``B4, central wavelength 665 nm`` the ``B4`` is left.

    Args:
        name: Name of a band, as a file or a person writes it.
    """
    name = re.sub(r',? central wavelength.*$', '', name.strip(), flags=re.IGNORECASE).upper()
    name = re.sub(r'^(SR|TOA)_', '', re.sub(r'^(SR|TOA)_BAND_?(?=\d)', 'B', name))
    # B1_1, of a second date, is not B11.
    name = re.sub(r'(?<!\d)[\W_]+|[\W_]+(?!\d)', '', name)
    return re.sub(r'(?<=.)BAND$', '', re.sub(r'^B0(\d)$', r'B\1', name))


def common_name(name: str) -> str:
    """Return the common name that is meant by a name: ``NIR1`` is 'nir', ``R`` is 'red'.

    Args:
        name: A name; returned plain, in lower case, where it is no common one.
    """
    return COMMON.common(name) or NAIP.common(name) or plain(name).lower()


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

    def unlikely(convention: Convention) -> tuple[int, float, bool]:
        known = convention.known(present)
        return -len(known), convention.distance(gsd), set(known) != convention.stack

    fitting = [convention for convention in CONVENTIONS if convention.known(present)]
    return min(fitting, key=unlikely, default=None)


def find_band(
    band: str, names: Sequence[str | None], convention: Convention | None = None
) -> int | None:
    """Return the number of a band, from 1, or None where it is not there.

    A name is looked for as it is written, then in any spelling, then as the common name of one
    of the convention's own, then as a common name the file itself uses.

    Args:
        band: Its number (from 1), its name in the file, or its common name.
        names: What the bands are called; None where one has no name.
        convention: The convention those names follow, if any.

    Raises:
        UnusableError: If two bands have the name.
    """
    if band.isdecimal():
        return int(band) if 1 <= int(band) <= len(names) else None
    spelled = [plain(name) if name else None for name in names]
    candidates: list[tuple[Sequence[str | None], str]] = [(names, band), (spelled, plain(band))]
    # A sensor with more than two shortwave bands numbers them otherwise: SWIR1 of WorldView-3
    # is 1.2 µm.
    taken = {'SWIR1', 'SWIR2'} if 'SWIR3' in spelled else set()
    for family in (convention, COMMON):
        own = family.bands.get(common_name(band), ()) if family else ()
        candidates += [(spelled, name) for name in own if name not in taken]
    for present, name in candidates:
        found = [number for number, other in enumerate(present, 1) if other == name]
        if len(found) > 1:
            which = ' and '.join(map(str, found))
            raise UnusableError(f'its bands {which} are both called {band}; ask by number')
        if found:
            return found[0]
    return None
