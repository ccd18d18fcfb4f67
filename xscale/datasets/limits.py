"""What a header may ask of the reader before a pixel is read, and where it may point."""

import html
import re

from ..errors import UnusableError

#: Bytes of one strip or tile once unpacked: the least that is read to see a single pixel, once by
#: each thread of a scan.
LARGEST_BLOCK = 256_000_000

#: Bytes of everything in a file that is neither pixels nor the list of its blocks.
MOST_METADATA = 16_000_000

#: Bands of one file; the statistics hold half a megabyte of each.
MOST_BANDS = 1000

#: A file may promise so many bytes of pixels whatever its size …
ALWAYS_FINE = 1_000_000_000

#: … and beyond them this many times its size. Deflate packs at most 1,032 times, imagery rarely
#: 100; a mosaic of which only every hundredth block was ever written stays below as well.
MOST_PACKED = 10_000

_GRIDS = re.compile(r'grids"?\s*[=,]|parameterfile\s*\[|\binit\s*=|\b(?:catalog|file)\s*=', re.I)
_END = re.compile(r'\s\+|"\s*[\],]|[<|]')


def check_pixels(decoded: int, size: int) -> None:
    """Refuse a header that promises more pixels than its file can hold.

    Args:
        decoded: Bytes of all pixels, unpacked.
        size: Bytes of the file.

    Raises:
        UnusableError: If it does.
    """
    if decoded > max(ALWAYS_FINE, MOST_PACKED * size):
        raise UnusableError(
            f'promises {decoded / 1e9:,.0f} GB of pixels in {size:,} bytes: its header is damaged, '
            'or it is all but empty; cut it to where its data lie with gdal_translate -projwin'
        )


def check_block(decoded: int) -> None:
    """Refuse strips and tiles that are too large to read a window from.

    Args:
        decoded: Bytes of one of them, unpacked.

    Raises:
        UnusableError: If they are.
    """
    if decoded > LARGEST_BLOCK:
        raise UnusableError(
            f'lies in strips or tiles of {decoded / 1e6:,.0f} MB, each to be unpacked whole for '
            f'any pixel in it; at most {LARGEST_BLOCK / 1e6:.0f} MB are read: cut it into smaller '
            'ones with gdal_translate -co TILED=YES'
        )


def check_metadata(size: int) -> None:
    """Refuse a file that carries a library around.

    Args:
        size: Bytes of its metadata.

    Raises:
        UnusableError: If it does.
    """
    if size > MOST_METADATA:
        raise UnusableError(
            f'carries {size / 1e6:,.0f} MB of metadata; at most {MOST_METADATA / 1e6:.0f} MB are '
            'read: write its pixels alone with gdal_translate -co PROFILE=GeoTIFF'
        )


def check_overviews(text: bytes) -> None:
    """Refuse metadata that names another file as a raster's overviews: GDAL opens any.

    Args:
        text: The metadata: XML, or boxes with it.

    Raises:
        UnusableError: If it does.
    """
    if 'overview_file' in html.unescape(text.decode('latin-1')).lower():
        raise UnusableError(
            'names another file as its overviews, which is not opened; write the raster anew with '
            'gdal_translate'
        )


def check_references(text: bytes) -> None:
    """Refuse a coordinate reference system that names a grid file by its path or address.

    PROJ opens whatever file is named there, GDAL as soon as it opens the raster. A bare name is
    looked up among PROJ's own grids and is fine.

    Args:
        text: What may hold the reference system: well-known text, XML, or boxes with either.

    Raises:
        UnusableError: If it does.
    """
    for named in _GRIDS.split(html.unescape(text.decode('latin-1')))[1:]:
        if set(_END.split(named, maxsplit=1)[0]) & set('/\\~'):
            raise UnusableError(
                'its coordinate reference system points to another file, which is not opened; '
                'write it anew with gdal_edit -a_srs'
            )
