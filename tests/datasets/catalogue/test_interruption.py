"""Scans that are broken off or run at once: the catalogue is whole at every moment."""

import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from xscale.datasets import catalogue, describe
from xscale.datasets.catalogue import cache_file, read_catalogue

from .folder import Kept, names, small


def test_a_scan_broken_off_keeps_what_it_found(
    kept: Kept, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = kept
    for number in range(40):
        small(folder / f'{number:02}.tif')
    real = describe.describe

    def interrupted(path: str, given: float | None) -> describe.Record:
        if Path(path).name == '30.tif':
            raise KeyboardInterrupt
        return real(path, given)

    monkeypatch.setattr(catalogue, 'describe', interrupted)
    with pytest.raises(KeyboardInterrupt):
        catalogue.catalogue(folder)
    found = names(read_catalogue(cache_file(folder)))
    assert found == [f'{number:02}.tif' for number in range(30)]
    monkeypatch.setattr(catalogue, 'describe', real)
    opened.clear()
    assert len(catalogue.catalogue(folder)) == 43
    assert sorted(opened) == [
        *(f'{number}.tif' for number in range(30, 40)),
        'a.tif',
        'b.tif',
        'c.tif',
    ]


def test_ctrl_c_in_the_middle_of_a_scan(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real signal, to a process that scans."""
    folder, _ = kept
    for number in range(100):
        small(folder / f'{number:02}.tif')

    def scans() -> None:
        real = describe.describe
        catalogue.describe = lambda *one: (time.sleep(0.05), real(*one))[1]
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            catalogue.catalogue(folder)
        except KeyboardInterrupt:
            os._exit(130)

    child = forked(scans)
    time.sleep(0.7)
    os.kill(child, signal.SIGINT)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 130
    assert 0 < len(read_catalogue(cache_file(folder))) < 103
    assert len(catalogue.catalogue(folder)) == 103


def test_a_long_scan_writes_now_and_then(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were it killed, little would be lost; nor is most of the time spent with writing."""
    folder, _ = kept
    monkeypatch.setattr(catalogue, 'EVERY', 5)
    monkeypatch.setattr(catalogue, 'SHARE', 0.5)
    written = []
    real = catalogue.write_catalogue
    monkeypatch.setattr(
        catalogue, 'write_catalogue', lambda t, f: (written.append(len(t)), real(t, f))
    )
    for number in range(40):
        small(folder / f'{number:02}.tif')
    catalogue.catalogue(folder)
    assert written == [5, 10, 20, 40, 43]
    assert len(read_catalogue(cache_file(folder))) == 43


def forked(work: Callable[[], None]) -> int:
    """Run in a process of its own; it exits with 1 if that raises."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        sys.stderr = open(os.devnull, 'w')  # noqa: SIM115
        work()
        status = 0
    finally:
        os._exit(status)


def test_processes_that_scan_at_once(kept: Kept) -> None:
    """While files come and go, every catalogue that is read is whole."""
    folder, _ = kept
    file, end = cache_file(folder), time.monotonic() + 4
    pixels = small(folder / 'x.tif').read_bytes()

    def scans() -> None:
        while time.monotonic() < end:
            table = catalogue.catalogue(folder)
            usable = table.filter(pa.compute.equal(table['reason'], ''))
            assert {'a.tif', 'b.tif', 'c.tif'} <= set(names(usable))

    def comes_and_goes() -> None:
        draw = random.Random(os.getpid())
        while time.monotonic() < end:
            path = folder / f'{draw.randrange(20)}.tif'
            path.write_bytes(pixels)
            time.sleep(0.005)
            path.unlink(missing_ok=True)

    children = [forked(scans), forked(scans), forked(comes_and_goes)]
    reads = 0
    while time.monotonic() < end:
        if file.exists():
            table = read_catalogue(file)
            assert {'a.tif', 'b.tif', 'c.tif'} <= set(names(table))
            assert len(set(names(table))) == len(table)
            reads += 1
    assert reads > 50
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * 3
    assert not list(file.parent.glob('*.part'))
