"""Look through the directories of a TIFF before GDAL does: is it whole, and is it sane?

What libtiff believes of a header it acts upon, so a header that lies costs memory and time; and
of a file cut short it says so only once the missing pixels are asked for. Format: TIFF 6.0, and
BigTIFF as libtiff writes it.
"""

import math
import struct
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import UnusableError
from .limits import (
    MOST_BANDS,
    check_block,
    check_metadata,
    check_overviews,
    check_pixels,
    check_references,
)

#: First bytes of a file: little and big endian, TIFF and BigTIFF.
MAGIC = (b'II*\0', b'MM\0*', b'II+\0', b'MM\0+')

#: Images in one file: the raster, its overviews and its masks. Multi-page scans have more.
MOST_IMAGES = 256

#: Entries of a directory that libtiff takes for sane.
MOST_ENTRIES = 4096

#: Blocks checked at a time, so that an index of any length takes little memory.
CHUNK = 1 << 20

WIDTH, HEIGHT, BITS, COMPRESSION, SAMPLES, ROWS, PLANAR = 256, 257, 258, 259, 277, 278, 284
STRIPS, STRIP_SIZES, TILE_WIDTH, TILE_HEIGHT, TILES, TILE_SIZES = 273, 279, 322, 323, 324, 325

#: Text of the coordinate reference system (GeoAsciiParams), and of GDAL's metadata.
REFERENCE, METADATA = 34737, 42112

#: Bytes of a value, by the number of its type.
_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_BYTES |= {16: 8, 17: 8, 18: 8}
_UNSIGNED = {1: 'u1', 3: 'u2', 4: 'u4', 16: 'u8'}

#: Tags that grow with the pixels.
_LISTS = {STRIPS, STRIP_SIZES, TILES, TILE_SIZES}


class Tag(NamedTuple):
    """One entry of a directory.

    Attributes:
        kind: Number of its type.
        values: How many it holds.
        at: Where in the file they lie, in bytes.
    """

    kind: int
    values: int
    at: int

    @property
    def size(self) -> int:
        """Bytes of its values; types that libtiff does not know are never loaded."""
        return self.values * _BYTES.get(self.kind, 0)


class Tiff(NamedTuple):
    """An open TIFF.

    Attributes:
        file: The file.
        size: Its bytes.
        order: '<' for little, '>' for big endian.
        big: Whether it is a BigTIFF.
    """

    file: BinaryIO
    size: int
    order: str
    big: bool

    def numbers(self, at: int, layout: str) -> tuple[int, ...]:
        """Read numbers, laid out as for :mod:`struct`."""
        layout = self.order + layout
        self.file.seek(min(at, self.size))
        data = self.file.read(struct.calcsize(layout))
        if len(data) < struct.calcsize(layout):
            raise UnusableError('is cut short in its header; copy or download it again')
        return struct.unpack(layout, data)

    def array(self, tag: Tag, start: int, stop: int) -> NDArray[np.uint64]:
        """Read the values ``start`` to ``stop`` of an unsigned tag, fewer if it has no more."""
        if tag.kind not in _UNSIGNED:
            raise _damaged(f'numbers of type {tag.kind} where whole ones belong')
        dtype = np.dtype(self.order + _UNSIGNED[tag.kind])
        start, stop = min(start, tag.values), min(stop, tag.values)
        self.file.seek(tag.at + start * dtype.itemsize)
        data = self.file.read((stop - start) * dtype.itemsize)
        return np.frombuffer(data, dtype).astype(np.uint64)

    def first(self, tags: dict[int, Tag], number: int, default: int) -> int:
        """Return the first value of an unsigned tag."""
        tag = tags.get(number)
        return int(self.array(tag, 0, 1)[0]) if tag and tag.values else default


def check_tiff(file: BinaryIO, size: int) -> None:
    """Check every image of a TIFF: the raster, its overviews and its masks.

    Args:
        file: The file, which begins with one of :data:`MAGIC`.
        size: Its bytes.

    Raises:
        UnusableError: If it is damaged, cut short, or asks for more than it is worth.
    """
    magic = file.read(4)
    tiff = Tiff(file, size, '<' if magic[:1] == b'I' else '>', b'+' in magic)
    (at,) = tiff.numbers(8, 'Q') if tiff.big else tiff.numbers(4, 'I')
    seen: set[int] = set()
    metadata = 0
    while at:
        if at in seen:
            raise _damaged('its directories run in a circle')
        seen.add(at)
        if len(seen) > MOST_IMAGES:
            raise UnusableError(f'holds more than {MOST_IMAGES} images, which no one raster does')
        tags, at = _directory(tiff, at)
        metadata += sum(tag.size for number, tag in tags.items() if number not in _LISTS)
        check_metadata(metadata)
        for number, check in ((REFERENCE, check_references), (METADATA, check_overviews)):
            if number in tags:
                file.seek(tags[number].at)
                check(file.read(tags[number].size))
        _check_image(tiff, tags)
    if not seen:
        raise _damaged('it holds no image')


def _damaged(how: str) -> UnusableError:
    return UnusableError(f'has a damaged header: {how}; copy or download it again')


def _directory(tiff: Tiff, at: int) -> tuple[dict[int, Tag], int]:
    """Read the tags of one image, and where the next image is described (0: nowhere)."""
    head, entry, inline, link = (8, 'HHQ8s', 8, 'Q') if tiff.big else (2, 'HHI4s', 4, 'I')
    (entries,) = tiff.numbers(at, 'Q' if tiff.big else 'H')
    if not 0 < entries <= MOST_ENTRIES:
        raise _damaged(f'a directory of {entries} entries')
    length = struct.calcsize('<' + entry)
    tags: dict[int, Tag] = {}
    for start in range(at + head, at + head + entries * length, length):
        number, kind, count, _ = tiff.numbers(start, entry)
        tag = Tag(kind, count, start + length - inline)
        if tag.size > inline:
            tag = tag._replace(at=tiff.numbers(tag.at, link)[0])
        if tag.at + tag.size > tiff.size:
            raise UnusableError(
                f'is cut short or damaged: its tag {number} lies beyond its end; copy or download '
                'it again'
            )
        # Of a tag that comes twice, libtiff believes the first.
        tags.setdefault(number, tag)
    return tags, tiff.numbers(at + head + entries * length, link)[0]


def _check_image(tiff: Tiff, tags: dict[int, Tag]) -> None:
    """Check the sizes that one image claims, and that all its blocks are there."""
    width, height = tiff.first(tags, WIDTH, 0), tiff.first(tags, HEIGHT, 0)
    bits, samples = tiff.first(tags, BITS, 1), tiff.first(tags, SAMPLES, 1)
    tiled = TILES in tags or TILE_WIDTH in tags
    if tiled:
        block = tiff.first(tags, TILE_WIDTH, 0), tiff.first(tags, TILE_HEIGHT, 0)
    else:
        block = width, min(tiff.first(tags, ROWS, height), height)
    if min(width, height, bits, samples, *block) < 1:
        pixels = f'{width}×{height} px of {samples} bands of {bits} bits'
        raise _damaged(f'{pixels} in blocks of {block[0]}×{block[1]} px')
    if samples > MOST_BANDS:
        raise UnusableError(f'has {samples} bands; at most {MOST_BANDS} are read')
    check_pixels(width * height * samples * bits // 8, tiff.size)
    planes = samples if tiff.first(tags, PLANAR, 1) == 2 else 1
    across, down = math.ceil(width / block[0]), math.ceil(height / block[1])
    size = block[0] * block[1] * samples // planes * bits // 8
    packed = tiff.first(tags, COMPRESSION, 1) != 1
    # libtiff cuts a single strip that is not packed into small ones by itself.
    if packed or tiled or down > 1:
        check_block(size)
    offsets = tags.get(TILES if tiled else STRIPS)
    counts = tags.get(TILE_SIZES if tiled else STRIP_SIZES)
    blocks = across * down * planes
    if offsets is None or offsets.values < blocks:
        raise _damaged(f'it lists {offsets.values if offsets else 0} of its {blocks} blocks')
    missing = _count_missing(tiff, offsets, counts, blocks, math.inf if packed else size)
    if missing:
        raise UnusableError(
            f'is cut short or damaged: {missing} of its {blocks} blocks lie beyond its end; copy '
            'or download it again'
        )


def _count_missing(
    tiff: Tiff, offsets: Tag, counts: Tag | None, blocks: int, largest: float
) -> int:
    """Count the blocks that reach beyond the end of the file.

    Args:
        tiff: The file.
        offsets: Where its blocks lie.
        counts: The bytes of each, if it says so.
        blocks: Number of blocks.
        largest: Bytes a block can have at most: what is not packed may claim more than is read.
    """
    missing = 0
    for start in range(0, blocks, CHUNK):
        ends = tiff.array(offsets, start, min(start + CHUNK, blocks)).astype(np.float64)
        if counts:
            sizes = tiff.array(counts, start, min(start + CHUNK, blocks))[: len(ends)]
            ends[: len(sizes)] += np.minimum(sizes.astype(np.float64), largest)
        missing += int((ends > tiff.size).sum())
    return missing
