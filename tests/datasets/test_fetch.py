"""Remote rasters against a local server: what they cost, and what happens when it fails."""

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.transform import from_origin

from xscale.cli import main
from xscale.datasets import Rasters, catalogue, fetch
from xscale.datasets.catalogue import read_catalogue, remote_file
from xscale.datasets.describe import describe
from xscale.datasets.formats import open_raster
from xscale.datasets.index import scan
from xscale.datasets.rasters import TileSlice
from xscale.datasets.windows import Tile
from xscale.errors import NoRastersError, UnusableError

from ..data.bad.tiff import build
from ..data.stack.data import RGBA, write_raster
from .server import Server, serving

SIDE, BLOCK, CHUNK = 1024, 256, 1 << 14

HEADER = f'bytes=0-{CHUNK - 1}'


def noise(bands: int, side: int) -> NDArray[np.uint16]:
    return np.random.default_rng(0).integers(1, 9999, (bands, side, side), dtype=np.uint16)


@pytest.fixture(scope='module')
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


def read(rasters: Rasters, *tile: int) -> dict[str, NDArray]:
    """Read a tile: left, top, and side in pixels of the raster and of the tile."""
    nowhere = slice(0.0, 1.0)
    place = TileSlice((nowhere, nowhere, nowhere), Tile(0, *tile), 10.0)
    return {name: value.numpy() for name, value in rasters[place].items()}


def asked(server: Server) -> list[tuple[str, str]]:
    return [(request.method, request.range) for request in server.asked()]


def block(file: Path, col: int, row: int) -> tuple[int, int]:
    """Return where a block of the first image lies: its first byte and the one behind it."""
    with rasterio.open(file) as source:
        start, size = (
            int(source.get_tag_item(f'BLOCK_{what}_{col}_{row}', 'TIFF', bidx=1))
            for what in ('OFFSET', 'SIZE')
        )
    return start, start + size


def test_a_tile_costs_its_blocks_and_one_header(server: Server, cog: str) -> None:
    rasters = Rasters(cog)
    fetch.forget(cog)
    server.asked()
    with rasterio.open(server.folder / 'cog.tif') as source:
        pixels = source.read().astype(np.float32)
    # One block, in whole chunks of 16 KB; the header comes once.
    image = read(rasters, 40, 30, 200, 200)['image']
    assert (image == pixels[:, 30:230, 40:240]).all()
    *header, one = asked(server)
    assert header == [('HEAD', ''), ('GET', HEADER)]
    start, stop = map(int, re.findall(r'\d+', one[1]))
    first, end = block(server.folder / 'cog.tif', 0, 0)
    assert (start, stop + 1) == (first // CHUNK * CHUNK, -(-end // CHUNK) * CHUNK)
    # Four blocks: those of a row lie side by side, so two requests of no byte too many.
    image = read(rasters, 600, 600, 200, 200)['image']
    assert (image == pixels[:, 600:800, 600:800]).all()
    rows = [
        (block(server.folder / 'cog.tif', 2, row)[0], block(server.folder / 'cog.tif', 3, row)[1])
        for row in (2, 3)
    ]
    wanted = sorted(tuple(map(int, re.findall(r'\d+', one))) for _, one in asked(server))
    # A COG writes four bytes before each block and behind it.
    for (start, stop), (first, end) in zip(wanted, sorted(rows), strict=True):
        assert first - 4 == start
        assert end <= stop < end + 8
    # They are kept.
    read(rasters, 610, 610, 180, 180)
    assert asked(server) == []


def test_a_coarse_tile_is_read_from_an_overview(server: Server, cog: str) -> None:
    rasters = Rasters(cog)
    fetch.forget(cog)
    server.asked()
    image = read(rasters, 0, 0, 1024, 256)['image']
    assert sum(request.size for request in server.asked()) < 0.1 * os.path.getsize(
        server.folder / 'cog.tif'
    )
    with rasterio.open(server.folder / 'cog.tif', overview_level=1) as source:
        assert (image == source.read()).all()


def test_a_scan_reads_a_header_an_overview_and_the_last_block(server: Server, cog: str) -> None:
    found = scan(cog)
    requests = server.asked()
    assert [(r.method, r.range) for r in requests[:2]] == [('HEAD', ''), ('GET', HEADER)]
    start, stop = block(server.folder / 'cog.tif', 3, 3)
    last = [r for r in requests if r.range and int(r.range[6:].split('-')[0]) <= start]
    assert any(int(r.range.rpartition('-')[2]) + 1 >= stop for r in last)
    assert len(requests) <= 4
    assert sum(r.size for r in requests) < 0.15 * os.path.getsize(server.folder / 'cog.tif')
    record = describe(str(server.folder / 'cog.tif'))
    assert found.files.gsd.tolist() == [record['gsd']]
    assert found.sensors[0].mean == pytest.approx(record['mean'])
    assert found.files.filepath(0) == cog


def holed(side: int) -> NDArray[np.uint8]:
    """A slope from 1 to 200 down the rows, whose left upper quarter holds no data (0)."""
    pixels = np.repeat(np.linspace(1, 200, side)[:, None], side, 1).astype(np.uint8)
    pixels[: side // 2, : side // 2] = 0
    return pixels


@pytest.mark.parametrize(
    ('layout', 'share'),
    [({'tiled': True, 'blockxsize': 256, 'blockysize': 256}, 0.15), ({}, 0.1)],
    ids=['blocks', 'strips'],
)
def test_of_a_raster_without_overviews_some_blocks_are_read(
    server: Server, layout: dict[str, object], share: float
) -> None:
    side = 6144
    file = write_raster(server.folder / 'plain.tif', holed(side), nodata=0, compress=None, **layout)
    server.asked()
    found = scan(f'{server.address}/plain.tif')
    assert sum(request.size for request in server.asked()) < share * side * side
    whole = scan(file)
    # Each of 8 × 8, or 64, parts shows its middle.
    assert found.files.valid[0] == pytest.approx(whole.files.valid[0], abs=0.01)
    assert found.sensors[0].mean == pytest.approx(whole.sensors[0].mean, rel=0.03)
    assert found.sensors[0].std == pytest.approx(whole.sensors[0].std, rel=0.05)
    levels, exact = (index.files.validity(0).levels for index in (found, whole))
    assert (levels == exact).mean() > 0.97


def test_a_mask_is_looked_at_in_pieces_too(server: Server) -> None:
    pixels = holed(6144)
    tiles = {'tiled': True, 'blockxsize': 512, 'blockysize': 512}
    mask = (pixels > 0).astype(np.uint8) * 255
    file = write_raster(server.folder / 'masked.tif', pixels + 1, mask=mask, **tiles)
    remote = scan(f'{server.address}/masked.tif').files
    assert remote.valid[0] == pytest.approx(scan(file).files.valid[0], abs=0.01)


def test_a_raster_in_degrees_is_looked_at_once(server: Server) -> None:
    """Where it holds data on the grid of tiles is computed, not read."""
    place = {'crs': 'EPSG:4326', 'grid': from_origin(14, 60, 1e-3, 5e-4), 'nodata': 0}
    file = write_raster(server.folder / 'degrees.tif', holed(1024), **place)
    found, whole = (scan(path).files for path in (f'{server.address}/degrees.tif', file))
    assert found.shape.tolist() == whole.shape.tolist()
    assert found.valid[0] == pytest.approx(whole.valid[0], abs=0.005)
    difference = found.validity(0).levels.astype(int) - whole.validity(0).levels
    assert (np.abs(difference) > 2).mean() < 0.02
    rasters = Rasters(f'{server.address}/degrees.tif')
    sample = read(rasters, 300, 600, 200, 200)
    assert sample['valid'].all()
    assert not sample['unreadable']


def test_a_band_marked_alpha_is_warped_as_data(server: Server) -> None:
    """NAIP's near infrared: the view that hides the mark opens the same address."""
    place = {'crs': 'EPSG:4326', 'grid': from_origin(14, 60, 1e-3, 5e-4)}
    pixels = noise(4, 300).astype(np.uint8)
    file = write_raster(server.folder / 'naip.tif', pixels, colours=RGBA, **place)
    server.asked()
    remote, local = (
        read(Rasters(path), 100, 100, 100, 100) for path in (f'{server.address}/naip.tif', file)
    )
    assert remote['image'].shape == (4, 100, 100)
    assert (remote['image'] == local['image']).all()
    assert {request.path for request in server.asked()} == {'/naip.tif'}


def test_jpeg_2000_is_not_fetched(server: Server, cog: str) -> None:
    pixels = noise(1, 64).astype(np.uint8)
    write_raster(server.folder / 'x.jp2', pixels, driver='JP2OpenJPEG', compress=None)
    (rejected,) = scan([cog, f'{server.address}/x.jp2']).rejected
    assert rejected.reason.startswith('is JPEG 2000, of which nearly all is fetched')
    assert [r.method for r in server.asked() if r.path == '/x.jp2'] == ['HEAD']


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


def test_a_header_without_end(server: Server, cog: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, 'MOST_BYTES', 4095)
    with pytest.raises(UnusableError, match='has a header of more than'):
        open_raster(f'{server.address}/cog.tif')
    monkeypatch.undo()
    monkeypatch.setattr(fetch, 'MOST_SECONDS', 0)
    with pytest.raises(UnusableError, match='takes more than 0 s'):
        open_raster(f'{server.address}/cog.tif')


def virtual(source: str) -> bytes:
    return (
        '<VRTDataset rasterXSize="64" rasterYSize="64"><VRTRasterBand dataType="Byte" band="1">'
        f'<SimpleSource><SourceFilename>{source}</SourceFilename><SourceBand>1</SourceBand>'
        '</SimpleSource></VRTRasterBand></VRTDataset>'
    ).encode()


@pytest.mark.parametrize('name', ['x.vrt', 'x.tif', 'x.gti', 'x.gti.gpkg', 'x.txt.tif', 'y.tif'])
@pytest.mark.parametrize('where', ['here', 'there'])
def test_no_file_makes_the_reader_fetch(
    server: Server, cog: str, tmp_path: Path, name: str, where: str
) -> None:
    """Neither a local file that names an address, nor a remote one."""
    content = virtual(f'/vsicurl/{cog}')
    if name == 'y.tif':
        text = f'<GDALMetadata><Item name="OVERVIEW_FILE" domain="OVERVIEWS">/vsicurl/{cog}</Item>'
        content = build({42112: ('s', f'{text}</GDALMetadata>\0'.encode())})
    elif '.gti' in name:
        content = f'<GDALTileIndexDataset><IndexDataset>/vsicurl/{cog}'.encode()
    elif name == 'x.txt.tif':
        content = cog.encode()
    file = (tmp_path if where == 'here' else server.folder / 'hostile') / name
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(content)
    path = file if where == 'here' else f'{server.address}/hostile/{name}'
    server.asked()
    for paths in [path] if where == 'there' else [path, tmp_path]:
        with pytest.raises(NoRastersError):
            scan(paths)
    assert {r.path for r in server.asked()} <= ({f'/hostile/{name}'} if where == 'there' else set())


def test_a_list_in_a_folder_is_not_read(server: Server, cog: str, tmp_path: Path) -> None:
    (tmp_path / 'list.txt').write_text(cog)
    with pytest.raises(NoRastersError):
        scan(tmp_path)
    assert server.asked() == []
    assert len(scan(tmp_path / 'list.txt').files) == 1


def test_sidecars_are_not_looked_for(server: Server, cog: str) -> None:
    (server.folder / 'cog.tif.ovr').write_bytes(virtual('/etc/passwd'))
    (server.folder / 'cog.tif.aux.xml').write_text('<PAMDataset/>')
    read(Rasters(cog), 0, 0, 100, 100)
    assert {request.path for request in server.asked()} == {'/cog.tif'}


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


def test_what_is_known_is_asked_for_its_date_alone(server: Server, cog: str) -> None:
    write_raster(server.folder / 'old.tif', noise(1, 300))
    old = f'{server.address}/old.tif'
    first = catalogue.catalogue([cog, old])
    server.asked()
    # NaN, which says that there is no nodata, does not equal itself.
    same = (table.drop_columns('nodata') for table in (catalogue.catalogue([cog, old]), first))
    assert next(same).equals(next(same))
    assert asked(server) == [('HEAD', '')] * 2
    # A new one is described, the others stay known.
    write_raster(server.folder / 'old.tif', noise(2, 300))
    os.utime(server.folder / 'old.tif', ns=(10**18, 10**18))
    table = catalogue.catalogue(old)
    assert len(table['names'][0]) == 2
    assert table['mtime'].to_pylist() == [10**18]
    server.asked()
    assert catalogue.catalogue(cog)['filepath'].to_pylist() == [cog]
    assert asked(server) == [('HEAD', '')]
    assert read_catalogue(remote_file())['filepath'].to_pylist() == [cog, old]


def test_a_server_without_dates_has_tags(server: Server) -> None:
    file = write_raster(server.folder / 'undated/x.tif', noise(1, 300))
    address = f'{server.address}/undated/x.tif'
    first = fetch.stamp(address)
    assert first[0] == file.stat().st_size
    assert first == fetch.stamp(address)
    os.utime(file, ns=(1, 1))
    assert first[1] != fetch.stamp(address)[1] > 0


def test_neither_secrets_nor_failures_are_kept(server: Server, cog: str) -> None:
    login = cog.replace('http://', 'http://me:pass@')
    catalogue.catalogue([cog, login, f'{cog}?sig=secret', f'{server.address}/none.tif'])
    assert read_catalogue(remote_file())['filepath'].to_pylist() == [cog]


def test_a_worker_does_not_share_connections(server: Server, cog: str) -> None:
    """What two processes read of one socket would be each other's answers."""
    rasters = Rasters(cog)
    read(rasters, 0, 0, 256, 256)
    mine = {request.port for request in server.asked()}
    if not (child := os.fork()):
        os._exit(int(read(rasters, 256, 256, 256, 256)['unreadable']))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    its = {request.port for request in server.asked()}
    read(rasters, 512, 512, 256, 256)
    again = {request.port for request in server.asked()}
    assert its
    assert its.isdisjoint(mine | again)


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
