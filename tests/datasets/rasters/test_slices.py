"""TorchGeo's slices and samplers."""

from pathlib import Path

import numpy as np
import pyproj
import pytest
import torch
from affine import Affine
from rasterio.transform import from_origin
from torchgeo.samplers import GriddedPatchSampler, RandomPatchSampler

from xscale.datasets import Rasters
from xscale.types import Sample

from ...data.stack.data import write_raster
from .tiles import tile


def test_ordinary_slice_agrees_with_the_native_tile(tmp_path: Path) -> None:
    # Each pixel of a ramp says where it is: 1 per metre east, 1 per metre north.
    grid = from_origin(300_000, 2_000_000, 10, 10)
    x = np.broadcast_to(np.arange(200) * 10 + 5, (200, 200)).astype(np.float32)
    path = write_raster(tmp_path / 'x.tif', np.stack([x, -x.T]), 'EPSG:32648', grid)
    dataset = Rasters(path)
    place = tile(dataset, 40, 60, 100, 100)
    native = dataset[place]
    ordinary = dataset[tuple(place)]
    assert ordinary['gsd'] == pytest.approx(float(native['gsd']), rel=0.02)
    assert ordinary['footprint'].tolist() == pytest.approx(native['footprint'].tolist())
    west, _, _, north = native['footprint'].tolist()
    step_x, step_y = dataset.res
    _, height, width = ordinary['image'].shape
    rows, cols = np.indices((height, width)) + 0.5
    to_metres = pyproj.Transformer.from_crs('EPSG:4326', 'EPSG:32648', always_xy=True)
    east, up = to_metres.transform(west + cols * step_x, north - rows * step_y)
    inside = np.s_[5:-5, 5:-5]
    for band, truth in zip(ordinary['image'].numpy(), (east - 3e5, up - 2e6), strict=True):
        # A quarter of a pixel: the warp may be off by an eighth.
        np.testing.assert_allclose(band[inside], truth[inside], atol=2.5)
    edge = native['image'][:, 0, 0].tolist()
    assert edge == [405, -605]


def test_ordinary_slice_is_of_one_sensor_that_is_there(tmp_path: Path) -> None:
    # The first raster touches the slice with its box only: it is rotated and empty there.
    turned = Affine.translation(5e5, 5.3e6) @ Affine.rotation(45) @ Affine.scale(10, -10)
    write_raster(tmp_path / 'a.tif', np.full((80, 80), 3, np.uint8), grid=turned)
    grid = from_origin(499_000, 5_302_000, 10, 10)
    write_raster(tmp_path / 'b.tif', np.full((400, 400), 9, np.int16), grid=grid)
    dataset = Rasters(tmp_path)
    to_degrees = pyproj.Transformer.from_crs('EPSG:32633', 'EPSG:4326', always_xy=True)
    left, bottom, right, top = dataset.index.geometry.iloc[0].bounds
    x, y = to_degrees.transform(*(turned @ (0, 0)))
    assert left <= x
    assert bottom <= y <= top
    span = (top - bottom) / 20
    sample = dataset[right - span : right, top - span : top]
    assert sample['valid'].all()
    assert sample['image'].unique().tolist() == [9]
    assert sample['sensor'] == dataset.index['sensor'].iloc[1]


def test_ordinary_slice_where_nothing_is(sentinel2: Rasters) -> None:
    with pytest.raises(IndexError, match='no raster at'):
        sentinel2[0:1, 0:1]


def test_transforms_are_applied_to_both_kinds_of_slice(stack: Path) -> None:
    def halve(sample: Sample) -> Sample:
        return {**sample, 'image': sample['image'] / 2}

    whole, half = Rasters(stack / 'mercator'), Rasters(stack / 'mercator', transforms=halve)
    place = tile(whole, 5, 5, 32, 32)
    for index in (place, tuple(place)):
        torch.testing.assert_close(half[index]['image'], whole[index]['image'] / 2)


@pytest.mark.parametrize('kind', ['random', 'gridded'])
def test_torchgeos_samplers(sentinel2: Rasters, kind: str) -> None:
    if kind == 'random':
        sampler = RandomPatchSampler(sentinel2, size=64, length=6, generator=0)
    else:
        sampler = GriddedPatchSampler(sentinel2, size=64, stride=128)
    samples = [sentinel2[index] for index in sampler]
    assert len(samples) >= 4
    for sample in samples:
        assert sample['image'].shape == (4, 64, 64)
        assert sample['valid'].shape == (1, 64, 64)
        assert sample['gsd'] == pytest.approx(10, rel=0.05)
        assert (sample['valid'] == (sample['image'] > 0).all(0)).all()
    if kind == 'random':
        assert all(sample['valid'].all() for sample in samples)
