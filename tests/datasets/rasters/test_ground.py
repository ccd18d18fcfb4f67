"""Tiles show the right ground, of turned rasters and of those in degrees too."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyproj
import pytest
import torch
from affine import Affine
from numpy.typing import NDArray

from xscale.datasets import Rasters
from xscale.types import Sample

from ...data.stack.data import SQUARE, write_raster
from .tiles import DEGREES, blocks, tile


def find_square(sample: Sample, grid: Affine) -> tuple[float, float, float]:
    """Return the centre of mass of the bright square in coordinates of the grid, and its area."""
    bright = sample['image'][0].double().numpy() - 150
    bright[bright < 500] = 0
    rows, cols = np.indices(bright.shape) + 0.5
    total = bright.sum()
    col, row = (bright * cols).sum() / total, (bright * rows).sum() / total
    x, y = grid @ (col, row)
    return x, y, total / (5000 - 150)


@pytest.mark.parametrize(
    ('turn', 'grid'),
    [
        (lambda pixels: pixels[:, ::-1], Affine(10, 0, 5e5, 0, 10, 5_299_600)),
        (lambda pixels: pixels[:, :, ::-1], Affine(-10, 0, 500_600, 0, -10, 53e5)),
        (lambda pixels: pixels[:, ::-1, ::-1], Affine(-10, 0, 500_600, 0, 10, 5_299_600)),
        (lambda pixels: pixels.transpose(0, 2, 1), Affine(0, 10, 5e5, -10, 0, 53e5)),
    ],
    ids=['south_up', 'east_left', 'both', 'transposed'],
)
def test_a_turned_raster_shows_the_same_ground(
    tmp_path: Path, turn: Callable[[NDArray], NDArray], grid: Affine
) -> None:
    pixels = np.random.default_rng(0).integers(1, 255, (2, 40, 60), dtype=np.uint8)
    dataset = Rasters(write_raster(tmp_path / 'x.tif', turn(pixels), grid=grid))
    assert dataset.rows[0]['warp']
    assert (dataset.rows[0]['width'], dataset.rows[0]['height']) == (60, 40)
    sample = dataset[tile(dataset, 0, 0, 60, 60)]
    np.testing.assert_array_equal(sample['image'][:, :40], pixels)
    assert sample['valid'][:, :40].all()
    assert not sample['valid'][:, 40:].any()
    assert sample['gsd'] == 10
    coarse = dataset[tile(dataset, 0, 0, 60, 30)]
    np.testing.assert_allclose(coarse['image'][:, :20], blocks(pixels, 2), atol=0.5)


@pytest.mark.parametrize('zoom', [1, 2])
def test_degrees_land_on_the_right_ground(stack: Path, zoom: int) -> None:
    dataset = Rasters(stack / 'degrees')
    row = dataset.rows[0]
    size = 120 // zoom
    sample = dataset[tile(dataset, 10, 30, 120, size)]
    origin = Affine(*row['transform']) @ (10, 30)
    gsd = float(sample['gsd'])
    x, y, area = find_square(sample, Affine(gsd, 0, origin[0], 0, -gsd, origin[1]))
    left, right, top, bottom = SQUARE
    lonlat = DEGREES @ ((left + right) / 2, (top + bottom) / 2)
    to_metres = pyproj.Transformer.from_crs('EPSG:4326', row['grid'], always_xy=True)
    truth = to_metres.transform(*lonlat)
    assert x == pytest.approx(truth[0], abs=0.25 * gsd)
    assert y == pytest.approx(truth[1], abs=0.25 * gsd)
    # 10 × 5.58 m by 8 × 11.14 m.
    assert area * gsd**2 == pytest.approx(10 * 5.58 * 8 * 11.14, rel=0.1)


def test_ordinary_slice_lands_on_the_right_ground(stack: Path) -> None:
    dataset = Rasters(stack / 'degrees')
    step = 7e-5
    sample = dataset[10.702 : 10.702 + 150 * step : step, 59.988 : 59.988 + 120 * step : step]
    assert sample['image'].shape == (4, 120, 150)
    grid = Affine(step, 0, 10.702, 0, -step, 59.988 + 120 * step)
    lon, lat, _ = find_square(sample, grid)
    left, right, top, bottom = SQUARE
    truth = DEGREES @ ((left + right) / 2, (top + bottom) / 2)
    assert (lon, lat) == pytest.approx(truth, abs=0.25 * step)


def test_footprint_is_float64_and_right(sentinel2: Rasters) -> None:
    sample = sentinel2[tile(sentinel2, 30, 20, 128, 64)]
    assert sample['footprint'].dtype == torch.float64
    to_degrees = pyproj.Transformer.from_crs('EPSG:32648', 'EPSG:4326', always_xy=True)
    xs, ys = [300_300, 301_580] * 2, [1_999_800] * 2 + [1_998_520] * 2
    lon, lat = to_degrees.transform(xs, ys)
    expected = [min(lon), min(lat), max(lon), max(lat)]
    np.testing.assert_allclose(sample['footprint'], expected, rtol=0, atol=1e-9)
