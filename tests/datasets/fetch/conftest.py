"""Fixtures of the tests of remote rasters: a server, and little patience with it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from xscale.datasets import fetch

from ...data.stack.data import write_raster
from ..server import Server, serving
from .reading import BLOCK, SIDE, noise


@pytest.fixture(scope='package')
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serve a COG, and whatever tests put beside it."""
    folder = tmp_path_factory.mktemp('served')
    write_raster(folder / 'cog.tif', noise(3, SIDE), driver='COG', blocksize=BLOCK)
    with serving(folder, tmp_path_factory.mktemp('log') / 'log.jsonl') as running:
        yield running


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Lose patience soon, and keep nothing from test to test."""
    settings = {'TIMEOUT': '2', 'MAX_RETRY': '1', 'RETRY_DELAY': '0.2'}
    for name, value in settings.items():
        monkeypatch.setenv(f'GDAL_HTTP_{name}', value)
    monkeypatch.setenv('NO_PROXY', '*')
    monkeypatch.setenv('XSCALE_CACHE', str(tmp_path / 'cache'))
    fetch._gdal().VSICurlClearCache()


@pytest.fixture
def cog(server: Server) -> str:
    """The address of the COG."""
    server.asked()
    return f'{server.address}/cog.tif'
