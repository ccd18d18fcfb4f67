"""Hundreds of broken and hostile files: each left out with its reason, none costs much."""

import faulthandler
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from xscale.datasets.index import Index, scan

from ..data.bad.data import write
from ..data.stack.data import write_raster

#: Seconds the scan may take, and megabytes it may need more than before. With no look at the
#: headers, `swollen_tiles_of_bands.jp2` of 10 kB alone takes 12 s and 2,200 MB.
SECONDS, MEGABYTES = 20, 100

GOOD = ('good.tif', 'good.jp2')


class Scanned:
    """What a scan of the bad rasters beside two good ones found, and what it cost."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.expected = write(folder)
        pixels = np.random.default_rng(0).integers(1, 255, (1, 64, 64), dtype=np.uint8)
        write_raster(folder / 'good.tif', pixels)
        write_raster(folder / 'good.jp2', pixels, driver='JP2OpenJPEG', compress=None)
        # The first scan of a process loads libraries.
        scan(folder / 'good.tif')
        before, start = _reset_peak(), time.perf_counter()
        # A hang in C can only be ended from outside.
        faulthandler.dump_traceback_later(4 * SECONDS, exit=True)
        self.index: Index = scan(folder, ['1'])
        faulthandler.cancel_dump_traceback_later()
        self.seconds = time.perf_counter() - start
        self.megabytes = _memory('VmHWM') - before
        self.reasons = {self.name(r.path): r.reason for r in self.index.rejected}
        self.used = {self.name(path) for path in self.index.frame['filepath']}

    def name(self, path: str) -> str:
        return path.removeprefix(f'{self.folder}/')


def _reset_peak() -> float:
    if sys.platform == 'linux':
        Path('/proc/self/clear_refs').write_text('5')
    return _memory('VmRSS')


def _memory(key: str) -> float:
    """Return megabytes of this process: VmRSS now, VmHWM at most."""
    if sys.platform != 'linux':
        return float('nan')
    status = dict(line.split(':') for line in Path('/proc/self/status').read_text().splitlines())
    return int(status[key].split()[0]) / 1e3


@pytest.fixture(scope='module')
def scanned(tmp_path_factory: pytest.TempPathFactory) -> Scanned:
    return Scanned(tmp_path_factory.mktemp('rasters') / 'bad')


def test_there_are_200(scanned: Scanned) -> None:
    assert len(scanned.expected) >= 200
    must_go = [name for name, reason in scanned.expected.items() if reason is not None]
    assert len(must_go) >= 150


def test_each_is_left_out_with_its_reason(scanned: Scanned) -> None:
    wrong = {}
    for name, fragment in scanned.expected.items():
        reason = scanned.reasons.get(name)
        if fragment is not None and (reason is None or fragment not in reason):
            wrong[name] = (fragment, reason)
    assert not wrong


def test_each_is_used_or_left_out_once(scanned: Scanned) -> None:
    assert len(scanned.index.rejected) == len(scanned.reasons)
    assert not scanned.used & set(scanned.reasons)
    assert scanned.used | set(scanned.reasons) == {*scanned.expected, *GOOD}


def test_good_ones_beside_them_are_used(scanned: Scanned) -> None:
    assert set(GOOD) <= scanned.used


def test_reasons_are_short_lines_of_text(scanned: Scanned) -> None:
    for name, reason in scanned.reasons.items():
        assert reason.isprintable(), name
        assert len(reason) < 400, name
        assert 'Error(' not in reason, name
        assert 'Traceback' not in reason, name


def test_it_takes_no_time(scanned: Scanned) -> None:
    assert scanned.seconds < SECONDS


@pytest.mark.skipif(sys.platform != 'linux', reason='only Linux tells the peak of memory')
def test_it_takes_no_memory(scanned: Scanned) -> None:
    assert scanned.megabytes < MEGABYTES
