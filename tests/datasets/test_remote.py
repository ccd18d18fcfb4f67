"""What counts as an address, what of it is shown, and lists of paths."""

from pathlib import Path

import pyarrow as pa
import pytest

from xscale.datasets.formats import explain
from xscale.datasets.globs import Glob, any_meant
from xscale.datasets.paths import as_paths, expand
from xscale.datasets.remote import address_of, conceal, gdal_path, is_remote, plain, shown
from xscale.errors import ConfigError, MissingPathError

SIGNED = 'https://me:pass@host.org/a/S2A_20200223.tif?sig=2019-01-01/secret&x=1'


@pytest.mark.parametrize(
    ('named', 'kept', 'opened'),
    [
        ('https://h/a.tif', 'https://h/a.tif', '/vsicurl/https://h/a.tif'),
        ('HTTP://h/a.tif?b', 'http://h/a.tif?b', '/vsicurl/http://h/a.tif?b'),
        ('/vsicurl/https://h/a.tif', 'https://h/a.tif', '/vsicurl/https://h/a.tif'),
        ('s3://bucket/a?.tif', 's3://bucket/a?.tif', '/vsis3/bucket/a?.tif'),
        ('/vsis3/bucket/a.tif', 's3://bucket/a.tif', '/vsis3/bucket/a.tif'),
        ('gs://bucket/a.tif', 'gs://bucket/a.tif', '/vsigs/bucket/a.tif'),
        ('az://box/a.tif', 'az://box/a.tif', '/vsiaz/box/a.tif'),
    ],
)
def test_addresses(named: str, kept: str, opened: str) -> None:
    assert address_of(named) == kept
    assert is_remote(kept)
    assert gdal_path(kept) == opened
    assert as_paths([named, 'data']) == [kept, Path('data')]


@pytest.mark.parametrize(
    'path', ['data', '/data/a.tif', 'https:/h/a.tif', 'http:', 'C:\\a.tif', '/vsizip/a.zip/a.tif']
)
def test_local_paths(path: str) -> None:
    assert address_of(path) == ''
    assert not is_remote(path)
    assert plain(path) == shown(path) == conceal(path, path) == path
    assert as_paths(path) == [Path(path)]


def test_a_path_is_never_an_address() -> None:
    assert address_of(Path('https://h/a.tif')) == ''


@pytest.mark.parametrize('address', ['ftp://h/a.tif', 'file:///a.tif', 'zip+https://h/a.zip'])
def test_other_kinds_are_named(address: str) -> None:
    with pytest.raises(ConfigError, match=r'rasters are read from https://, http://, s3://'):
        as_paths([address])


def test_secrets_are_not_shown() -> None:
    assert shown(SIGNED) == 'https://host.org/a/S2A_20200223.tif?…'
    text = f'host.org/a/S2A_20200223.tif?sig=2019-01-01/secret&x=1 at {SIGNED}, band 1: failed'
    assert conceal(text, SIGNED) == (
        'host.org/a/S2A_20200223.tif?… at https://…@host.org/a/S2A_20200223.tif?…, band 1: failed'
    )
    long = explain(OSError('x' * 270 + SIGNED), SIGNED)
    assert 'sig=' not in long
    assert 'pass' not in long
    assert shown('s3://bucket/a?b.tif') == 's3://bucket/a?b.tif'


def test_names_for_rules_have_no_query() -> None:
    assert plain(SIGNED) == '/host.org/a/S2A_20200223.tif'
    paths = pa.array([SIGNED, 'https://host.org/b/S2A_20200223.tif', '/data/a/S2B_1.tif'])
    for pattern, meant in {
        'S2?_*.tif': [True, True, True],
        'a/S2?_*.tif': [True, False, True],
        'host.org/**': [True, True, False],
        '*secret*': [False, False, False],
    }.items():
        assert Glob(pattern).meant(paths).tolist() == meant
        assert any_meant([Glob(pattern), Glob('none')], paths).tolist() == meant
        assert [Glob(pattern).means(path) for path in paths.to_pylist()] == meant


def test_a_list_names_paths_and_addresses(tmp_path: Path) -> None:
    (tmp_path / 'data').mkdir()
    (tmp_path / 'data/a b.tif').touch()
    file = tmp_path / 'list.txt'
    lines = ['\ufeff# of mine', '', ' https://h/a.tif ', 'data/a b.tif', str(tmp_path / 'data')]
    file.write_text('\r\n'.join(lines), 'utf-8')
    listed = ['https://h/a.tif', tmp_path / 'data/a b.tif', tmp_path / 'data']
    assert list(expand([str(file), 's3://b/x.tif'])) == [*listed, 's3://b/x.tif']


def test_a_list_that_cannot_be_used(tmp_path: Path) -> None:
    file = tmp_path / 'list.txt'
    file.write_text('https://h/a.tif\nnowhere.tif\n')
    with pytest.raises(ConfigError, match=r'list\.txt, line 2: .*nowhere\.tif does not exist'):
        list(expand(file))
    file.write_bytes(b'\xff\xfe')
    with pytest.raises(ConfigError, match=r'list\.txt cannot be read as a list of paths'):
        list(expand(file))
    with pytest.raises(MissingPathError):
        list(expand(tmp_path / 'other.txt'))
