"""TorchGeo's classes as rules: their files, their bands, their dates, and the pixels they give."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from affine import Affine
from torchgeo.datasets import (
    CDL,
    NAIP,
    Landsat1,
    Landsat7,
    Landsat8,
    Landsat9,
    RasterDataset,
    Sentinel2,
)
from torchgeo.datasets.agrifieldnet import AgriFieldNetImage

from xscale.datamodules import CrossScaleDataModule
from xscale.datasets import Rasters, TileSlice
from xscale.datasets.rules import load_rules
from xscale.datasets.windows import Tile
from xscale.errors import ConfigError, NoRastersError

from ..data.scenes.data import SURFACE, TILE, write_landsat, write_naip, write_sentinel2
from ..data.stack.data import write_raster

TEN = ('B02', 'B03', 'B04', 'B08')


@pytest.fixture(scope='module')
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scenes of four sensors side by side."""
    folder = tmp_path_factory.mktemp('scenes')
    write_sentinel2(folder)
    for number, sensor in enumerate(('LC08', 'LC09')):
        write_landsat(folder, sensor, seed=number)
    write_naip(folder)
    return folder


def read(dataset: Rasters, col: int = 20, row: int = 9, size: int = 64) -> dict[str, torch.Tensor]:
    anywhere = slice(0, 1), slice(0, 1), slice(pd.Timestamp.min, pd.Timestamp.max)
    return dataset[TileSlice(anywhere, Tile(0, col, row, size, size), 1.0)]


@pytest.mark.parametrize(
    ('cls', 'bands'),
    [
        (Sentinel2, TEN),
        (Sentinel2, ('B08', 'B02')),
        (Landsat8, ()),
        (Landsat8, ('SR_B4', 'SR_B3', 'SR_B2')),
        (Landsat9, ()),
        (NAIP, ()),
        (NAIP, ('NIR', 'R')),
    ],
)
def test_the_same_square_as_torchgeos(
    scenes: Path, cls: type[RasterDataset], bands: tuple[str, ...]
) -> None:
    theirs = cls(scenes, bands=bands or None)
    ours = Rasters(scenes, bands, f'torchgeo.datasets.{cls.__name__}')
    gsd = min(row['gsd'] for row in ours.rows)
    assert [row['gsd'] for row in ours.rows].count(gsd) == 1
    assert ours.rows[0]['gsd'] == gsd
    assert ours.sensors[0].bands == (bands or cls.all_bands or cls.default_bands)
    transform = Affine(*ours.rows[0]['transform'])
    (west, north), (east, south) = transform @ (20, 9), transform @ (84, 73)
    expected = theirs[west : east : transform.a, south : north : transform.a, :]['image']
    sample = read(ours)
    valid = sample['valid'].expand_as(expected)
    torch.testing.assert_close(sample['image'][valid], expected[valid], rtol=0, atol=0)
    assert valid.float().mean() > 0.7
    # What is missing is 0 with them.
    assert (sample['valid'][0] == (expected != 0).all(0)).all()
    assert ours.index.index[0] == theirs.index.index[0]


def test_only_the_files_of_the_class(scenes: Path) -> None:
    dataset = Rasters(scenes, rules=Landsat8)
    assert [Path(row['filepath']).name[:4] for row in dataset.rows] == ['LC08']
    reasons = {r.reason for r in dataset.rejected}
    assert reasons == {'is no file of the class (rule Landsat8 in torchgeo.datasets.landsat)'}
    left = sum(path.suffix in ('.jp2', '.TIF', '.tif') for path in scenes.rglob('*')) - 7
    assert len(dataset.rejected) == left


def test_several_classes_in_a_file_of_rules(scenes: Path, tmp_path: Path) -> None:
    path = tmp_path / 'my.yaml'
    classes = ('Landsat8', 'Landsat9', 'NAIP')
    entries = [f'dataset: torchgeo.datasets.{name}' for name in classes]
    entries.append("match: '**', leave_out: is of another sensor")
    path.write_text(f'rules: [{", ".join(f"{{{entry}}}" for entry in entries)}]')
    dataset = Rasters(scenes, ['red'], path)
    assert [sensor.name.split()[0] for sensor in dataset.sensors] == list(classes)
    assert any('is of another sensor (rule ** in my.yaml)' in r.reason for r in dataset.rejected)


MODULE = """
from torchgeo.datasets import RasterDataset


class Mine(RasterDataset):
    filename_glob = 'T*_B02_10m.*'
    filename_regex = r'^.{6}_(?P<date>\\d{8}T\\d{6})_(?P<band>B0[\\d])'
    date_format = '%Y%m%dT%H%M%S'
    separate_files = True
    all_bands = ('B02', 'B03', 'B04', 'B08')
    rgb_bands = ('B04', 'B03', 'B02')
"""


def test_a_class_of_ones_own(scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As TorchGeo's tutorial writes it: the glob means one band, the rest is found by the regex."""
    (tmp_path / 'my_scenes.py').write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    dataset = Rasters(scenes, ['red', 'nir'], 'my_scenes.Mine')
    (row,) = dataset.rows
    assert Path(row['filepath']).name == f'{TILE}_{{B02,B03,B04,B08}}_10m.jp2'
    assert dataset.sensors[0].name == 'Mine B04,B08 uint16'
    assert dataset.index.index[0].left == pd.Timestamp('2017-06-13 10:10:31')


class Unknown(RasterDataset):
    """Bands that another sensor calls otherwise."""

    filename_glob = 'scene_*'
    filename_regex = r'scene_(?P<start>\d{4})_(?P<stop>\d{4})'
    date_format = '%Y'
    all_bands = ('B1', 'B2', 'B3', 'B4')
    rgb_bands = ('B3', 'B1', 'B2')


def test_the_bands_a_class_shows_are_red_green_and_blue(tmp_path: Path) -> None:
    pixels = np.arange(1, 5, dtype=np.uint8)[:, None, None] * np.ones((4, 80, 90), np.uint8)
    write_raster(tmp_path / 'scene_2003_2005.tif', pixels)
    write_raster(tmp_path / 'other.tif', pixels)
    dataset = Rasters(tmp_path, ['red', 'green', 'blue', 'B4'], Unknown)
    assert read(dataset)['image'][:, 0, 0].tolist() == [3, 1, 2, 4]
    (interval,) = dataset.index.index
    assert (interval.left, interval.right.year) == (pd.Timestamp('2003-01-01'), 2005)
    with pytest.raises(NoRastersError, match='no band nir'):
        Rasters(tmp_path, ['nir'], Unknown)


def test_false_colour_is_not_taken_for_colour(tmp_path: Path) -> None:
    """The multispectral scanner has no blue, and its near infrared is shown as red."""
    for number in (4, 5, 6, 7):
        path = tmp_path / f'LM01_L1TP_015033_19770526_20200907_02_T2_B{number}.TIF'
        write_raster(path, np.full((80, 90), number, np.uint8), 'EPSG:32618')
    assert Landsat1.rgb_bands == ('B6', 'B5', 'B4')
    dataset = Rasters(tmp_path, ['red', 'green'], Landsat1)
    assert read(dataset)['image'][:, 0, 0].tolist() == [5, 4]


def test_bands_that_a_class_reads_if_asked(tmp_path: Path) -> None:
    """Landsat's classes read level 2 by default, and know the names of level 1."""
    write_landsat(tmp_path, 'LE07', 'L1TP')
    dataset = Rasters(tmp_path, ['red', 'nir'], Landsat7)
    assert dataset.sensors[0].bands == ('B3', 'B4')
    write_landsat(tmp_path, 'LC08', 'L2SP')
    dataset = Rasters(tmp_path, rules=Landsat8)
    assert dataset.sensors[0].bands == tuple(name for name in SURFACE if name != 'ST_B10')


def test_other_bands_than_the_class_has(tmp_path: Path) -> None:
    write_raster(tmp_path / 'm_3807511_ne_18_060_20181104.tif', np.ones((3, 20, 20), np.uint8))
    with pytest.raises(NoRastersError, match=r'rule NAIP in .* names 4 bands where the file has 3'):
        Rasters(tmp_path, rules=NAIP)


def test_names_without_a_place_to_fill(tmp_path: Path) -> None:
    for band in ('B02', 'B8A'):
        name = f'ref_agrifieldnet_competition_v1_source_001c1_{band}_10m.tif'
        write_raster(tmp_path / name, np.ones((20, 20), np.uint8))
    dataset = Rasters(tmp_path, ['blue', 'nir08'], AgriFieldNetImage)
    assert dataset.sensors[0].bands == ('B02', 'B8A')


class NoBands(RasterDataset):
    """Has files for its bands, and does not say which."""

    separate_files = True
    filename_regex = r'(?P<band>B\d)'


class NoGroup(NoBands):
    """Says which bands, but not where they are named."""

    all_bands = ('B1', 'B2')
    filename_regex = r'B\d'


class WrongRegex(NoBands):
    """Has a regular expression that is none."""

    filename_regex = '(?P<band>'


@pytest.mark.parametrize(
    ('named', 'complaint'),
    [
        ('torchgeo.datasets.Sentinel3', r'torchgeo.datasets.Sentinel3 cannot be imported: module'),
        ('no_such_module.Mine', "cannot be imported: No module named 'no_such_module'"),
        ('torchgeo.datasets.EuroSAT', 'is no RasterDataset of TorchGeo; a subclass is needed'),
        ('torchgeo.datasets.rasters', 'cannot be imported'),
        (CDL, r'holds labels \(is_image is False\); images are needed'),
        (NoBands, 'no names of bands'),
        (NoGroup, 'no group band in its filename_regex'),
        (WrongRegex, 'filename_regex of .* missing'),
        (int, 'is no RasterDataset'),
    ],
)
def test_what_is_no_class_of_images(named: str | type, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        load_rules(named)


@pytest.mark.parametrize(
    ('entry', 'complaint'),
    [
        ('{dataset: 5}', 'dataset: 5 is no class; text such as torchgeo.datasets.Sentinel2'),
        ('{dataset: torchgeo.datasets.NAIP, nodata: 0}', 'says all there is to say; take away nod'),
        ('{dataset: torchgeo.datasets.Sentinel3}', 'my.yaml, rule 1: dataset: torchgeo.*cannot be'),
    ],
)
def test_what_is_wrong_in_a_file_of_rules(tmp_path: Path, entry: str, complaint: str) -> None:
    path = tmp_path / 'my.yaml'
    path.write_text(f'rules: [{entry}]')
    with pytest.raises(ConfigError, match=complaint):
        load_rules(path)


def test_batches(scenes: Path) -> None:
    data = CrossScaleDataModule(
        str(scenes),
        ['red', 'green', 'blue'],
        'torchgeo.datasets.Landsat9',
        tile_size=32,
        batch_size=4,
    )
    data.setup('fit')
    batch = next(iter(data.train_dataloader()))
    assert batch['image'].shape == (4, 3, 32, 32)
    assert batch['valid'].any()
