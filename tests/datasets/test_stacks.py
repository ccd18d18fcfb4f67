"""Bands in files of their own: which files are one raster, and that it is read as one file is."""

import pickle
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.transform import from_origin
from rasterio.windows import Window

from xscale.datamodules import CrossScaleDataModule
from xscale.datasets import Rasters, TileSlice, describe
from xscale.datasets.files import Row
from xscale.datasets.index import scan
from xscale.datasets.rules import load_rules
from xscale.datasets.validity import most_nodata
from xscale.datasets.windows import Tile
from xscale.errors import NoRastersError
from xscale.samplers import CrossScaleSampler

from ..data.scenes.data import SURFACE, TILE, write_landsat, write_sentinel2
from ..data.stack.data import write_raster
from ..holes import GRIDS, Mask, clouded, collar, scattered, striped

TIMES = slice(pd.Timestamp.min, pd.Timestamp.max)

RGB = ('red', 'green', 'blue')


def tile(dataset: Rasters, col: float, row: float, extent: float, size: int) -> TileSlice:
    anywhere = slice(0, 1), slice(0, 1), TIMES
    return TileSlice(anywhere, Tile(0, col, row, extent, size), 1.0)


def rules(folder: Path, *entries: str) -> Path:
    path = folder / 'rules.yaml'
    path.write_text('rules:\n' + ''.join(f'  - {entry}\n' for entry in entries))
    return path


def names(rows: Sequence[Row]) -> list[str]:
    return [Path(row['filepath']).name for row in rows]


def separate(
    folder: Path, pixels: NDArray, crs: str = 'EPSG:32633', *, names: str = 'BGR', **options: object
) -> Path:
    """Write the bands of a raster one by one, as ``x_B.tif`` and so on."""
    for name, band in zip(names, pixels, strict=True):
        write_raster(folder / f'x_{name}.tif', band, crs, **options)
    return folder


LETTERS = "{match: '*_{band}.tif', name: mine, bands: {B: blue, G: green, R: red}}"


def test_sentinel2_as_delivered(tmp_path: Path) -> None:
    write_sentinel2(tmp_path)
    index = scan(tmp_path, RGB)
    assert names(index.files) == [
        f'{TILE}_{{B02,B03,B04,B08}}_10m.jp2',
        f'{TILE}_{{B02,B03,B04,B05,B8A,B11}}_20m.jp2',
        f'{TILE}_{{B01,B02,B03,B04,B09}}_60m.jp2',
    ]
    assert [row['gsd'] for row in index.files] == [10, 20, 60]
    assert [row['bands'] for row in index.files] == [(3, 2, 1), (3, 2, 1), (4, 3, 2)]
    assert [part['filepath'][-11:] for part in index.files[0]['parts']] == [
        f'B0{number}_10m.jp2' for number in (4, 3, 2)
    ]
    (sensor,) = index.sensors
    assert (sensor.name, sensor.bands) == ('sentinel-2 B04,B03,B02 uint16', ('B04', 'B03', 'B02'))
    assert {choice.source for choice in index.choices} == {'bundled rule sentinel-2'}
    reasons = {Path(r.path).name.split('_')[-2]: r.reason for r in index.rejected}
    assert reasons == {
        'TCI': 'is a preview in 8 bits (bundled rule sentinel-2)',
        'SCL': 'is a map made of the bands (bundled rule sentinel-2)',
        'AOT': 'is a map made of the bands (bundled rule sentinel-2)',
        'WVP': 'is a map made of the bands (bundled rule sentinel-2)',
        'CLDPRB': 'tells of the quality of the bands (bundled rule sentinel-2)',
    }


def test_a_scene_without_a_band_is_left_out(tmp_path: Path) -> None:
    images = write_sentinel2(tmp_path)
    (images / f'R10m/{TILE}_B03_10m.jp2').unlink()
    index = scan(images, ['B04', 'green'])
    assert [row['gsd'] for row in index.files] == [20, 60]
    (reason,) = (r.reason for r in index.rejected if '{B02,B04,B08}' in r.path)
    assert reason == (
        'no band green: its bands are B02, B04, B08 (read as sentinel-2 by bundled rule sentinel-2)'
    )


def test_one_folder_of_several_grids(tmp_path: Path) -> None:
    """Before level 2A, bands of 10, 20 and 60 m lie side by side and are named alike."""
    write_sentinel2(tmp_path, '1C')
    paths = {row['gsd']: Path(row['filepath']).name for row in scan(tmp_path, ['1', '2']).files}
    assert paths == {
        10: f'{TILE}_{{B02,B03,B04,B08}}.jp2',
        20: f'{TILE}_{{B05,B8A}}.jp2',
        60: f'{TILE}_{{B01,B10}}.jp2',
    }


def test_zero_is_no_data_of_sentinel2(tmp_path: Path) -> None:
    images = write_sentinel2(tmp_path)
    dataset = Rasters(images / 'R10m', RGB)
    sample = dataset[tile(dataset, 7, 11, 96, 96)]
    with rasterio.open(images / f'R10m/{TILE}_B03_10m.jp2') as source:
        assert source.nodata is None
    for band, number in enumerate((4, 3, 2)):
        with rasterio.open(images / f'R10m/{TILE}_B0{number}_10m.jp2') as source:
            pixels = source.read(1, window=Window(7, 11, 96, 96))
        np.testing.assert_array_equal(sample['image'][band], pixels * sample['valid'][0].numpy())
        assert not sample['valid'][0][pixels == 0].any()
    # One of twenty is missing in each band by itself.
    assert sample['valid'].float().mean() == pytest.approx(0.95**3, abs=0.02)


def test_landsat_as_delivered(tmp_path: Path) -> None:
    start = write_landsat(tmp_path)
    index = scan(tmp_path, ['red', 'lwir11', 'nir'])
    assert index.files.path(0) == f'{start}_{{{",".join(SURFACE)}}}.TIF'
    assert index.sensors[0].name == 'landsat-8-9 SR_B4,ST_B10,SR_B5 uint16'
    (rejected,) = index.rejected
    assert rejected.reason == 'tells of the quality of the bands (bundled rule landsat)'


def test_landsats_panchromatic_has_a_grid_of_its_own(tmp_path: Path) -> None:
    start = write_landsat(tmp_path, level='L1TP')
    index = scan(tmp_path, ['pan'])
    assert [row['filepath'] for row in index.files] == [f'{start}_B8.TIF']
    assert index.files[0]['gsd'] == 15
    assert index.sensors[0].name == 'landsat-8-9 B8 uint16'
    others = ','.join(f'B{number}' for number in range(1, 12) if number != 8)
    assert any(r.path == f'{start}_{{{others}}}.TIF' for r in index.rejected)


def test_which_sensors_b4_it_is(tmp_path: Path) -> None:
    for sensor, nir in (('LC09', 'B5'), ('LE07', 'B4'), ('LT05', 'B4'), ('LM02', 'B7')):
        for number in (4, 5, 7):
            path = tmp_path / f'{sensor}_L1TP_218074_20010114_20200829_02_T1_B{number}.TIF'
            write_raster(path, np.full((20, 20), number, np.uint8), 'EPSG:32723')
        dataset = Rasters(tmp_path, ['nir'])
        found = {sensor.name.split()[1] for sensor in dataset.sensors}
        assert nir in found
        row = next(n for n, row in enumerate(dataset.rows) if sensor in row['filepath'])
        expected = int(nir[1])
        place = TileSlice((slice(0, 1), slice(0, 1), TIMES), Tile(row, 0, 0, 8, 8), 10.0)
        assert (dataset[place]['image'] == expected).all()


def test_common_names(tmp_path: Path) -> None:
    pixels = np.arange(1, 4, dtype=np.uint8)[:, None, None] * np.ones((3, 30, 30), np.uint8)
    for band, name in zip(pixels, ('Red', 'GREEN', 'nir'), strict=True):
        write_raster(tmp_path / f'field-{name}.tif', band)
    dataset = Rasters(tmp_path, ['nir', 'red'])
    assert names(dataset.rows) == ['field-{GREEN,Red,nir}.tif']
    assert dataset[tile(dataset, 0, 0, 8, 8)]['image'].unique().tolist() == [1, 3]


@pytest.mark.parametrize(
    'other',
    [
        {'grid': from_origin(500_000, 5_300_010, 10, 10)},
        {'grid': from_origin(500_000, 5_300_000, 10.001, 10.001)},
        {'crs': 'EPSG:32632'},
        {'pixels': np.ones((40, 50), np.uint8)},
        {'pixels': np.ones((40, 40), np.uint16)},
    ],
    ids=['place', 'pixel', 'crs', 'size', 'dtype'],
)
def test_only_files_on_one_grid_are_one_raster(tmp_path: Path, other: dict) -> None:
    write_raster(tmp_path / 'a_red.tif', np.ones((40, 40), np.uint8))
    write_raster(tmp_path / 'a_nir.tif', **{'pixels': np.ones((40, 40), np.uint8), **other})
    assert names(scan(tmp_path).files) == ['a_nir.tif', 'a_red.tif']
    with pytest.raises(NoRastersError, match=r'a_red\.tif: no band nir: its bands are red'):
        scan(tmp_path, ['red', 'nir'])


def test_other_scenes_are_other_rasters(tmp_path: Path) -> None:
    pixels = np.ones((20, 20), np.uint8)
    for name in ('a/x_red', 'a/x_nir', 'b/x_red', 'b/x_nir', 'b/y_red', 'y_nir', 'b/x_red_2'):
        write_raster(tmp_path / f'{name}.tif', pixels)
    assert names(scan(tmp_path, ['red', 'nir']).files) == ['x_{red,nir}.tif'] * 2


def test_several_bands_in_a_file_stay_as_they_are(tmp_path: Path) -> None:
    write_raster(tmp_path / 'x_red.tif', np.ones((3, 20, 20), np.uint8))
    write_raster(tmp_path / 'x_nir.tif', np.ones((20, 20), np.uint8))
    index = scan(tmp_path, ['nir'])
    assert names(index.files) == ['x_nir.tif']
    assert index.rejected[0].reason == 'no band nir: its 3 bands carry no names'


def test_a_files_own_description_counts_before_the_bundled_rules(tmp_path: Path) -> None:
    for name, own in (('red', 'NIR'), ('green', 'Green'), ('blue', 'reflectance')):
        write_raster(tmp_path / f'x_{name}.tif', np.ones((20, 20), np.uint8), names=[own])
    index = scan(tmp_path)
    assert [choice.names for choice in index.choices] == [('blue', 'Green', 'NIR')]


PIXELS = np.random.default_rng(3).integers(10, 255, (3, 240, 320), dtype=np.uint8)


def missing(valid: Mask, sign: str, pixels: NDArray = PIXELS) -> tuple[NDArray, dict]:
    """Take what is not valid out of pixels, (C, H, W), and say how the file is to tell."""
    if sign == 'nodata':
        return np.where(valid, pixels, 0).astype(np.uint8), {'nodata': 0}
    if sign == 'nan':
        return np.where(valid, pixels, np.nan).astype(np.float32), {}
    if sign == 'rule':
        return np.where(valid, pixels, 9).astype(np.uint8), {}
    return pixels, {'mask': np.where(valid, 255, 0).astype(np.uint8)}


@pytest.mark.parametrize('overviews', [(), (2, 4)], ids=['full', 'overviews'])
@pytest.mark.parametrize('grid', GRIDS)
@pytest.mark.parametrize('sign', ['nodata', 'nan', 'mask', 'rule'])
def test_read_as_one_file_is(
    tmp_path: Path, sign: str, grid: str, overviews: tuple[int, ...]
) -> None:
    """Statistics, validity, and tiles at any place and zoom."""
    crs, transform = GRIDS[grid]
    pixels, options = missing(clouded(*PIXELS.shape[1:]), sign)
    options |= {'grid': transform, 'overviews': overviews}
    separate(tmp_path / 'many', pixels, crs, **options)
    write_raster(tmp_path / 'one/x.tif', pixels, crs, **options)
    given = ', nodata: 9' if sign == 'rule' else ''
    said = [LETTERS.replace('}}', f'}}{given}}}'), f'{{match: x.tif, bands: [b, g, r]{given}}}']
    mine = rules(tmp_path, *said)
    many = Rasters(tmp_path / 'many', ['red', 'blue'], mine)
    one = Rasters(tmp_path / 'one', ['r', 'b'], mine)
    assert len(many) == 1
    assert many.sensors[0].mean == one.sensors[0].mean
    assert many.sensors[0].std == one.sensors[0].std
    assert many.rows.overviews(0) == one.rows.overviews(0)
    assert many.rows.valid == one.rows.valid
    np.testing.assert_array_equal(many.rows.validity(0).levels, one.rows.validity(0).levels)
    assert many.rows.validity(0).shape == one.rows.validity(0).shape
    width, height = many.rows.shape[0].tolist()
    places = [(13, 7, 64, 64), (16, 32, 128, 64), (0, 0, 64, 64), (31.4, 20.2, 133.3, 48)]
    places += [(-20, 40, 64, 64), (width - 30, height - 40, 96, 32), (80, 40, 16, 64)]
    shares = []
    for place in places:
        samples = [dataset[tile(dataset, *place)] for dataset in (many, one)]
        np.testing.assert_array_equal(samples[0]['valid'], samples[1]['valid'])
        np.testing.assert_array_equal(samples[0]['image'], samples[1]['image'])
        shares.append(float(samples[0]['valid'].float().mean()))
    assert min(shares) < max(shares)


def test_torchgeos_slices(tmp_path: Path) -> None:
    pixels, options = missing(clouded(*PIXELS.shape[1:]), 'nodata')
    write_raster(tmp_path / 'one/x.tif', pixels, **options)
    many = Rasters(separate(tmp_path / 'many', pixels, **options), RGB, rules(tmp_path, LETTERS))
    one = Rasters(tmp_path / 'one', ['3', '2', '1'])
    west, _, _, north = many.rows.bounds[0]
    step = many.res[0]
    box = slice(west + 20 * step, west + 84 * step, step), slice(north - 84 * step, north, step)
    samples = [dataset[(*box, TIMES)] for dataset in (many, one)]
    np.testing.assert_array_equal(samples[0]['image'], samples[1]['image'])
    np.testing.assert_array_equal(samples[0]['valid'], samples[1]['valid'])
    assert samples[0]['valid'].any()


def test_a_pixel_is_valid_where_it_is_in_all_bands_asked_for(tmp_path: Path) -> None:
    """The bands may say so in different ways."""
    left, upper = np.ones((2, 40, 40), bool)
    left[:, :20], upper[:20] = False, False
    for name, valid, sign in (('red', left, 'nodata'), ('green', upper, 'mask')):
        pixels, options = missing(valid, sign, np.full((1, 40, 40), 50, np.uint8))
        write_raster(tmp_path / f'x_{name}.tif', pixels, **options)
    write_raster(tmp_path / 'x_blue.tif', np.full((40, 40), 7, np.uint8), nodata=255)
    for bands, valid in ((RGB, left & upper), (('blue', 'green'), upper), (('blue',), None)):
        dataset = Rasters(tmp_path, bands)
        sample = dataset[tile(dataset, 0, 0, 40, 40)]
        expected = np.ones((40, 40), bool) if valid is None else valid
        np.testing.assert_array_equal(sample['valid'][0], expected)
        assert (sample['image'] == 0).all(0).equal(~sample['valid'][0])
        assert (dataset.rows.validity(0) is None) == (valid is None)
        assert dataset.rows.valid[0] == pytest.approx(1 if valid is None else 0.5)


@pytest.mark.parametrize('make', [collar, scattered, striped, clouded])
@pytest.mark.parametrize('alike', [True, False], ids=['alike', 'shifted'])
def test_missing_data_is_bounded_from_above(tmp_path: Path, make: object, alike: bool) -> None:
    rng = np.random.default_rng(0)
    for turn, name in enumerate(RGB):
        valid = np.roll(make(240, 320), 0 if alike else 9 * turn, axis=1)
        pixels, options = missing(valid, 'nodata', PIXELS[:1])
        write_raster(tmp_path / f'x_{name}.tif', pixels, **options)
    dataset = Rasters(tmp_path, RGB)
    validity, sides = dataset.rows.validity(0), dataset.rows.shape[0].tolist()
    lacking = []
    for col, row in rng.integers(0, (320 - 48, 240 - 48), (50, 2)).tolist():
        valid = dataset[tile(dataset, col, row, 48, 48)]['valid']
        lacking.append(1 - float(valid.float().mean()))
        assert lacking[-1] <= most_nodata(validity, sides, col, row, 48) + 1e-6
    assert max(lacking) > 0.2
    if alike:
        # No more is said to be missing than of one file.
        (alone,) = Rasters(tmp_path / 'x_red.tif').rows
        one = Rasters(tmp_path / 'x_red.tif').rows.validity(0)
        np.testing.assert_array_equal(validity.levels, one.levels)
        assert dataset.rows.valid[0] == alone['valid']


def test_overviews_that_not_all_have(tmp_path: Path) -> None:
    for name, overviews in (('red', (2, 4)), ('green', (4, 8)), ('blue', ())):
        write_raster(tmp_path / f'x_{name}.tif', PIXELS[0], overviews=overviews)
    assert Rasters(tmp_path, ['red', 'green']).rows.overviews(0) == [4]
    dataset = Rasters(tmp_path, RGB)
    assert dataset.rows.overviews(0) == []
    red, _, blue = dataset[tile(dataset, 0, 0, 128, 64)]['image'].numpy()
    # One band is copied from its overview, the other averaged: the same but for rounding.
    np.testing.assert_allclose(red, blue, atol=0.51)


def test_a_part_that_breaks_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in RGB:
        write_raster(tmp_path / f'x_{name}.tif', PIXELS[0])
    dataset = Rasters(tmp_path, RGB)
    place = tile(dataset, 0, 0, 64, 64)
    assert not dataset[place]['unreadable']
    fresh = pickle.loads(pickle.dumps(dataset))
    (tmp_path / 'x_green.tif').rename(tmp_path / 'kept')
    sample = fresh[place]
    assert sample['unreadable']
    assert sample['image'].shape == (3, 64, 64)
    assert not sample['valid'].any()
    assert not fresh._handles
    said = capsys.readouterr().err
    assert said.startswith(f'xscale: cannot read {tmp_path}/x_green.tif (')
    assert said.count('\n') == 1
    (tmp_path / 'kept').rename(tmp_path / 'x_green.tif')
    assert not fresh[place]['unreadable']


def test_open_files_are_counted_not_rasters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('xscale.datasets.rasters.OPEN_FILES', 7)
    for number in range(5):
        for name in RGB:
            write_raster(tmp_path / f'{number}_{name}.tif', np.full((20, 20), number + 1, np.uint8))
    dataset = Rasters(tmp_path, RGB)
    for number in (0, 1, 2, 3, 4, 0):
        place = TileSlice((slice(0, 1), slice(0, 1), TIMES), Tile(number, 0, 0, 8, 8), 10.0)
        assert (dataset[place]['image'] == number + 1).all()
        assert sum(len(reader) for reader in dataset._handles.values()) <= 7


def test_a_kept_catalogue_needs_no_new_scan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    separate(tmp_path, PIXELS)
    assert len(scan(tmp_path).files) == 3
    monkeypatch.setattr(describe, 'open_raster', None)
    found = rules(tmp_path, LETTERS)
    assert len(Rasters(tmp_path, RGB, found)) == 1


def test_rules_of_ones_own(tmp_path: Path) -> None:
    for name in ('1', '2', '3'):
        write_raster(tmp_path / f'{name}/x.tif', np.full((20, 20), int(name), np.uint8))
    entry = "{match: '{band}/*.tif', name: cam, bands: {1: nir, 3: red}, "
    dataset = Rasters(
        tmp_path, ['red', 'nir'], rules(tmp_path, entry + 'mean: [5, 6], std: [2, 3]}')
    )
    (row,) = dataset.rows
    assert row['filepath'] == f'{tmp_path}/{{1,3}}/x.tif'
    (sensor,) = dataset.sensors
    assert (sensor.name, sensor.mean, sensor.std) == ('cam red,nir uint8', (6, 5), (3, 2))
    assert dataset[tile(dataset, 0, 0, 8, 8)]['image'][:, 0, 0].tolist() == [3, 1]
    assert dataset.rejected[0].reason == 'no band red, nir: its one band carries no name'


def test_a_rule_for_sensors_that_share_names(tmp_path: Path) -> None:
    """Whose B4 it is the names of the files tell as ever, also where a rule is of one's own."""
    for sensor in ('LC08', 'LE07'):
        for number in (3, 4, 5):
            pixels = np.full((20, 20), number, np.uint8)
            grid = from_origin(5e5, 5.3e6, 30, 30)
            write_raster(tmp_path / f'{sensor}_x-B{number}-cut.tif', pixels, grid=grid)
    dataset = Rasters(
        tmp_path, ['red'], rules(tmp_path, "{match: '*-{band}-cut.tif', bands: [B3, B4, B5]}")
    )
    assert [Path(row['parts'][0]['filepath']).name for row in dataset.rows] == [
        'LC08_x-B4-cut.tif',
        'LE07_x-B3-cut.tif',
    ]


def test_the_first_rule_counts(tmp_path: Path) -> None:
    for name in (*RGB, 'nir'):
        write_raster(tmp_path / f'x_{name}.tif', np.ones((20, 20), np.uint8))
    first = "{match: '*_nir.tif', bands: [lwir]}"
    second = "{match: '*_{band}.tif', bands: {red: nir, green: red, nir: green}}"
    third = '{match: x_blue.tif, leave_out: true}'
    index = scan(tmp_path, rules=load_rules(rules(tmp_path, first, second, third)))
    assert names(index.files) == ['x_{red,green}.tif']
    assert index.choices[0].names == ('nir', 'red')
    reasons = {Path(r.path).name: r.reason for r in index.rejected}
    assert reasons == {
        'x_nir.tif': 'has 1 bands where most have 2; ask for some by name',
        'x_blue.tif': 'is left out (rule x_blue.tif in rules.yaml)',
    }


def test_pairs_of_one_product(tmp_path: Path) -> None:
    """Sentinel-2's 10, 20 and 60 m are three looks at one place."""
    write_sentinel2(tmp_path)
    data = CrossScaleDataModule(
        str(tmp_path), list(RGB), pairs=True, tile_size=32, batch_size=12, max_nodata=0.6
    )
    data.setup('fit')
    batch = next(iter(data.train_dataloader()))
    assert batch['image'].shape[:2] == batch['image_coarse'].shape[:2] == (12, 3)
    assert batch['valid_coarse'].any((1, 2, 3)).all()
    # 20 m with 10 m, 60 m with 20 m, 60 m with 10 m.
    ratio = batch['gsd_coarse'] / batch['gsd']
    assert ((ratio == 2) | (ratio == 3) | (ratio == 6)).all()


def test_drawn_and_read_in_training(tmp_path: Path) -> None:
    write_sentinel2(tmp_path)
    write_landsat(tmp_path)
    dataset = Rasters(tmp_path, RGB)
    sampler = CrossScaleSampler(dataset, size=32, batch_size=16, gsd=(10, 120), balance='gsd')
    sensors = set()
    for draw in sampler.batch(0, 0):
        sample = dataset[draw]
        assert sample['image'].shape == (3, 32, 32)
        assert sample['valid'].float().mean() >= 0.5
        sensors.add(dataset.sensors[int(sample['sensor'])].name.split()[0])
    assert sensors == {'sentinel-2', 'landsat-8-9'}
