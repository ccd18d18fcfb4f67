"""Tiles on a raster's own grid: its own pixels, or averages of them, in their place."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from rasterio.enums import ColorInterp

from xscale.datasets import Rasters

from ...data.stack.data import RGBA, write_raster
from .tiles import bare, blocks, tile


@pytest.mark.parametrize('folder', ['sentinel2', 'landsat', 'naip', 'mercator', 'plain'])
def test_native_window_is_the_files_own(stack: Path, folder: str) -> None:
    dataset = Rasters(stack / folder)
    sample = dataset[tile(dataset, 17, 23, 64, 64)]
    pixels = bare(Path(dataset.index['filepath'].iloc[0]), 17, 23, 64)
    valid = sample['valid'].numpy()
    assert sample['image'].dtype == torch.float32
    assert sample['valid'].dtype == torch.bool
    np.testing.assert_array_equal(np.where(valid, pixels, 0), sample['image'].numpy())
    nodata = {'landsat': 0, 'plain': -9999}.get(folder)
    np.testing.assert_array_equal(valid[0], (pixels != nodata).all(0))


@pytest.mark.parametrize('factor', [2, 4])
def test_coarse_read_is_block_means(sentinel2: Rasters, factor: int) -> None:
    # On the overviews' own grid, whose values were rounded to integers once or twice.
    sample = sentinel2[tile(sentinel2, 16, 32, 64 * factor, 64)]
    path = Path(sentinel2.index['filepath'].iloc[0])
    expected = blocks(bare(path, 16, 32, 64 * factor), factor)
    np.testing.assert_allclose(sample['image'], expected, atol=1)
    assert sample['gsd'] == 10 * factor
    assert sample['valid'].all()


@pytest.mark.parametrize('colours', [(), RGBA], ids=['plain', 'alpha'])
@pytest.mark.parametrize('overviews', [(), (2, 4)], ids=['full', 'overviews'])
@pytest.mark.parametrize('size', [401, 400])
def test_coarse_read_is_not_shifted(
    tmp_path: Path, size: int, overviews: tuple[int, ...], colours: tuple[ColorInterp, ...]
) -> None:
    # Each pixel says where its centre is, in tenths.
    ramp = np.broadcast_to(np.arange(size) * 10 + 5, (size, size)).astype(np.uint16)
    pixels = np.stack([ramp, ramp.T, ramp, ramp])
    path = write_raster(tmp_path / 'x.tif', pixels, colours=colours, overviews=overviews)
    dataset = Rasters(path)
    assert dataset.rows[0]['bands'] == (1, 2, 3, 4)
    for extent in (70.3, 128, 211.2, 256):
        row = size - math.ceil(extent)
        image = dataset[tile(dataset, 13, row, extent, 64)]['image'].numpy() / 10
        centres = (np.arange(64) + 0.5) * extent / 64
        # A tenth of a source pixel on average; half a pixel is what a wrong origin would give.
        assert abs((image[0] - centres - 13).mean()) < 0.1
        assert abs((image[1].T - centres - row).mean()) < 0.1
        assert np.abs(image[0] - centres - 13).max() <= 1


@pytest.mark.parametrize('zoom', [2, 3.3, 4])
def test_checkerboard_averages_flat(tmp_path: Path, zoom: float) -> None:
    board = (np.indices((300, 300)).sum(0) % 2 * 200).astype(np.float32)
    dataset = Rasters(write_raster(tmp_path / 'x.tif', board))
    assert dataset[tile(dataset, 7, 9, 64, 64)]['image'].unique().tolist() == [0, 200]
    image = dataset[tile(dataset, 7, 9, 64 * zoom, 64)]['image']
    # An area of 3.3 by 3.3 pixels is unbalanced by at most the fractions at its edges.
    limit = {2: 0.0, 4: 0.0, 3.3: 100 / 3.3**2}[zoom]
    assert (image - 100).abs().max() <= limit + 1e-3
    assert image.mean() == pytest.approx(100, abs=0.5)


def test_tile_sticking_out_is_padded_where_nothing_is(stack: Path) -> None:
    dataset = Rasters(stack / 'plain')
    path = Path(dataset.index['filepath'].iloc[0])
    sample = dataset[tile(dataset, -20, -12, 160, 160)]
    valid = np.zeros((160, 160), bool)
    valid[12:112, 20:120] = True
    valid[82:112, 90:120] = False
    np.testing.assert_array_equal(sample['valid'][0], valid)
    image = sample['image'].numpy()
    np.testing.assert_array_equal(image[:, 12:82, 20:90], bare(path, 0, 0, 70))
    assert (image[:, ~valid] == 0).all()


def test_coarse_tile_sticking_out(stack: Path) -> None:
    dataset = Rasters(stack / 'plain')
    path = Path(dataset.index['filepath'].iloc[0])
    sample = dataset[tile(dataset, -20, -12, 160, 80)]
    assert not sample['valid'][0, :6].any()
    assert not sample['valid'][0, :, :10].any()
    assert not sample['valid'][0, 56:].any()
    assert not sample['valid'][0, :, 60:].any()
    expected = blocks(bare(path, 0, 0, 70), 2)
    np.testing.assert_allclose(sample['image'][:, 6:41, 10:45], expected, atol=0.51)
