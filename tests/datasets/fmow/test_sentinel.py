"""The images of Sentinel-2."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from xscale.datasets import FMoW
from xscale.datasets.fmow.classes import STATISTICS
from xscale.errors import BandsNotFoundError, ConfigError

from ...data.fmow.data import CORNERS, write_list, write_tiff
from .images import reasons


def test_sentinel(fmow: Path) -> None:
    dataset = FMoW(fmow / 'sentinel')
    assert dataset.sensors[0].bands == tuple(STATISTICS['sentinel'])
    assert [dataset.classes[sample['label']] for sample in dataset] == ['airport'] * 2 + ['zoo']
    sample = dataset[0]
    # A degree is a little longer along the equator than towards it, by less than 1 %.
    assert sample['image'].shape == (13, 45, 60)
    assert float(sample['gsd']) == pytest.approx(9.966, abs=0.001)
    assert sample['image'].max() > 3000
    # 0 in all bands is no data.
    assert not sample['valid'][0, :5, :5].any()
    assert sample['valid'].sum() == 45 * 60 - 25
    west, south = CORNERS['airport_0']
    step = 10 / 111_320
    expected = [west, south, west + 60 * step, south + 45 * step]
    torch.testing.assert_close(sample['footprint'], torch.tensor(expected).double())
    assert np.datetime64(int(sample['time']), 's') == np.datetime64('2016-05-01T00:00:00')
    assert dataset.images.location.tolist() == [0, 0, 1]


def test_sentinel_far_from_the_equator_is_made_square(fmow: Path) -> None:
    """At 60° north a degree of longitude is half of one of latitude."""
    sample = FMoW(fmow / 'sentinel')[2]
    assert sample['image'].shape == (13, 64, 42)
    assert float(sample['gsd']) == pytest.approx(10 * 0.5**0.5, rel=0.01)


def test_bands_of_sentinel(fmow: Path) -> None:
    named = FMoW(fmow / 'sentinel', bands=['nir', 'B04', '12'])
    assert named.sensors[0].bands == ('B8', 'B4', 'B11')
    assert named.sensors[0].mean == (1762.59530783, 1136.26026392, 1732.16362238)
    whole = FMoW(fmow / 'sentinel')[0]['image']
    assert torch.equal(named[0]['image'], whole[[7, 3, 11]])
    with pytest.raises(BandsNotFoundError, match='no band thermal'):
        FMoW(fmow / 'sentinel', bands=['thermal'])


def test_sentinel_without_a_place_in_its_tiffs(tmp_path: Path) -> None:
    """The list says where they are."""
    step = 10 / 111_320
    rng = np.random.default_rng(0)
    path = tmp_path / 'val' / 'dam' / 'dam_4' / 'dam_4_1.tif'
    write_tiff(path, rng.integers(1, 99, (13, 20, 30), dtype=np.uint16), None)
    corners = f'(1 0, {1 + 30 * step} 0, {1 + 30 * step} {20 * step}, 1 {20 * step}, 1 0)'
    row = {'category': 'dam', 'location_id': 4, 'image_id': 1, 'timestamp': 'some day'}
    write_list(tmp_path / 'val.csv', [{**row, 'polygon': f'POLYGON ({corners})'}])
    (sample,) = FMoW(tmp_path, 'val')
    assert float(sample['gsd']) == pytest.approx(9.966, abs=0.001)
    assert sample['footprint'].tolist() == pytest.approx([1, 0, 1 + 30 * step, 20 * step])
    assert sample['time'].isnan()


def test_sentinel_images_that_cannot_be_used(fmow: Path, tmp_path: Path) -> None:
    shutil.copytree(fmow / 'sentinel', tmp_path / 's')
    folder = tmp_path / 's' / 'train' / 'airport' / 'airport_0'
    (folder / 'airport_0_6.tif').unlink()
    write_tiff(folder / 'airport_0_100.tif', np.zeros((1, 9, 9), np.uint8), None)
    dataset = FMoW(tmp_path / 's')
    assert len(dataset) == 1
    assert reasons(dataset) == {
        'airport_0_6.tif': 'is not there',
        'airport_0_100.tif': 'has 1 bands where 13 are needed',
    }


def test_sentinel_below_a_folder_of_its_name(fmow: Path, tmp_path: Path) -> None:
    shutil.copytree(fmow / 'sentinel' / 'val', tmp_path / 'fmow-sentinel' / 'val')
    shutil.copy(fmow / 'sentinel' / 'val.csv', tmp_path)
    assert len(FMoW(tmp_path, 'val')) == 3
    shutil.rmtree(tmp_path / 'fmow-sentinel')
    with pytest.raises(ConfigError, match=r'are looked for in .*val or .*fmow-sentinel/val'):
        FMoW(tmp_path, 'val')
