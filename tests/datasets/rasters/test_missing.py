"""What is missing is left out, of averages and warps too; what is only marked alpha is not."""

from pathlib import Path

import numpy as np
import pytest
from affine import Affine

from xscale.datasets import Rasters

from ...data.stack.data import RGBA, write_raster
from .tiles import DEGREES, bare, blocks, tile


@pytest.mark.parametrize('zoom', [1, 2, 3.3])
def test_nodata_does_not_bleed_into_averages(tmp_path: Path, zoom: float) -> None:
    pixels = np.full((1, 120, 120), 50, np.int16)
    pixels[:, :, :33] = -9999
    dataset = Rasters(write_raster(tmp_path / 'x.tif', pixels, nodata=-9999))
    sample = dataset[tile(dataset, 0, 0, 30 * zoom, 30)]
    assert sample['image'].unique().tolist() in ([0, 50], [0])
    assert set(sample['image'][sample['valid']].tolist()) <= {50}
    share = max(0, 1 - 33 / (30 * zoom))
    assert sample['valid'].float().mean() == pytest.approx(share, abs=1 / 30)


@pytest.mark.parametrize('zoom', [1, 2, 3.3])
@pytest.mark.parametrize('declared', [None, float('nan')], ids=['undeclared', 'declared'])
def test_nan_never_comes_out(tmp_path: Path, zoom: float, declared: float | None) -> None:
    pixels = np.full((2, 120, 120), 7, np.float32)
    pixels[1, :40] = np.nan
    dataset = Rasters(write_raster(tmp_path / 'x.tif', pixels, nodata=declared))
    sample = dataset[tile(dataset, 0, 0, 33 * zoom, 33)]
    assert sample['image'][sample['valid'].expand(2, -1, -1)].unique().tolist() in ([7], [])
    assert (sample['image'][~sample['valid'].expand(2, -1, -1)] == 0).all()
    share = max(0, 1 - 40 / (33 * zoom))
    assert sample['valid'].float().mean() == pytest.approx(share, abs=1 / 33)


@pytest.mark.parametrize('zoom', [1, 2])
def test_alpha_mask(stack: Path, zoom: int) -> None:
    dataset = Rasters(stack / 'rgba')
    path = Path(dataset.index['filepath'].iloc[0])
    sample = dataset[tile(dataset, 10, 0, 50 * zoom, 50)]
    assert sample['image'].shape == (3, 50, 50)
    assert not sample['valid'][0, : 30 // zoom].any()
    assert sample['valid'][0, 30 // zoom :].all()
    expected = blocks(bare(path, 10, 0, 50 * zoom)[:3], zoom)
    np.testing.assert_allclose(sample['image'], np.where(sample['valid'], expected, 0), atol=0.51)


@pytest.mark.parametrize('zoom', [1, 2])
def test_internal_mask(tmp_path: Path, zoom: int) -> None:
    pixels = np.full((3, 80, 80), 90, np.uint8)
    mask = np.full((80, 80), 255, np.uint8)
    mask[:, :20], pixels[:, :, :20] = 0, 10
    dataset = Rasters(write_raster(tmp_path / 'x.tif', pixels, mask=mask))
    sample = dataset[tile(dataset, 0, 0, 40 * zoom, 40)]
    assert not sample['valid'][0, :, : 20 // zoom].any()
    assert (sample['image'][:, :, 20 // zoom :] == 90).all()


@pytest.mark.parametrize('zoom', [2, 3.3])
@pytest.mark.parametrize('bands', [3, 4])
def test_what_alpha_hides_does_not_bleed_into_averages(
    tmp_path: Path, bands: int, zoom: float
) -> None:
    # GDAL heeds an alpha band only as the second or fourth.
    pixels = np.full((bands + 1, 120, 120), 50, np.uint8)
    pixels[-1] = 255
    pixels[:, :33] = 0
    colours = (*RGBA[:3], RGBA[0])[:bands]
    dataset = Rasters(write_raster(tmp_path / 'x.tif', pixels, colours=(*colours, RGBA[3])))
    sample = dataset[tile(dataset, 0, 0, 36 * zoom, 36)]
    assert sample['image'].unique().tolist() == [0, 50]
    assert sample['valid'].float().mean() == pytest.approx(1 - 33 / (36 * zoom), abs=1.5 / 36)


@pytest.mark.parametrize('dtype', ['uint8', 'int8', 'uint16', 'int16', 'int32', 'float32'])
@pytest.mark.parametrize('bands', [1, 3, 4])
def test_beyond_a_warped_raster_nothing_is_valid(tmp_path: Path, bands: int, dtype: str) -> None:
    turned = Affine.translation(5e5, 5.3e6) @ Affine.rotation(45) @ Affine.scale(10, -10)
    pixels = np.full((bands, 80, 80), 99, dtype)
    dataset = Rasters(write_raster(tmp_path / 'x.tif', pixels, grid=turned))
    side = dataset.rows[0]['width']
    for zoom in (1, 2, 3.3):
        sample = dataset[tile(dataset, 0, 0, side, round(side / zoom))]
        assert sample['image'].unique().tolist() == [0, 99]
        assert (sample['valid'] == (sample['image'] == 99).all(0)).all()
        # A square on its tip covers half of its box; averages lose its edge.
        edge = zoom * 4 * 80 / side**2
        assert sample['valid'].float().mean() == pytest.approx(0.5, abs=edge)
    west, south, east, north = dataset.index.total_bounds
    sample = dataset[west:east, south:north]
    assert sample['image'].unique().tolist() == [0, 99]
    assert sample['valid'].float().mean() == pytest.approx(0.5, abs=0.05)


def test_near_infrared_marked_alpha_masks_nothing_in_coarse_reads(stack: Path) -> None:
    # GDAL leaves pixels out of an average where alpha is 0, as near infrared is over water.
    dataset = Rasters(stack / 'naip')
    path = Path(dataset.index['filepath'].iloc[0])
    assert (bare(path, 0, 0, 128)[3] == 0).mean() > 0.05
    sample = dataset[tile(dataset, 0, 0, 128, 64)]
    assert sample['valid'].all()
    np.testing.assert_allclose(sample['image'], blocks(bare(path, 0, 0, 128), 2), atol=0.51)
    fractional = dataset[tile(dataset, 3, 5, 160, 64)]['image'][:, ::2, ::2]
    halves = bare(path, 3, 5, 160).repeat(2, 1).repeat(2, 2)
    by_area = blocks(halves, 5)[:, ::2, ::2]
    np.testing.assert_allclose(fractional, by_area, atol=0.51)


@pytest.mark.parametrize('folder', ['degrees & <more>', 'degrees'])
def test_near_infrared_marked_alpha_masks_nothing_in_a_warp(tmp_path: Path, folder: str) -> None:
    pixels = np.full((4, 150, 200), 100, np.uint8)
    pixels[3, 20:60], pixels[3, 0, 0] = 0, 9
    path = write_raster(tmp_path / folder / 'x.tif', pixels, 'EPSG:4326', DEGREES, colours=RGBA)
    dataset = Rasters(path)
    samples = dataset[tile(dataset, 20, 20, 100, 100)], dataset[10.705:10.715, 59.988:59.998]
    for sample in samples:
        assert sample['valid'].all()
        assert sample['image'][0].unique().tolist() == [100]
        assert sample['image'][3].min() == 0
    assert {p.name for p in path.parent.iterdir()} == {'x.tif'}


def test_true_alpha_masks_in_a_warp(tmp_path: Path) -> None:
    pixels = np.full((4, 150, 200), 100, np.uint8)
    pixels[3] = 255
    pixels[:, :75] = 0
    path = write_raster(tmp_path / 'x.tif', pixels, 'EPSG:4326', DEGREES, colours=RGBA)
    dataset = Rasters(path)
    native = dataset[tile(dataset, 20, 53, 106, 106)]
    ordinary = dataset[10.705:10.715, 59.9875:59.9975]
    for sample in (native, ordinary):
        assert not sample['valid'][0, 5:40, 10:-10].any()
        assert sample['valid'][0, -20:, 10:-10].all()
        assert sample['image'][sample['valid'].expand(3, -1, -1)].min() > 90
