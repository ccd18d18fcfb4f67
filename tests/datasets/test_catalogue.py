"""The catalogue: GeoParquet, kept, refreshed by size and time, whole at every moment."""

import os
import pickle
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from affine import Affine
from rasterio.transform import from_origin

from xscale import geo
from xscale.datasets import Rasters, catalogue, describe
from xscale.datasets.catalogue import SCHEMA, cache_file, cache_folder, read_catalogue
from xscale.datasets.index import scan
from xscale.datasets.seal import seal
from xscale.errors import CatalogueError, ConfigError, MissingPathError, NoRastersError

from ..data.stack.data import write_raster
from ..holes import collar, write_holed

Kept = tuple[Path, Path]


def small(path: Path, value: int = 1, side: int = 20) -> Path:
    # With a nodata value, for NaN would not even equal itself.
    return write_raster(path, np.full((side, side), value, np.uint8), nodata=0)


def names(table: pa.Table) -> list[str]:
    return [Path(path).name for path in table['filepath'].to_pylist()]


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


def test_geopandas_reads_it(stack: Path) -> None:
    index = scan(stack)
    frame = gpd.read_parquet(cache_file(stack))
    assert frame.crs.equals('EPSG:4326', ignore_axis_order=True)
    usable = frame[frame['reason'] == ''].set_index('filepath')
    assert set(index.files.table['filepath'].to_pylist()) <= set(usable.index)
    assert len(usable) >= 8
    table = read_catalogue(cache_file(stack)).select(['filepath', 'bbox']).to_pylist()
    boxes = {row['filepath']: tuple(row['bbox'].values()) for row in table if row['bbox']}
    assert boxes.keys() == set(usable.index)
    for path, row in usable.iterrows():
        record = describe.describe(str(path))
        grid = record['grid'], Affine(*record['transform']), record['width'], record['height']
        whole = geo.outline(*grid)
        assert boxes[path] == pytest.approx(whole.bounds, abs=1e-12)
        # Simplified by a thousandth of its side.
        assert row['geometry'].geom_type == 'Polygon'
        assert row['geometry'].symmetric_difference(whole).area < 0.005 * whole.area
    assert frame[frame['reason'] != '']['geometry'].isna().all()


def test_geopandas_reads_only_what_lies_in_a_box(stack: Path) -> None:
    """By the covering of the bounding boxes, which is part of GeoParquet 1.1."""
    scan(stack)
    frame = gpd.read_parquet(cache_file(stack), bbox=(10.6, 59.9, 10.8, 60.1))
    assert [Path(path).name for path in frame['filepath']] == ['oslo.tif']


def test_says_where_each_raster_lies_and_what_it_holds(stack: Path) -> None:
    table = catalogue.catalogue(stack)
    assert table.schema.equals(SCHEMA)
    assert names(table) == sorted(
        names(table), key=lambda name: table['filepath'].to_pylist()[names(table).index(name)]
    )
    row = table.filter(pa.compute.match_substring(table['filepath'], 'T48QUE')).to_pylist()[0]
    assert (row['width'], row['height'], row['gsd'], row['warp']) == (300, 300, 10, False)
    assert (row['crs'], row['dtype'], row['mask']) == ('EPSG:32648', 'uint16', 0)
    assert (row['names'], row['overviews']) == (['B02', 'B03', 'B04', 'B08'], [2, 4])
    assert (row['valid'], row['validity'], row['reason']) == (1, None, '')
    assert str(row['start']) == '2020-02-23 00:00:00'


def test_an_unchanged_folder_opens_nothing(kept: Kept, opened: list[str]) -> None:
    folder, _ = kept
    first = catalogue.catalogue(folder)
    assert sorted(opened) == ['a.tif', 'b.tif', 'c.tif']
    before = cache_file(folder).stat()
    opened.clear()
    assert catalogue.catalogue(folder).equals(first)
    assert scan(folder).files.table.equals(scan(folder).files.table)
    assert opened == []
    # Nor is it written again.
    assert cache_file(folder).stat().st_mtime_ns == before.st_mtime_ns


def test_only_what_is_new_or_changed_is_opened(kept: Kept, opened: list[str]) -> None:
    folder, _ = kept
    catalogue.catalogue(folder)
    opened.clear()
    (folder / 'a.tif').unlink()
    small(folder / 'b.tif', side=30)
    small(folder / 'deep/d.tif')
    table = catalogue.catalogue(folder)
    assert sorted(opened) == ['b.tif', 'd.tif']
    assert names(table) == ['b.tif', 'c.tif', 'd.tif']
    assert table['width'].to_pylist() == [30, 20, 20]
    assert read_catalogue(cache_file(folder)).equals(table)


def test_a_file_of_the_same_size_is_told_by_its_time(kept: Kept, opened: list[str]) -> None:
    folder, _ = kept
    catalogue.catalogue(folder)
    size = (folder / 'a.tif').stat().st_size
    small(folder / 'a.tif', value=2)
    assert (folder / 'a.tif').stat().st_size == size
    os.utime(folder / 'a.tif', ns=(1, 1))
    opened.clear()
    table = catalogue.catalogue(folder)
    assert opened == ['a.tif']
    assert table['mean'].to_pylist()[0] == [2]


def test_what_cannot_be_used_is_not_looked_at_again(kept: Kept, opened: list[str]) -> None:
    folder, _ = kept
    (folder / 'text.tif').write_text('I am no raster.')
    first = scan(folder).rejected
    opened.clear()
    assert scan(folder).rejected == first
    assert [Path(r.path).name for r in first] == ['text.tif']
    assert opened == []


def test_other_bands_need_no_other_scan(stack: Path, opened: list[str]) -> None:
    scan(stack)
    opened.clear()
    assert len(scan(stack, ['red']).files) != len(scan(stack, ['height']).files)
    assert opened == []


@pytest.mark.parametrize(
    'spoil',
    [
        lambda file: file.write_bytes(b''),
        lambda file: file.write_bytes(b'PAR1 is what it begins with'),
        lambda file: file.write_bytes(file.read_bytes()[:-100]),
        lambda file: file.write_bytes(file.read_bytes()[100:]),
        lambda file: pq.write_table(pa.table({'x': [1]}), file),
        lambda file: sealed(pa.table({'x': [1]}), str(catalogue.VERSION), file),
        lambda file: sealed(pq.read_table(file), '1', file),
        lambda file: gpd.GeoDataFrame(geometry=[shapely.Point(1, 2)]).to_parquet(file),
        lambda file: (file.unlink(), file.mkdir()),
    ],
    ids=[
        *('empty', 'text', 'cut', 'beheaded', 'foreign', 'other columns', 'old', 'geo'),
        'a folder',
    ],
)
def test_a_spoilt_catalogue_is_made_anew(
    kept: Kept, opened: list[str], spoil: Callable[[Path], object]
) -> None:
    folder, _ = kept
    first = catalogue.catalogue(folder)
    file = cache_file(folder)
    opened.clear()
    spoil(file)
    assert catalogue.catalogue(folder).equals(first)
    assert sorted(opened) == ['a.tif', 'b.tif', 'c.tif']
    if file.is_file():
        assert read_catalogue(file).equals(first)


def sealed(table: pa.Table, version: str, file: Path) -> None:
    pq.write_table(table.replace_schema_metadata({'xscale': version}), file)
    seal(file)


def test_any_byte_may_go_wrong(kept: Kept) -> None:
    """Each byte of the file in turn, pages, headers, checksum and footer, in one bit of it."""
    folder, _ = kept
    first = catalogue.catalogue(folder)
    file = cache_file(folder)
    whole, draw = file.read_bytes(), random.Random(0)
    for place in range(len(whole)):
        with file.open('r+b') as spoilt:
            spoilt.seek(place)
            spoilt.write(bytes([whole[place] ^ 1 << draw.randrange(8)]))
        with pytest.raises(CatalogueError, match='damaged'):
            read_catalogue(file)
        with file.open('r+b') as mended:
            mended.seek(place)
            mended.write(whole[place : place + 1])
    assert read_catalogue(file).equals(first)


@pytest.mark.parametrize('place', [0, 0.3, 0.6, 0.9, 0.999], ids=str)
def test_a_damaged_catalogue_is_scanned_anew_or_said_to_be(
    kept: Kept, opened: list[str], place: float
) -> None:
    folder, _ = kept
    first = catalogue.catalogue(folder)
    file, mine = cache_file(folder), folder.parent / 'mine.parquet'
    damaged = bytearray(file.read_bytes())
    damaged[int(place * len(damaged))] ^= 1
    file.write_bytes(damaged)
    mine.write_bytes(damaged)
    opened.clear()
    assert catalogue.catalogue(folder).equals(first)
    assert sorted(opened) == ['a.tif', 'b.tif', 'c.tif']
    assert read_catalogue(file).equals(first)
    with pytest.raises(CatalogueError, match=r'mine\.parquet .* damaged.* give the folder'):
        scan(mine)


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


def test_a_catalogue_as_a_path_is_taken_as_it_is(kept: Kept, opened: list[str]) -> None:
    folder, _ = kept
    first = scan(folder)
    file = folder.parent / 'mine.parquet'
    file.write_bytes(cache_file(folder).read_bytes())
    for raster in folder.iterdir():
        raster.unlink()
    opened.clear()
    index = scan(file)
    assert index.files.table.equals(first.files.table)
    assert index.sensors == first.sensors
    assert opened == []


@pytest.mark.parametrize('content', [b'', b'text', None])
def test_a_path_that_is_no_catalogue(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / 'x.parquet'
    if content is None:
        gpd.GeoDataFrame(geometry=[shapely.Point(1, 2)], crs=4326).to_parquet(file)
    else:
        file.write_bytes(content)
    with pytest.raises(CatalogueError, match=r'x\.parquet'):
        scan(file)


def test_a_folder_may_be_called_parquet(tmp_path: Path) -> None:
    assert len(scan(small(tmp_path / 'x.parquet/a.tif').parent).files) == 1


def test_a_file_under_two_paths_counts_once(
    kept: Kept, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder, _ = kept
    scan(folder)
    copy = folder.parent / 'copy.parquet'
    copy.write_bytes(cache_file(folder).read_bytes())
    monkeypatch.chdir(folder)
    for paths in (
        [folder, folder],
        [folder / 'a.tif', folder],
        [folder, '.', 'b.tif', '../data/c.tif'],
        [copy, folder],
        [folder.parent, folder],
    ):
        table = catalogue.catalogue(paths)
        assert names(table) == ['a.tif', 'b.tif', 'c.tif']
        assert table.schema.equals(SCHEMA)


def test_relative_and_absolute_paths_are_one(
    kept: Kept, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = kept
    table = catalogue.catalogue(folder)
    opened.clear()
    monkeypatch.chdir(folder.parent)
    assert catalogue.catalogue('data').equals(table)
    assert catalogue.catalogue(Path('data/../data')).equals(table)
    assert opened == []
    assert all(os.path.isabs(path) for path in table['filepath'].to_pylist())


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(MissingPathError):
        catalogue.catalogue([tmp_path, tmp_path / 'nowhere'])
    (tmp_path / 'one').mkdir()
    (tmp_path / 'two').mkdir()
    with pytest.raises(NoRastersError, match='no GeoTIFF'):
        scan([tmp_path / 'one', tmp_path / 'two'])


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


@pytest.fixture(scope='module')
def antimeridian(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rasters]:
    """A raster of Fiji that lies on both sides of 180 degrees."""
    folder = tmp_path_factory.mktemp('fiji')
    grid = from_origin(815_000, 8_100_000, 30, 30)
    write_raster(folder / 'fiji.tif', np.ones((100, 300), np.uint8), 'EPSG:32760', grid)
    return Rasters(folder)


def test_boxes_across_the_antimeridian(antimeridian: Rasters) -> None:
    west, south, east, north = antimeridian.rows.bounds[0]
    assert 179.9 < west < 180 < east < 180.1
    assert -17.3 < south < north < -17
    assert antimeridian.index.geometry.iloc[0].area == pytest.approx(
        (east - west) * (north - south), rel=0.1
    )


def test_a_pickled_copy_carries_the_table_alone(tmp_path: Path) -> None:
    """What is made of it when asked for is made again in the worker."""
    for number in range(50):
        write_holed(tmp_path / f'{number}.tif', collar(40, 40))
    dataset = Rasters(tmp_path)
    fresh = len(pickle.dumps(dataset))
    rows = [dataset.rows[number] for number in range(50)]
    dataset.rows.bounds, dataset.rows.times, dataset.rows.validity(0)
    assert len(pickle.dumps(dataset.rows)) <= fresh
    copy = pickle.loads(pickle.dumps(dataset))
    assert [copy.rows[number] for number in range(50)] == rows
    assert copy.rows.table.equals(dataset.rows.table)
