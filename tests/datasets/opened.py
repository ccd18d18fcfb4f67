"""See which files a process opens, and which addresses it asks for."""

import ctypes
import os
import re
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE, Popen

import pytest

IN_OPEN = 0x20


@contextmanager
def opened(folder: Path) -> Iterator[list[str]]:
    """Fill a list with the names of the files that were opened in a folder, at the end.

    Args:
        folder: Where to look, not below it.
    """
    if sys.platform != 'linux':
        pytest.skip('only Linux tells which files were opened (inotify)')
    system = ctypes.CDLL(None)
    watch = system.inotify_init1(os.O_NONBLOCK)
    system.inotify_add_watch(watch, os.fsencode(folder), IN_OPEN)
    names: list[str] = []
    try:
        yield names
        names += _names(watch)
    finally:
        os.close(watch)


def _names(watch: int) -> Iterator[str]:
    try:
        events = os.read(watch, 1 << 16)
    except BlockingIOError:
        return
    at = 0
    while at < len(events):
        *_, length = struct.unpack_from('iIII', events, at)
        if name := events[at + 16 : at + 16 + length].rstrip(b'\0').decode():
            yield name
        at += 16 + length


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, Callable[[], str]]]:
    """Serve a folder at an address, and tell what was asked for.

    In a process of its own: GDAL keeps this one's interpreter locked while it waits.
    """
    log = folder / 'asked.txt'
    command = [sys.executable, '-u', '-m', 'http.server', '0', '--bind', '127.0.0.1']
    with log.open('w') as out, Popen([*command, '-d', folder], stdout=PIPE, stderr=out) as server:
        try:
            assert server.stdout
            words = server.stdout.readline().decode()
            yield re.search(r'http://127.0.0.1:\d+', words)[0], log.read_text
        finally:
            server.terminate()
