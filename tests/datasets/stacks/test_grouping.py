"""Which files are bands of one raster."""

from pathlib import Path

import numpy as np
import pytest
from rasterio.transform import from_origin

from xscale.datasets import Rasters, describe
from xscale.datasets.index import scan
from xscale.datasets.rules import load_rules
from xscale.errors import NoRastersError

from ...data.stack.data import write_raster
from .files import LETTERS, PIXELS, RGB, names, rules, separate, tile


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
