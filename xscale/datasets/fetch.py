"""Bytes of remote rasters, read by GDAL: what it fetches here it need not fetch again to open them.

GDAL keeps what it knows of an address, and the last 16 MB that it fetched, for each process.
rasterio has no functions for files, so GDAL's own are called, in the library that rasterio loaded.
"""

import ctypes
import hashlib
import io
import os
import re
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from functools import cache
from http import HTTPStatus
from typing import Any

import rasterio
from rasterio.env import get_gdal_config
from rasterio.errors import RasterioIOError

from ..errors import ConfigError, UnusableError
from .remote import conceal, gdal_path, is_remote

#: What GDAL is told where the user does not: seconds to connect and for a whole request, how often
#: one is repeated where a server is busy or silent, and the seconds to the first repetition, which
#: double. Many small parts of a striped file would open 250 connections at once.
SETTINGS = {
    'GDAL_HTTP_CONNECTTIMEOUT': '10',
    'GDAL_HTTP_TIMEOUT': '30',
    'GDAL_HTTP_MAX_RETRY': '2',
    'GDAL_HTTP_RETRY_DELAY': '1',
    'GDAL_HTTP_MAX_TOTAL_CONNECTIONS': '16',
}

#: What looking at a header may cost, in bytes and seconds: a server can serve without end.
MOST_BYTES, MOST_SECONDS = 64_000_000, 120


def prepare() -> None:
    """Tell GDAL how patient to be, by the environment, which its own threads and workers share.

    Called before threads are started: it is not safe to change an environment that another thread
    looks at.
    """
    _take_over(os.getpid())
    for name, value in SETTINGS.items():
        if get_gdal_config(name) is None:
            os.environ[name] = value


def settings() -> rasterio.Env:
    """Return the environment that remote rasters are opened in."""
    prepare()
    # Neither folders are listed nor sidecars looked for.
    return rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN='EMPTY_DIR')


@cache
def _take_over(process: int) -> None:
    """Begin a process without connections: a forked worker must not share its parent's."""
    _gdal().VSICurlClearCache()


def stamp(address: str) -> tuple[int, int]:
    """Ask a server for what tells whether a file has changed.

    Args:
        address: The file.

    Returns:
        Its bytes, and when it was changed in nanoseconds since 1970; of a file without a date a
        number made of its ETag, and 0 without that.

    Raises:
        UnusableError: If the server does not answer, or does not know the file.
    """
    with settings():
        forget(address)
        headers = _headers(address)
    parts = headers.get('content-range', '').rpartition('/')[2]
    size = parts or headers.get('content-length', '')
    if not size.isdecimal():
        raise UnusableError('cannot be fetched: its server does not say how long it is')
    return int(size), _changed(headers)


def forget(address: str) -> None:
    """Let GDAL forget what it knows of an address, failures too.

    Args:
        address: The file.
    """
    _gdal().VSICurlPartialClearCache(gdal_path(address).encode())


def persistently[T](path: str, read: Callable[[], T]) -> T:
    """Read pixels, of an address a second time where that fails.

    GDAL repeats no transfer that broke off in the middle, and keeps what came as all there is.

    Args:
        path: The file, or its address.
        read: Opens and reads it.
    """
    try:
        return read()
    except RasterioIOError:
        if not is_remote(path):
            raise
        forget(path)
    try:
        return read()
    except RasterioIOError:
        forget(path)
        raise


class RemoteFile(io.RawIOBase):
    """A remote file, to be read within :func:`settings`.

    Attributes:
        size: Its bytes.
    """

    def __init__(self, address: str) -> None:
        """Ask for its length.

        Args:
            address: The file.

        Raises:
            UnusableError: If the server does not answer, or does not know the file.
        """
        self._handle: int | None = None
        self._gdal, self._address, self._at, self._fetched = _gdal(), address, 0, 0
        self._until = time.monotonic() + MOST_SECONDS
        self._handle = _open(address)
        self._gdal.VSIFSeekL(self._handle, 0, io.SEEK_END)
        self.size: int = self._gdal.VSIFTellL(self._handle)

    def close(self) -> None:
        """Close it."""
        if self._handle is not None:
            self._gdal.VSIFCloseL(self._handle)
            self._handle = None
        super().close()

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a byte, without a request.

        Args:
            offset: Bytes from there.
            whence: From where.
        """
        self._at = offset + (0, self._at, self.size)[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Fetch bytes.

        Args:
            buffer: Where to put them.

        Raises:
            UnusableError: If the server fails, or it becomes too much.
        """
        wanted = max(0, min(len(buffer), self.size - self._at))
        self._fetched += wanted
        if self._fetched > MOST_BYTES:
            raise UnusableError(f'has a header of more than {MOST_BYTES / 1e6:.0f} MB')
        if time.monotonic() > self._until:
            raise UnusableError(f'cannot be fetched: its header takes more than {MOST_SECONDS} s')
        data = (ctypes.c_char * wanted).from_buffer(buffer) if wanted else None
        _reset()
        self._gdal.VSIFSeekL(self._handle, self._at, io.SEEK_SET)
        if data and self._gdal.VSIFReadL(data, 1, wanted, self._handle) < wanted:
            raise _failure(self._address)
        self._at += wanted
        return wanted


def _open(address: str) -> int:
    path = gdal_path(address).encode()
    _reset()
    handle = _gdal().VSIFOpenExL(path, b'rb', 1)
    if not handle and _is_refused(address) and _by_reading(address):
        handle = _gdal().VSIFOpenExL(path, b'rb', 1)
    if not handle:
        raise _failure(address)
    return handle


def _headers(address: str) -> dict[str, str]:
    """Return the headers of a server's answer, names in lower case."""
    found = _metadata(address)
    if not found and _is_refused(address):
        found = _by_reading(address)
    if not found:
        raise _failure(address)
    return found


def _is_refused(address: str) -> bool:
    """Tell whether a signed address may not have been asked for its length alone."""
    return '?' in address and ' 403' in str(_failure(address))


def _by_reading(address: str) -> dict[str, str]:
    """Ask for headers by reading (GET), for which alone some signatures hold."""
    forget(address)
    with rasterio.Env(CPL_VSIL_CURL_USE_HEAD=False):
        return _metadata(address)


def _metadata(address: str) -> dict[str, str]:
    _reset()
    lines = _gdal().VSIGetFileMetadata(gdal_path(address).encode(), b'HEADERS', None)
    pairs, at = [], 0
    while lines and lines[at]:
        name, _, value = lines[at].decode('latin-1').partition('=')
        pairs.append((name.lower(), value.strip()))
        at += 1
    _gdal().CSLDestroy(lines)
    return dict(pairs)


def _changed(headers: Mapping[str, str]) -> int:
    try:
        return int(parsedate_to_datetime(headers['last-modified']).timestamp()) * 10**9
    except (KeyError, ValueError):
        tag = headers.get('etag', '')
        return int.from_bytes(hashlib.sha256(tag.encode()).digest()[:7]) if tag else 0


def _reset() -> None:
    _gdal().VSIErrorReset()
    _gdal().CPLErrorReset()


def _failure(address: str) -> UnusableError:
    """Say why the last call failed."""
    words = _gdal().VSIGetLastErrorMsg() or _gdal().CPLGetLastErrorMsg() or b'its answer broke off'
    text = conceal(words.decode('utf-8', 'replace'), address)
    if 'Range downloading' in text:
        text = 'its server sends files only as a whole; download it'
    elif code := re.search(r'HTTP\D*([45]\d\d)\b', text):
        known = {status.value: f' {status.phrase}' for status in HTTPStatus}
        text = f'its server answers {code[1]}{known.get(int(code[1]), "")}'
    return UnusableError(f'cannot be fetched: {text.removeprefix("CURL error: ")}')


@cache
def _gdal() -> ctypes.CDLL:
    """Return the GDAL that rasterio uses: its functions are found through rasterio's own module."""
    gdal = ctypes.CDLL(rasterio._base.__file__)
    text, number, handle = ctypes.c_char_p, ctypes.c_uint64, ctypes.c_void_p
    types: dict[str, tuple[Any, list[Any]]] = {
        'VSIFOpenExL': (handle, [text, text, ctypes.c_int]),
        'VSIFCloseL': (ctypes.c_int, [handle]),
        'VSIFSeekL': (ctypes.c_int, [handle, number, ctypes.c_int]),
        'VSIFTellL': (number, [handle]),
        'VSIFReadL': (ctypes.c_size_t, [handle, ctypes.c_size_t, ctypes.c_size_t, handle]),
        'VSIGetFileMetadata': (ctypes.POINTER(text), [text, text, handle]),
        'CSLDestroy': (None, [ctypes.POINTER(text)]),
        'VSICurlPartialClearCache': (None, [text]),
        'VSICurlClearCache': (None, []),
        'VSIErrorReset': (None, []),
        'VSIGetLastErrorMsg': (text, []),
        'CPLErrorReset': (None, []),
        'CPLGetLastErrorMsg': (text, []),
    }
    try:
        for name, (result, arguments) in types.items():
            function = getattr(gdal, name)
            function.restype, function.argtypes = result, arguments
    except AttributeError as error:
        raise ConfigError(
            'remote rasters cannot be read on this system, where the functions of GDAL are not '
            'found; download them'
        ) from error
    return gdal
