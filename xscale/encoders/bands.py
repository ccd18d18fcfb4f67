"""Find the bands an encoder was trained on among those of the data."""

import re
from collections.abc import Sequence

#: Names that mean the three visible bands and near infrared, as :func:`plain` writes them:
#: NAIP's letters, and the numbers of Sentinel-2.
COMMON = {
    'R': 'red',
    'G': 'green',
    'B': 'blue',
    'N': 'nir',
    'B4': 'red',
    'B3': 'green',
    'B2': 'blue',
    'B8': 'nir',
}

RGB = ('red', 'green', 'blue')


def plain(name: str) -> str:
    """Write a band's name without case, separators and leading zeros.

    Args:
        name: Such as 'B04' or 'sr_b4'.
    """
    letters = ''.join(char for char in name.upper() if char.isalnum())
    return re.sub(r'(?<=[A-Z])0+(?=\d)', '', letters)


def common_names(bands: Sequence[str]) -> list[str]:
    """Return the common name of each band, or its own where it has none.

    Args:
        bands: Names as files or checkpoints have them.
    """
    names = [plain(band) for band in bands]
    # Landsat's stacks begin with B1 too, and which numbers are the visible ones depends on the
    # satellite; only Sentinel-2 has a B8A.
    landsat = 'B1' in names and 'B8A' not in names
    skipped = {'B2', 'B3', 'B4', 'B8'} if landsat else set()
    return [name if name in skipped else COMMON.get(name, name).upper() for name in names]


def numbered(bands: Sequence[str]) -> bool:
    """Tell whether bands carry numbers for names, so that nothing is known of them.

    Args:
        bands: Their names.
    """
    return all(band.isdigit() for band in bands)


def match_bands(have: Sequence[str], need: Sequence[str]) -> list[int] | None:
    """Find needed bands among those that are there.

    By the names as they are, else by common names. Bands that are only numbered fit as many
    others, in their order.

    Args:
        have: Bands of the data.
        need: Bands of the encoder.

    Returns:
        For each needed band its place among the data's; None where one is missing.
    """
    if numbered(have) or numbered(need):
        return list(range(len(need))) if len(have) == len(need) else None
    for names in (lambda bands: [plain(band) for band in bands], common_names):
        there, wanted = names(have), names(need)
        if all(there.count(name) == 1 for name in wanted):
            return [there.index(name) for name in wanted]
    return None
