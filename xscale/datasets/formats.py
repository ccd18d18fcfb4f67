"""Open rasters of the formats that are read, and nothing else.

A raster is opened by the one driver of its suffix, after its own bytes and those of its sidecars
were looked at, so that no file can make GDAL open another file or address, or unpack more than
it holds. What GDAL 3.12 would do else, as run: a ``.ovr`` or ``.msk`` of any format is opened,
a VRT too, with whatever it points to; metadata can name an overview file anywhere; PROJ opens
the grid file that a coordinate reference system names; in a folder called ``https:`` a relative
path is an address. A remote raster is opened only where a user named its address, and without
sidecars.
"""

import io
import os
import stat
from typing import BinaryIO

import rasterio
from pyproj.exceptions import ProjError
from rasterio.errors import CRSError, RasterioIOError
from rasterio.io import DatasetReader

from ..errors import UnusableError, XScaleError
from . import fetch, jpeg2000, tiff
from .limits import check_metadata, check_overviews, check_references
from .remote import conceal, gdal_path, is_remote, plain

#: Only these formats are opened, so no file can make the reader fetch another one.
DRIVERS = {'.tif': 'GTiff', '.tiff': 'GTiff', '.jp2': 'JP2OpenJPEG'}

VIRTUAL = (
    'is a virtual raster, which may point to any file or address and is not opened; write its '
    'pixels with gdal_translate'
)

_PAGE = 'is a web page, as a download behind a login leaves; download it again'

#: What files that are called rasters often are instead, by their first bytes in lower case.
IMPOSTORS = {
    b'version https://git-lfs': 'is a Git LFS pointer; fetch the raster with git lfs pull',
    b'<vrtdataset': VIRTUAL,
    b'<!doctype html': _PAGE,
    b'<html': _PAGE,
    b'<?xml': 'is XML, as a server that refuses a download answers; download it again',
    b'\x1f\x8b': 'is packed with gzip; unpack it with gunzip',
    b'pk\x03\x04': 'is a ZIP archive; unpack it',
    b'\x89png': 'is a PNG, not a GeoTIFF',
    b'\xff\xd8\xff': 'is a JPEG, not a GeoTIFF',
    b'\x89hdf': 'is HDF5 or netCDF; write a GeoTIFF of it with gdal_translate',
    b'\0' * 64: 'begins with nothing but zeros, as an unfinished download does; get it again',
}

#: What GDAL may open beside a file: its name with more at the end, …
_APPENDED = ('.ovr', '.OVR', '.msk', '.MSK', '.aux.xml', '.aux', '.AUX')

#: … or with another suffix.
_REPLACED = ('.aux', '.tfw', '.tifw', '.tiffw', '.j2w', '.jp2w', '.wld', '.tab')


def open_raster(path: str) -> DatasetReader:
    """Open a raster.

    Args:
        path: The file, or its address (:func:`~xscale.datasets.remote.address_of`).

    Raises:
        UnusableError: If it is no GeoTIFF or JPEG 2000, or is damaged, or points elsewhere, or
            cannot be fetched.
        RasterioIOError: If it is not there, or GDAL cannot open it.
        OSError: If it cannot be read.
    """
    suffix = os.path.splitext(plain(path))[1].lower()
    if suffix not in DRIVERS:
        other = f'is not called {" or ".join(DRIVERS)}: only GeoTIFF and JPEG 2000 are read'
        raise UnusableError(VIRTUAL if suffix == '.vrt' else other)
    source = (_open_remote if is_remote(path) else _open_local)(path, DRIVERS[suffix])
    if 0 in source.overviews(1):
        source.close()
        raise UnusableError('has overviews larger than itself; remove them with gdaladdo -clean')
    return source


def _open_local(path: str, driver: str) -> DatasetReader:
    _check_bytes(path, driver)
    # GDAL takes some relative paths for addresses and archives.
    path = os.path.abspath(path)
    # Probe for sidecars by name where there are some, else for none; TorchGeo's command line sets
    # this to none at all, and a listing of the folder would find more than was checked.
    probe = 'TRUE' if _check_sidecars(path) else 'EMPTY_DIR'
    with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN=probe):
        source = rasterio.open(path, driver=driver)
        # Asking for overviews looks for their sidecars, which is else put off.
        source.overviews(1)
    return source


def _open_remote(address: str, driver: str) -> DatasetReader:
    if driver != 'GTiff':
        # Nor can GDAL be kept from reading it in threads, which take what fails to come for zeros.
        raise UnusableError(
            'is JPEG 2000, of which nearly all is fetched to read any part; download it, or write '
            'it with gdal_translate -of COG'
        )
    with fetch.settings():
        try:
            with fetch.RemoteFile(address) as file:
                if not file.size:
                    raise UnusableError('is empty')
                _check_format(io.BufferedReader(file, 4096), file.size, driver)
            # In several threads, GDAL 3.12 takes what fails to come for zeros.
            source = rasterio.open(gdal_path(address), driver=driver, NUM_THREADS=1)
            source.overviews(1)
        except (UnusableError, RasterioIOError):
            # GDAL takes a file that was not there once for missing until the process ends.
            fetch.forget(address)
            raise
    return source


def explain(error: BaseException, path: str = '') -> str:
    """Say in a line why a file cannot be used.

    Args:
        error: What was raised.
        path: The file, for secrets of its address not to be told.
    """
    if isinstance(error, XScaleError):
        return str(error)
    while error.__cause__:
        # The causes are GDAL's own words.
        error = error.__cause__
    if isinstance(error, MemoryError):
        return 'needs more memory than there is'
    words = ' '.join((getattr(error, 'strerror', None) or str(error)).split())
    words = conceal(''.join(letter for letter in words if letter.isprintable()), path)
    words = words[:300] or type(error).__name__
    if isinstance(error, ProjError | CRSError):
        return f'its coordinate reference system leads nowhere on Earth: {words}'
    return f'cannot be read: {words}'


def _check_bytes(path: str, driver: str) -> None:
    """Look at a file's own bytes.

    Raises:
        UnusableError: If they are not of the driver's format, or not sound.
        RasterioIOError: If the file is not there.
    """
    try:
        status = os.stat(path)
    except OSError as error:
        if os.path.islink(path):
            raise UnusableError('is a link that leads nowhere') from error
        raise RasterioIOError(f'{path}: {error.strerror}') from None
    if not stat.S_ISREG(status.st_mode):
        raise UnusableError('is no plain file')
    if not status.st_size:
        raise UnusableError('is empty')
    with open(path, 'rb') as file:
        _check_format(file, status.st_size, driver)


def _check_format(file: BinaryIO, size: int, driver: str) -> None:
    head = file.read(64)
    file.seek(0)
    if driver == 'GTiff' and head.startswith(tiff.MAGIC):
        tiff.check_tiff(file, size)
    elif driver != 'GTiff' and head.startswith(jpeg2000.MAGIC):
        jpeg2000.check_jpeg2000(file, size)
    else:
        raise UnusableError(_what(head, driver))


def _what(head: bytes, driver: str) -> str:
    """Say what a file is that is not what it is called."""
    if head.startswith(tiff.MAGIC):
        return 'is a TIFF; call it .tif'
    if head.startswith(jpeg2000.MAGIC):
        return 'is JPEG 2000; call it .jp2'
    text = head.lstrip(b'\xef\xbb\xbf \r\n\t').lower()
    for magic, reason in IMPOSTORS.items():
        if text.startswith(magic):
            return reason
    name = 'TIFF' if driver == 'GTiff' else 'JPEG 2000'
    return f'is not a raster: it does not begin as a {name} does'


def _check_sidecars(path: str) -> bool:
    """Return whether a raster has sidecars that GDAL may look at.

    Raises:
        UnusableError: If one of them is not what it should be.
    """
    root = os.path.splitext(path)[0]
    cases = (case for suffix in _REPLACED for case in (suffix, suffix.upper()))
    names = [*(path + suffix for suffix in _APPENDED), *(root + suffix for suffix in cases)]
    found = [name for name in names if os.path.exists(name)]
    for name in found:
        try:
            _check_sidecar(name)
        except (UnusableError, OSError) as error:
            raise UnusableError(f'its sidecar {os.path.basename(name)}: {error}') from error
    return bool(found)


def _check_sidecar(path: str) -> None:
    if not os.path.isfile(path):
        raise UnusableError('is no plain file')
    suffix = os.path.splitext(path)[1].lower()
    if suffix in ('.ovr', '.msk'):
        _check_bytes(path, 'GTiff')
        _check_sidecars(path)
    elif suffix == '.xml':
        check_metadata(os.path.getsize(path))
        with open(path, 'rb') as file:
            text = file.read()
        check_references(text)
        check_overviews(text)
    elif suffix == '.aux':
        with open(path, 'rb') as file:
            if file.read(15) == b'EHFA_HEADER_TAG':
                raise UnusableError(
                    'is an ERDAS file, which may point to others and is not opened; move it away'
                )
