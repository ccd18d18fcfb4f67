"""JPEG and PNG: red, green and blue, without a place on Earth."""

import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...errors import UnusableError
from ..bands import choose

#: Formats without a place on Earth, by suffix, and how their files begin and end.
PHOTOS = {'.jpg': 'JPEG', '.jpeg': 'JPEG', '.png': 'PNG'}
BEGINS = {'JPEG': b'\xff\xd8\xff', 'PNG': b'\x89PNG\r\n\x1a\n'}
ENDS = {'JPEG': b'\xff\xd9', 'PNG': b'IEND\xaeB`\x82'}

#: Bytes at the end among which the end mark is; some writers pad.
TAIL = 4096

RGB = ('red', 'green', 'blue')

#: A GSD that tells no family of sensors, for files without a place.
ANY_GSD = 10.0


def is_photo(path: str) -> bool:
    """Return whether a file is called a JPEG or PNG, which have no place on Earth."""
    return os.path.splitext(path)[1].lower() in PHOTOS


def open_photo(path: str) -> Image.Image:
    """Open a JPEG or PNG whose file is whole.

    Args:
        path: The file.

    Raises:
        UnusableError: If it is not whole, not what it is called, or of more bits than are read.
        OSError: If it cannot be read.
    """
    kind = PHOTOS[os.path.splitext(path)[1].lower()]
    with open(path, 'rb') as file:
        head = file.read(8)
        file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL))
        tail = file.read()
    if not head:
        raise UnusableError('is empty')
    other = next((name for name, begin in BEGINS.items() if head.startswith(begin)), '')
    if not other:
        raise UnusableError(f'is no {kind}: it does not begin as one does')
    # Many a collection calls its JPEGs .png; both are read alike.
    if ENDS[other] not in tail:
        raise UnusableError(f'is cut short: the end of the {other} is missing')
    photo = Image.open(path, formats=(other,))
    if any(';16B' in str(tile[3]) for tile in photo.tile) and not photo.mode.startswith('I'):
        photo.close()
        raise UnusableError(
            'is a PNG of 16 bits a colour, of which 8 would be read; write it as a GeoTIFF'
        )
    return photo


def depth(photo: Image.Image) -> str:
    """Return the dtype of a photo's values."""
    return 'uint16' if photo.mode.startswith('I') else 'uint8'


def photo_bands(bands: Sequence[str]) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Choose bands of a JPEG or PNG, which are red, green and blue.

    Args:
        bands: Bands wanted, by number, name or common name; empty for all.

    Returns:
        Their numbers, from 1, and their names.

    Raises:
        BandsNotFoundError: If a band is not there.
    """
    chosen = choose(bands, list(RGB), list(RGB), ANY_GSD)
    return chosen.indexes, chosen.names


def photo_pixels(photo: Image.Image) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Read red, green and blue; grey counts for all three.

    An alpha channel is where there is data if it takes only 0 and the maximum; else it is left
    out: what is half transparent holds data.

    Args:
        photo: The open file.

    Returns:
        Values (3, H, W) float32, 0 where invalid, and validity (H, W).
    """
    if photo.mode.startswith('I'):
        grey = np.asarray(photo, np.float32)
        return np.repeat(grey[None], 3, 0), np.ones(grey.shape, bool)
    if photo.has_transparency_data:
        pixels = np.asarray(photo.convert('RGBA'))
        alpha, pixels = pixels[..., 3], pixels[..., :3]
        valid = alpha > 0 if np.isin(alpha, (0, 255)).all() else np.ones(alpha.shape, bool)
    else:
        pixels = np.asarray(photo.convert('RGB'))
        valid = np.ones(pixels.shape[:2], bool)
    image = np.ascontiguousarray(pixels.transpose(2, 0, 1), np.float32)
    image[:, ~valid] = 0
    return image, valid
