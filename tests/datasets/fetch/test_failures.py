"""Servers that are busy, silent, gone, or break off."""

import os
import time
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from xscale.datasets import Rasters, fetch
from xscale.datasets.index import scan

from ...data.stack.data import RGBA, write_raster
from ..server import Server
from .reading import SIDE, noise, read


def test_a_busy_server_is_asked_again_later(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('GDAL_HTTP_MAX_RETRY', '3')
    server.asked()
    assert len(scan(f'{server.address}/busy-3/cog.tif').files) == 1
    heads = [request.at for request in server.asked() if request.method == 'HEAD']
    waits = np.diff(heads)
    assert len(waits) == 3
    assert waits[0] >= 0.2
    # Twice as long each time, with some chance in it.
    assert (waits[1:] > 1.5 * waits[:-1]).all()


def test_dead_links_are_left_out_with_their_reason(server: Server, cog: str) -> None:
    reasons = {
        f'{server.address}/none.tif': 'its server answers 404 Not Found',
        f'{server.address}/status-403/cog.tif': 'its server answers 403 Forbidden',
        f'{server.address}/status-500/cog.tif': 'its server answers 500 Internal Server Error',
        f'{server.address}/busy-99/cog.tif': 'its server answers 503 Service Unavailable',
        f'{server.address}/whole/cog.tif': 'its server sends files only as a whole; download it',
        'http://127.0.0.1:1/cog.tif': 'Failed to connect to 127.0.0.1 port 1',
    }
    found = scan([*reasons, cog])
    assert found.files.table['filepath'].to_pylist() == [cog]
    assert sorted(r.path for r in found.rejected) == sorted(reasons)
    for rejected in found.rejected:
        assert rejected.reason.startswith(f'cannot be fetched: {reasons[rejected.path]}')


def test_a_silent_server_does_not_hang_a_scan(
    server: Server, cog: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('GDAL_HTTP_TIMEOUT', '1')
    silent = [f'{server.address}/silent/{name}.tif' for name in 'abc']
    started = time.monotonic()
    found = scan([*silent, cog])
    # Each is asked twice for a second, all at once.
    assert time.monotonic() - started < 8
    assert [r.path for r in found.rejected] == silent
    assert 'Operation timed out after' in found.rejected[0].reason
    assert len(found.files) == 1


def test_a_transfer_that_breaks_off_is_begun_again(server: Server, cog: str) -> None:
    """GDAL takes what came for all there is, and would keep it."""
    expected = read(Rasters(cog), 600, 600, 200, 200)['image']
    server.stall(1)
    rasters = Rasters(f'{server.address}/stall/cog.tif')
    assert server.stall(1) == 0
    sample = read(rasters, 600, 600, 200, 200)
    assert server.stall(0) == 0
    assert not sample['unreadable']
    assert (sample['image'] == expected).all()


def test_a_transfer_that_always_breaks_off(server: Server, cog: str) -> None:
    server.stall(99)
    (rejected,) = scan([f'{server.address}/stall/cog.tif', cog]).rejected
    assert rejected.reason.startswith('cannot be read: ')
    assert server.stall(0) == 97


@pytest.mark.parametrize('place', ['utm', 'degrees', 'degrees, alpha'])
def test_what_does_not_come_is_not_taken_for_zeros(
    server: Server, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setenv('GDAL_NUM_THREADS', '4')
    options: dict[str, Any] = {'tiled': True, 'compress': None}
    if place != 'utm':
        options |= {'crs': 'EPSG:4326', 'grid': from_origin(14, 60, 2e-4, 1e-4)}
    if 'alpha' in place:
        options['colours'] = RGBA
    write_raster(server.folder / 'raw.tif', noise(4, SIDE), **options)
    server.stall(0)
    rasters = Rasters(f'{server.address}/stall/raw.tif')
    fetch.forget(f'{server.address}/stall/raw.tif')
    server.stall(99)
    assert read(rasters, 600, 600, 300, 300)['unreadable']
    assert server.stall(0) < 99


def test_what_is_gone_leaves_its_tile_empty(
    server: Server, cog: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_raster(server.folder / 'gone.tif', noise(1, SIDE), tiled=True)
    rasters = Rasters(f'{server.address}/gone.tif?key=secret')
    (server.folder / 'gone.tif').unlink()
    fetch._gdal().VSICurlClearCache()
    capsys.readouterr()
    for _ in range(2):
        sample = read(rasters, 0, 0, 100, 100)
        assert sample['unreadable']
        assert not sample['valid'].any()
    said = capsys.readouterr().err
    assert said == (
        f'xscale: cannot read {server.address}/gone.tif?… (cannot be fetched: its server answers '
        '404 Not Found); its tile stays empty\n'
    )
    # It may come back.
    write_raster(server.folder / 'gone.tif', noise(1, SIDE), tiled=True)
    assert not read(rasters, 0, 0, 100, 100)['unreadable']


def test_the_users_settings_count(
    server: Server, cog: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv('GDAL_HTTP_TIMEOUT')
    with rasterio.Env(GDAL_HTTP_TIMEOUT=3):
        fetch.prepare()
    assert 'GDAL_HTTP_TIMEOUT' not in os.environ
    fetch.prepare()
    assert os.environ['GDAL_HTTP_TIMEOUT'] == '30'
    assert os.environ['GDAL_HTTP_CONNECTTIMEOUT'] == '10'
    assert os.environ['GDAL_HTTP_MAX_RETRY'] == '1'
