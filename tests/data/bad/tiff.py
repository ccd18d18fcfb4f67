"""Build a small TIFF tag by tag, so that any of them can lie."""

import struct
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

SIDE, ROWS = 32, 8

#: Numbers of the types, by their letter in :mod:`struct`.
KINDS = {'B': 1, 's': 2, 'H': 3, 'I': 4, 'd': 12, 'Q': 16}

UTM33 = (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32633)


class Raw(NamedTuple):
    """An entry written as it is: its type, how many values it claims, and where they would lie."""

    kind: int
    values: int
    at: int


#: A tag as its type's letter and its values, as a raw entry, or None to leave it out.
type Value = tuple[str, Sequence[float] | bytes] | Raw | None
type Tags = Mapping[int, Value]


def sound() -> dict[int, Value]:
    """Return the tags of a sound raster of 10 m in UTM zone 33, SIDE pixels a side."""
    strips = SIDE // ROWS
    return {
        256: ('H', [SIDE]),
        257: ('H', [SIDE]),
        258: ('H', [8]),
        259: ('H', [1]),
        262: ('H', [1]),
        273: ('I', [index * SIDE * ROWS for index in range(strips)]),
        277: ('H', [1]),
        278: ('H', [ROWS]),
        279: ('I', [SIDE * ROWS] * strips),
        33550: ('d', [10, 10, 0]),
        33922: ('d', [0, 0, 0, 500_000, 5_300_000, 0]),
        34735: ('H', UTM33),
    }


def build(
    edits: Tags | None = None, order: str = '<', big: bool = False, after: int | None = 0
) -> bytes:
    """Build a file: header, directory, values, pixels.

    Args:
        edits: Tags that differ from :func:`sound`. What tag 273 gives in a tuple counts from the
            first pixel.
        order: '<' for little, '>' for big endian.
        big: Whether to write a BigTIFF.
        after: Where the next directory lies; None for this very one.
    """
    at = 16 if big else 8
    tags = sound() | dict(edits or {})
    pixels = at + len(directory(tags, at, order, big))
    strips = tags[273]
    if isinstance(strips, tuple) and isinstance(strips[1], list):
        tags[273] = (strips[0], [pixels + offset for offset in strips[1]])
    mark = {'<': b'II', '>': b'MM'}[order]
    version = (43, 8, 0) if big else (42,)
    head = struct.pack(f'{order}{len(version)}H{"Q" if big else "I"}', *version, at)
    grey = np.random.default_rng(0).integers(1, 255, SIDE * SIDE, dtype=np.uint8)
    body = directory(tags, at, order, big, at if after is None else after)
    return mark + head + body + grey.tobytes()


def directory(tags: Tags, at: int, order: str = '<', big: bool = False, after: int = 0) -> bytes:
    """Lay out one directory and the values that do not fit into it.

    Args:
        tags: Its tags; offsets count from the start of the file.
        at: Where it will lie.
        order: '<' for little, '>' for big endian.
        big: Whether it is of a BigTIFF.
        after: Where the next directory lies, 0 for nowhere.
    """
    count, entry, link = ('Q', 'HHQ', 'Q') if big else ('H', 'HHI', 'I')
    inline = struct.calcsize(f'<{link}')
    kept = {number: tag for number, tag in sorted(tags.items()) if tag is not None}
    values = (
        at + struct.calcsize(f'<{count}{link}') + len(kept) * struct.calcsize(f'<{entry}{link}')
    )
    entries, payload = struct.pack(order + count, len(kept)), b''
    for number, tag in kept.items():
        if isinstance(tag, Raw):
            entries += struct.pack(order + entry + link, number, tag.kind, tag.values, tag.at)
            continue
        letter, numbers = tag
        if isinstance(numbers, bytes):
            data = numbers
        else:
            data = struct.pack(f'{order}{len(numbers)}{letter}', *numbers)
        amount = len(data) // struct.calcsize(letter)
        entries += struct.pack(order + entry, number, KINDS[letter], amount)
        if len(data) > inline:
            entries += struct.pack(order + link, values + len(payload))
            payload += data
        else:
            entries += data.ljust(inline, b'\0')
    return entries + struct.pack(order + link, after) + payload
