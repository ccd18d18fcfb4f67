"""What a scan uses, what it leaves out and why, and the statistics it takes."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.transform import from_origin

from xscale.datasets.catalogue import catalogue, write_catalogue
from xscale.datasets.find import find_rasters
from xscale.datasets.index import Index, scan
from xscale.errors import MissingPathError, NoRastersError

from ..data.stack.data import RGBA, write_raster


@pytest.fixture(scope='module')
def found(stack: Path) -> Index:
    return scan(stack, ['red', 'green', 'blue'])


def names(index: Index) -> list[str]:
    return [Path(path).name for path in index.frame['filepath']]


def row(index: Index, name: str) -> pd.Series:
    return index.frame[index.frame['filepath'].str.contains(name)].iloc[0]


def trimmed(values: NDArray) -> NDArray:
    """Leave out the outer 1 % of each end."""
    low, high = np.quantile(values, [0.01, 0.99])
    return values[(values >= low) & (values <= high)]


def test_uses_every_file_with_the_bands(found: Index) -> None:
    assert names(found) == [
        'oslo.tif',
        'LC08_20190825_30m.tif',
        'berkeley.tif',
        'm_3607717_sw_18_1_20160620.tif',
        'drone.tif',
        'T48QUE_20200223_10m.tif',
    ]


@pytest.mark.parametrize(
    ('name', 'reason'),
    [
        ('text.tif', 'is not a raster'),
        ('empty.tif', 'is empty'),
        ('no_crs.tif', 'no coordinate reference system'),
        ('no_georeference.tif', 'no georeference'),
        ('engineering_crs.tif', 'nowhere on Earth'),
        ('metres_as_degrees.tif', 'lies outside'),
        ('globe.tif', 'too much of the globe'),
        ('complex.tif', 'complex'),
        ('height.tif', 'no band red, green, blue: its bands are height'),
        ('plain.tif', 'no band red, green, blue: its one band carries no name'),
    ],
)
def test_says_why_a_file_is_left_out(found: Index, name: str, reason: str) -> None:
    (rejected,) = (r for r in found.rejected if Path(r.path).name == name)
    assert reason in rejected.reason


def test_all_bands_keeps_the_usual_number(stack: Path) -> None:
    index = scan(stack)
    assert set(index.frame['bands']) == {(1, 2, 3, 4)}
    reasons = {Path(r.path).name: r.reason for r in index.rejected}
    assert reasons['LC08_20190825_30m.tif'].startswith('has 6 bands where most have 4')
    assert reasons['drone.tif'].startswith('has 3 bands where most have 4')
    assert reasons['no_valid.tif'] == 'holds no valid pixel'
    assert 'nothing but a mask' in reasons['only_alpha.tif']
    assert reasons['truncated.tif'].startswith('is cut short')


def test_every_file_is_used_or_left_out_once(stack: Path) -> None:
    index = scan(stack)
    paths = [*index.frame['filepath'], *(r.path for r in index.rejected)]
    assert tuple(sorted(paths)) == find_rasters(stack).rasters
    assert len(paths) == 19


def test_ground_sample_distances(found: Index) -> None:
    assert row(found, 'T48QUE')['gsd'] == 10
    assert row(found, 'LC08')['gsd'] == 30
    assert row(found, 'drone')['gsd'] == 0.5
    assert row(found, 'berkeley')['gsd'] == pytest.approx(0.942, abs=0.002)


def test_square_pixels_keep_their_own_grid(found: Index, stack: Path) -> None:
    for name in ('T48QUE', 'LC08', 'berkeley', 'm_3607717'):
        record = row(found, name)
        assert not record['warp']
        with rasterio.open(record['filepath']) as source:
            assert record['transform'] == tuple(source.transform)[:6]
            assert (record['width'], record['height']) == (source.width, source.height)
            assert rasterio.CRS.from_wkt(record['grid']) == source.crs


def test_degrees_get_a_metric_grid_that_holds_them(found: Index) -> None:
    record = row(found, 'oslo')
    assert record['warp']
    assert record['grid'] == 'EPSG:32632'
    assert record['gsd'] == pytest.approx((5.58 * 11.14) ** 0.5, rel=0.01)
    # 200×5.58 m by 150×11.14 m, in pixels of 7.89 m, and a little for the meridians' lean.
    assert record['width'] == pytest.approx(200 * 5.58 / 7.89, rel=0.05)
    assert record['height'] == pytest.approx(150 * 11.14 / 7.89, rel=0.05)
    west, south, east, north = record['geometry'].bounds
    assert west <= 10.7
    assert east >= 10.72 - 1e-6
    assert south <= 59.985
    assert north >= 60.0 - 1e-6


@pytest.mark.parametrize(
    'grid',
    [
        Affine(10, 0, 5e5, 0, 10, 5.3e6),
        Affine.translation(5e5, 5.3e6) @ Affine.rotation(30) @ Affine.scale(10, -10),
    ],
    ids=['south-up', 'rotated'],
)
def test_other_orientations_are_warped(tmp_path: Path, grid: Affine) -> None:
    pixels = np.arange(1, 61 * 51, dtype=np.uint16)[: 60 * 50].reshape(60, 50)
    index = scan(write_raster(tmp_path / 'x.tif', pixels, grid=grid))
    record = index.frame.iloc[0]
    assert record['warp']
    assert record['gsd'] == pytest.approx(10)
    corners = [grid @ corner for corner in ((0, 0), (50, 0), (0, 60), (50, 60))]
    left, top = record['transform'][2], record['transform'][5]
    assert left == pytest.approx(min(x for x, _ in corners), abs=0.01)
    assert top == pytest.approx(max(y for _, y in corners), abs=0.01)


def test_near_the_equator_degrees_are_square(tmp_path: Path) -> None:
    grid = from_origin(10, 1, 1e-4, 1e-4)
    path = write_raster(tmp_path / 'x.tif', np.ones((9, 9), np.uint8), 'EPSG:4326', grid)
    assert not scan(path).frame.iloc[0]['warp']


def test_sensors_group_files_that_mean_the_same(stack: Path, tmp_path: Path) -> None:
    pixels = np.ones((4, 20, 20), np.uint16)
    bands = ('B02', 'B03', 'B04', 'B08')
    twins = [write_raster(tmp_path / f'{name}.tif', pixels, names=bands) for name in 'ab']
    short = write_raster(tmp_path / 'c.tif', pixels.astype(np.int16), names=bands)
    turned = write_raster(tmp_path / 'd.tif', pixels, names=bands[::-1])
    index = scan([*twins, short, turned])
    a, b, c, d = index.frame['sensor']
    assert a == b
    assert len({a, c, d}) == 3
    assert index.sensors[a].bands == bands
    assert index.sensors[d].bands == bands[::-1]
    assert index.sensors[c].name.endswith('int16')


def test_statistics_of_valid_pixels(stack: Path) -> None:
    index = scan(stack / 'landsat')
    with rasterio.open(index.frame.iloc[0]['filepath']) as source:
        pixels = source.read()
    (sensor,) = index.sensors
    for band, mean, std in zip(pixels, sensor.mean, sensor.std, strict=True):
        valid = trimmed(band[band != 0].astype(float))
        assert mean == pytest.approx(valid.mean(), rel=1e-3)
        # 99 quantiles stand for thousands of pixels: their spread is theirs but for 1 %.
        assert std == pytest.approx(valid.std(), rel=0.01)


def test_statistics_leave_out_outliers(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).normal(100, 10, (100, 100)).astype(np.float32)
    pixels[:5, :10] = 1e6
    sensor = scan(write_raster(tmp_path / 'x.tif', pixels)).sensors[0]
    assert sensor.mean[0] == pytest.approx(100, abs=1)
    assert sensor.std[0] < 11


def test_statistics_leave_out_nan_and_negative_nodata(stack: Path) -> None:
    for folder, low, high in (('float', 0, 600), ('plain', -500, 500)):
        index = scan(stack / folder)
        with rasterio.open(index.frame.iloc[0]['filepath']) as source:
            pixels = source.read(1).astype(float)
        valid = trimmed(pixels[np.isfinite(pixels) & (pixels != -9999)])
        assert low < valid.min() < valid.max() < high
        assert index.sensors[0].mean[0] == pytest.approx(valid.mean(), abs=0.01 * valid.std())
        assert index.sensors[0].std[0] == pytest.approx(valid.std(), rel=0.01)


def test_constant_band_has_a_deviation_to_divide_by(tmp_path: Path) -> None:
    path = write_raster(tmp_path / 'x.tif', np.full((9, 9), 7, np.uint8))
    assert scan(path).sensors[0].std == (1.0,)


def test_naips_alpha_is_data(stack: Path) -> None:
    index = scan(stack / 'naip')
    record = index.frame.iloc[0]
    with rasterio.open(record['filepath']) as source:
        assert source.colorinterp == RGBA
        near_infrared = source.read(4).astype(float)
    assert (record['bands'], record['mask']) == ((1, 2, 3, 4), 0)
    expected = trimmed(near_infrared).mean()
    assert index.sensors[0].mean[3] == pytest.approx(expected, rel=0.01)


def test_true_alpha_is_a_mask(stack: Path) -> None:
    index = scan(stack / 'rgba')
    record = index.frame.iloc[0]
    assert (record['bands'], record['mask']) == ((1, 2, 3), 4)
    with rasterio.open(record['filepath']) as source:
        valid = trimmed(source.read(1)[source.read(4) > 0].astype(float))
    assert index.sensors[0].mean[0] == pytest.approx(valid.mean(), rel=0.01)


def test_internal_mask_is_left_out_of_statistics(tmp_path: Path) -> None:
    pixels = np.full((40, 40), 50, np.uint8)
    pixels[:20] = 250
    mask = np.full((40, 40), 255, np.uint8)
    mask[:20] = 0
    index = scan(write_raster(tmp_path / 'x.tif', pixels, mask=mask))
    assert index.sensors[0].mean == (50.0,)


def test_dates_from_names(found: Index) -> None:
    day = found.frame.index[names(found).index('LC08_20190825_30m.tif')]
    assert day.left == pd.Timestamp('2019-08-25')
    assert pd.Timestamp('2019-08-25 23:59') in day
    assert pd.Timestamp('2019-08-26') not in day
    # 3607717 is a quarter quad, not a date.
    assert found.frame.index[names(found).index('m_3607717_sw_18_1_20160620.tif')].left == (
        pd.Timestamp('2016-06-20')
    )
    undated = found.frame.index[names(found).index('drone.tif')]
    assert pd.Timestamp('1999-01-01') in undated
    assert pd.Timestamp('2031-01-01') in undated


@pytest.mark.parametrize('name', ['a_20191399.tif', 'b_120190825.tif', 'c_18990101.tif'])
def test_digits_that_are_no_date(tmp_path: Path, name: str) -> None:
    index = scan(write_raster(tmp_path / name, np.ones((9, 9), np.uint8)))
    assert index.frame.index[0].left == pd.Timestamp.min


def test_takes_folders_and_files(stack: Path, tmp_path: Path) -> None:
    upper = write_raster(tmp_path / 'deep/er/UPPER.TIF', np.ones((9, 9), np.uint8))
    assert len(scan([upper, stack / 'plain']).frame) == 2


def test_missing_path(tmp_path: Path) -> None:
    with pytest.raises(MissingPathError, match='nowhere does not exist'):
        scan([tmp_path, tmp_path / 'nowhere'])


def test_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(NoRastersError, match=r'no GeoTIFF .* file under'):
        scan(tmp_path)


def test_nothing_usable_names_files_and_bands(stack: Path) -> None:
    with pytest.raises(NoRastersError, match='bands asked for: red') as caught:
        scan([stack / 'bad/text.tif', stack / 'float'], ['red'])
    assert 'text.tif: is not a raster' in str(caught.value)
    assert 'height.tif: no band red' in str(caught.value)


#: Prints the bytes by which a process grows that scans what it is given, and those of the table.
GROWS = """
import resource, sys
from pathlib import Path
from xscale.datasets.index import scan

def resident():
    return int(Path('/proc/self/statm').read_text().split()[1]) * resource.getpagesize()

scan(sys.argv[1])
before = resident()
index = scan(sys.argv[2])
print(resident() - before, index.files.table.nbytes)
"""


@pytest.mark.skipif(not Path('/proc/self/statm').exists(), reason='needs /proc')
def test_what_chose_the_bands_is_not_kept(tmp_path: Path) -> None:
    """Two hundred thousand rasters: their statistics and names are gone once bands are chosen."""
    pixels = np.ones((4, 20, 20), np.uint8)
    one, many = write_raster(tmp_path / 'a.tif', pixels, nodata=0), tmp_path / 'many.parquet'
    rows = catalogue(one).take(np.zeros(200_000, int))
    paths = pa.array([f'/data/{number:09}.tif' for number in range(len(rows))])
    write_catalogue(rows.set_column(0, 'filepath', paths), many)
    command = [sys.executable, '-c', GROWS, str(one), str(many)]
    more, table = map(int, subprocess.run(command, capture_output=True, check=True).stdout.split())
    assert 0.5 * table < more < 2.5 * table
