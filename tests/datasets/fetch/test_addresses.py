"""Addresses of buckets, signed ones, and those that moved: opened, and their secrets not shown."""

from pathlib import Path

import pytest

from xscale.cli import main
from xscale.datasets import Rasters, fetch
from xscale.datasets.formats import open_raster
from xscale.datasets.index import scan
from xscale.datasets.rasters import TileSlice
from xscale.datasets.windows import Tile
from xscale.errors import NoRastersError

from ...data.stack.data import write_raster
from ..server import Server
from .reading import SIDE, noise, read


def test_s3(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = write_raster(server.folder / 'bucket/a/x.tif', noise(1, 300)).parents[1]
    endpoint = server.address.removeprefix('http://')
    for name, value in {
        'AWS_S3_ENDPOINT': endpoint,
        'AWS_NO_SIGN_REQUEST': 'YES',
        'AWS_VIRTUAL_HOSTING': 'FALSE',
        'AWS_HTTPS': 'NO',
    }.items():
        monkeypatch.setenv(name, value)
    server.asked()
    found = scan(['s3://bucket/a/x.tif', '/vsis3/bucket/a/x.tif', 's3://bucket/a/none.tif'])
    assert found.files.table['filepath'].to_pylist() == ['s3://bucket/a/x.tif']
    assert [(r.path, r.reason) for r in found.rejected] == [
        ('s3://bucket/a/none.tif', 'cannot be fetched: its server answers 404 Not Found')
    ]
    # No bucket is listed.
    assert {r.path for r in server.asked()} == {'/bucket/a/x.tif', '/bucket/a/none.tif'}
    remote, local = (read(Rasters(p), 50, 50, 99, 99) for p in ('s3://bucket/a/x.tif', bucket))
    assert (remote['image'] == local['image']).all()


def test_a_signature_for_reading_alone(server: Server, cog: str) -> None:
    address = f'{server.address}/headless/cog.tif?sig=secret'
    assert len(scan(address).files) == 1
    fetch.forget(address)
    with open_raster(address) as source:
        assert source.width == SIDE
    with pytest.raises(NoRastersError, match='403 Forbidden'):
        scan(f'{server.address}/headless/cog.tif')


def test_an_address_that_moved(server: Server, cog: str) -> None:
    assert len(scan(f'{server.address}/moved/cog.tif').files) == 1


def test_the_command_line(
    server: Server, cog: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = write_raster(tmp_path / 'data/small.tif', noise(3, 100))
    dead = f'{server.address}/none.tif?sig=secret'
    (tmp_path / 'list.txt').write_text(f'# mine\n{cog}?sig=secret\n{dead}\n')
    out = tmp_path / 'index.parquet'
    paths = [str(small.parent), str(tmp_path / 'list.txt')]
    assert main(['scan', *paths, '--out', str(out)]) == 0
    said = capsys.readouterr()
    assert '2 of 3 rasters can be used' in said.out
    assert f'{server.address}/none.tif?…' in said.out
    assert 'cannot be fetched: its server answers 404 Not Found' in said.out
    assert main(['scan', *paths, '--json']) == 0
    said = said.out + said.err + ''.join(capsys.readouterr())
    assert 'secret' not in said
    # The catalogue knows the whole address, and opens it again.
    rasters = Rasters(out)
    assert rasters.rows.table['filepath'].to_pylist() == [str(small), f'{cog}?sig=secret']
    assert rasters.rows.path(1) == f'{cog}?…'
    nowhere = slice(0.0, 1.0)
    place = TileSlice((nowhere, nowhere, nowhere), Tile(1, 0, 0, 64, 64), 10.0)
    assert not rasters[place]['unreadable']
