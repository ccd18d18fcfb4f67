"""Where catalogues are kept, and when they are not."""

import os
from pathlib import Path

import pyarrow as pa
import pytest

from xscale.datasets import catalogue
from xscale.datasets.catalogue import cache_file, cache_folder, read_catalogue
from xscale.datasets.index import scan
from xscale.errors import ConfigError

from .folder import Kept, names, small


@pytest.mark.parametrize('variable', ['XSCALE_CACHE', 'XDG_CACHE_HOME', 'HOME'])
def test_where_it_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    for name in ('XSCALE_CACHE', 'XDG_CACHE_HOME', 'HOME'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, str(tmp_path / 'here'))
    below = {'XSCALE_CACHE': 'here', 'XDG_CACHE_HOME': 'here/xscale', 'HOME': 'here/.cache/xscale'}
    assert cache_folder() == tmp_path / below[variable]
    folder = small(tmp_path / 'data/a.tif').parent
    catalogue.catalogue(folder)
    assert cache_folder() in cache_file(folder).parents
    assert len(read_catalogue(cache_file(folder))) == 1


def test_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv('XSCALE_CACHE')
    monkeypatch.delenv('XDG_CACHE_HOME', raising=False)

    def homeless() -> Path:
        raise RuntimeError('Could not determine home directory.')

    monkeypatch.setattr(Path, 'home', homeless)
    with pytest.raises(ConfigError, match='set XSCALE_CACHE to a folder'):
        cache_folder()


def test_folders_of_one_name_are_kept_apart(tmp_path: Path) -> None:
    one, other = (small(tmp_path / where / 'images/a.tif').parent for where in ('one', 'other'))
    assert cache_file(one) != cache_file(other)
    assert cache_file(one) == cache_file(one / '..' / 'images')
    long = tmp_path / ('ä' * 100)
    assert len(os.fsencode(cache_file(long).name)) < 255


@pytest.mark.parametrize('trouble', ['a file', 'read-only', 'full'])
def test_a_cache_that_cannot_be_written_only_says_so(
    kept: Kept,
    trouble: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder, cache = kept
    if trouble == 'a file':
        cache.write_text('in the way')
    elif trouble == 'read-only':
        monkeypatch.setenv('XSCALE_CACHE', '/proc/xscale')
    else:
        monkeypatch.setattr(catalogue.pq, 'write_table', full)
    assert len(catalogue.catalogue(folder)) == 3
    assert 'xscale: the catalogue is not kept in' in capsys.readouterr().err
    assert not list(cache.rglob('*.part'))


def full(table: pa.Table, file: Path, **options: object) -> None:
    """Write half of a file."""
    file.write_bytes(bytes(1000))
    raise OSError(28, 'No space left on device')


def test_keeping_can_be_turned_off(kept: Kept, opened: list[str]) -> None:
    folder, cache = kept
    assert len(scan(folder, keep=False).files) == 3
    assert not cache.exists()
    scan(folder, keep=False)
    assert len(opened) == 6


def test_a_single_file_is_kept_nowhere(kept: Kept) -> None:
    folder, cache = kept
    assert names(catalogue.catalogue(folder / 'a.tif')) == ['a.tif']
    assert not cache.exists()
