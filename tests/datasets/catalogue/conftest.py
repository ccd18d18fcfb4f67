"""Fixtures of the tests of the catalogue."""

from pathlib import Path

import pytest

from xscale.datasets import describe

from .folder import Kept, small


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Count the rasters that are opened."""
    paths: list[str] = []
    real = describe.open_raster

    def counted(path: str) -> object:
        paths.append(Path(path).name)
        return real(path)

    monkeypatch.setattr(describe, 'open_raster', counted)
    return paths


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kept:
    """A folder of rasters, and where catalogues are kept."""
    monkeypatch.setenv('XSCALE_CACHE', str(tmp_path / 'cache'))
    for name in 'abc':
        small(tmp_path / f'data/{name}.tif')
    return tmp_path / 'data', tmp_path / 'cache'
