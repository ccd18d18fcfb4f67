"""Addresses of remote rasters: what is one, what GDAL calls it, and what of it may be shown.

An address is kept as ``scheme://…``, which no local path is: those are kept absolute, and two
slashes of a local path are one. So what a user did not name as an address is never taken for one.
"""

import re
from pathlib import Path

from ..errors import ConfigError

#: How the path that GDAL reads begins, by the scheme of the address.
PREFIXES = {
    'https': '/vsicurl/https://',
    'http': '/vsicurl/http://',
    's3': '/vsis3/',
    'gs': '/vsigs/',
    'az': '/vsiaz/',
}

#: Longer than the drive of a Windows path.
_SCHEME = re.compile(r'([a-z][a-z0-9+.-]+)://', re.IGNORECASE)
_ADDRESS = re.compile(rf'(?:{"|".join(PREFIXES)})://')
_OPENED = re.compile(rf'(?:^|\(|<SourceFilename>)(?:{"|".join(PREFIXES.values())})')


def address_of(path: str | Path) -> str:
    """Return the address that a user's path means, as it is kept; '' where it is a local one.

    Only text can be an address: in a :class:`~pathlib.Path` two slashes become one.

    Args:
        path: What the user named: an address, also as GDAL writes it (``/vsicurl/https://…``).

    Raises:
        ConfigError: If it is an address of a kind that is not read.
    """
    if isinstance(path, Path):
        return ''
    for scheme, prefix in PREFIXES.items():
        if path.startswith(prefix):
            return f'{scheme}://{path[len(prefix) :]}'
    found = _SCHEME.match(path)
    if not found:
        return ''
    scheme = found[1].lower()
    if scheme not in PREFIXES:
        known = ', '.join(f'{scheme}://' for scheme in PREFIXES)
        raise ConfigError(f'{path}: rasters are read from {known}; download it, and give its path')
    return f'{scheme}://{path[found.end() :]}'


def is_remote(path: str) -> bool:
    """Return whether a path as it is kept is an address.

    Args:
        path: An absolute path, or an address from :func:`address_of`.
    """
    return _ADDRESS.match(path) is not None


def gdal_path(address: str) -> str:
    """Return the path by which GDAL reads an address.

    Args:
        address: As :func:`address_of` returns it.
    """
    scheme, _, rest = address.partition('://')
    return PREFIXES[scheme] + rest


def is_fetched(name: str) -> bool:
    """Return whether the pixels of an open raster, or of a view of one, come over the network.

    Args:
        name: The dataset's name.
    """
    return _OPENED.search(name) is not None


def plain(path: str) -> str:
    """Return a path for the names in it: ``/host/folder/x.tif`` of an address.

    Args:
        path: A path as it is kept; a local one is returned as it is.
    """
    if not is_remote(path):
        return path
    host, slash, rest, _ = _parted(path)
    return f'/{host}{slash}{rest}'


def shown(path: str) -> str:
    """Return a path for people: without the parts of an address that may be secret.

    Args:
        path: A path as it is kept; a local one is returned as it is.
    """
    if not is_remote(path):
        return path
    host, slash, rest, hidden = _parted(path)
    cut = '?…' if any(word.startswith('?') for word in hidden) else ''
    return f'{path.partition("://")[0]}://{host}{slash}{rest}{cut}'


def conceal(text: str, path: str) -> str:
    """Cut out of a message what :func:`shown` leaves out.

    Args:
        text: The message.
        path: The path it is about, as it is kept.
    """
    for word in _parted(path)[-1] if is_remote(path) else ():
        text = text.replace(word.strip('?@'), '…')
    return text


def _parted(address: str) -> tuple[str, str, str, list[str]]:
    """Part an address into host, slash and path, and what may be secret: a login, a query."""
    scheme, _, rest = address.partition('://')
    query = ''
    if scheme.startswith('http'):
        # Elsewhere a question mark is part of a name.
        rest, mark, query = rest.partition('?')
        query = mark + query
    host, slash, rest = rest.partition('/')
    login, at, host = host.rpartition('@')
    return host, slash, rest, [word for word in (login + at, query) if word.strip('?@')]
