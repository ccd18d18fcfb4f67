"""Sentinel-2 and Landsat as they are delivered: one file a band."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.windows import Window

from xscale.datamodules import CrossScaleDataModule
from xscale.datasets import Rasters, TileSlice
from xscale.datasets.index import scan
from xscale.datasets.windows import Tile
from xscale.samplers import CrossScaleSampler

from ...data.scenes.data import SURFACE, TILE, write_landsat, write_sentinel2
from ...data.stack.data import write_raster
from .files import RGB, TIMES, names, tile


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
