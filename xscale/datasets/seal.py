"""A checksum inside a Parquet file, so that no byte of it changes unnoticed.

Parquet has checksums of what pages hold, none of their headers nor of the footer, which says where
everything lies. This one lies between the pages and the footer, where no reader looks: whatever
reads Parquet reads the file, and it is still one file, replaced at once.
"""

from mmap import ACCESS_READ, mmap
from pathlib import Path
from zlib import crc32

#: Bytes of the checksum, and of what ends a file: the footer's length and Parquet's magic word.
CHECK, END = 4, 8


def seal(path: Path) -> None:
    """Put the checksum of a Parquet file into it.

    Args:
        path: The file.
    """
    with path.open('r+b') as file:
        with mmap(file.fileno(), 0, access=ACCESS_READ) as content:
            check = crc32(content).to_bytes(CHECK, 'little')
            start = _footer(content)
            footer = content[start:]
        file.seek(start)
        file.write(check + footer)


def is_whole(content: memoryview) -> bool:
    """Return whether a file is as :func:`seal` left it.

    Args:
        content: The bytes of the file.
    """
    footer = _footer(content)
    if footer < CHECK:
        return False
    check = crc32(content[footer:], crc32(content[: footer - CHECK]))
    return check.to_bytes(CHECK, 'little') == content[footer - CHECK : footer]


def _footer(content: memoryview | mmap) -> int:
    """Return where the footer begins; below 0 where that is no Parquet file."""
    return len(content) - END - int.from_bytes(content[-END : 4 - END], 'little')
