"""Look through the boxes of a JPEG 2000 file before GDAL does.

OpenJPEG sets up every tile that a header announces, for every band, before it reads one. Format:
ISO/IEC 15444-1, annexes A.5.1 (SIZ) and I (boxes).
"""

import math
import struct
from typing import BinaryIO

from ..errors import UnusableError
from .limits import (
    LARGEST_BLOCK,
    MOST_BANDS,
    check_block,
    check_metadata,
    check_overviews,
    check_pixels,
    check_references,
)

#: First bytes of a file.
MAGIC = b'\0\0\0\x0cjP  \r\n\x87\n'

#: Boxes of one file; usual are about ten.
MOST_BOXES = 1000

#: Bytes that OpenJPEG 2.5 keeps of each tile, and of each band of each tile, as measured.
PER_TILE, PER_BAND = 6300, 1050

_SIZE = struct.Struct('>HHHH8IH')


def check_jpeg2000(file: BinaryIO, size: int) -> None:
    """Check the boxes and the image sizes.

    Args:
        file: The file, which begins with :data:`MAGIC`.
        size: Its bytes.

    Raises:
        UnusableError: If it is damaged, cut short, or asks for more than it is worth.
    """
    at = metadata = 0
    for _ in range(MOST_BOXES):
        file.seek(at)
        head = file.read(16).ljust(16, b'\0')
        length, kind = struct.unpack_from('>I4s', head)
        start = at + 8
        if length == 1:
            (length,) = struct.unpack_from('>Q', head, 8)
            start = at + 16
        elif length == 0:
            length = size - at
        if length < start - at or at + length > size:
            raise UnusableError(
                f'is cut short or damaged: {size:,} of {at + length:,} bytes are there; copy or '
                'download it again'
            )
        if kind == b'jp2c':
            file.seek(start)
            _check_size(file.read(_SIZE.size), size)
            return
        metadata += length
        check_metadata(metadata)
        text = file.read(length)
        check_references(text)
        check_overviews(text)
        at += length
    raise UnusableError('has a damaged header: no image among its boxes; download it again')


def _check_size(head: bytes, size: int) -> None:
    """Check the sizes that the codestream claims."""
    if len(head) < _SIZE.size or head[:4] != b'\xff\x4f\xff\x51':
        raise UnusableError('has a damaged header: its image begins with no size')
    _, _, _, _, *grid, bands = _SIZE.unpack(head)
    right, lower, left, upper, tile_width, tile_height, tile_left, tile_upper = grid
    width, height = right - left, lower - upper
    if min(width, height, tile_width, tile_height, bands) < 1:
        raise UnusableError(
            f'has a damaged header: {width}×{height} px of {bands} bands in tiles of '
            f'{tile_width}×{tile_height} px'
        )
    if bands > MOST_BANDS:
        raise UnusableError(f'has {bands} bands; at most {MOST_BANDS} are read')
    check_pixels(width * height * bands, size)
    tiles = math.ceil((right - tile_left) / tile_width)
    tiles *= math.ceil((lower - tile_upper) / tile_height)
    if tiles * (PER_TILE + PER_BAND * bands) > LARGEST_BLOCK:
        raise UnusableError(f'announces {tiles:,} tiles of {bands} bands; cut it up')
    # A single tile is unpacked in parts, several are unpacked whole, to four bytes a pixel.
    if tiles > 1:
        check_block(tile_width * tile_height * bands * 4)
