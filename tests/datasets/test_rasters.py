"""Reading: the right pixels, at the right place, with what is missing left out."""

import math
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyproj
import pytest
import rasterio
import torch
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.transform import from_origin
from rasterio.windows import Window
from torch.utils.data import DataLoader
from torchgeo.samplers import GriddedPatchSampler, RandomPatchSampler

from xscale import geo
from xscale.datasets import Rasters, TileSlice
from xscale.datasets.windows import Tile
from xscale.types import Sample

from ..data.stack.data import RGBA, SQUARE, write_raster

DEGREES = from_origin(10.7, 60.0, 1e-4, 1e-4)


def tile(
    dataset: Rasters, col: float, row: float, extent: float, size: int, number: int = 0
) -> TileSlice:
    """Name a tile; its gsd is the raster's times the zoom."""
    record = dataset.rows[number]
    window = (col, row, extent, extent)
    west, south, east, north = geo.footprint(
        record['grid'], Affine(*record['transform']), window
    ).tolist()
    day = dataset.index.index[number]
    slices = slice(west, east), slice(south, north), slice(day.left, day.right)
    return TileSlice(slices, Tile(number, col, row, extent, size), record['gsd'] * extent / size)


def bare(path: Path, col: int, row: int, size: int) -> NDArray[np.float32]:
    with rasterio.open(path) as source:
        return source.read(window=Window(col, row, size, size)).astype(np.float32)


def blocks(pixels: NDArray, factor: int) -> NDArray:
    """Average blocks of factor by factor pixels."""
    count, height, width = pixels.shape
    return pixels.reshape(count, height // factor, factor, width // factor, factor).mean((2, 4))


@pytest.fixture
def sentinel2(stack: Path) -> Rasters:
    return Rasters(stack / 'sentinel2')


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


def test_bands_in_the_order_asked(stack: Path) -> None:
    dataset = Rasters([stack / 'sentinel2', stack / 'landsat'], ['nir', 'red'])
    for number, bands in ((0, [3, 2]), (1, [3, 2])):
        path = Path(dataset.index['filepath'].iloc[number])
        sample = dataset[tile(dataset, 70, 5, 32, 32, number)]
        pixels = bare(path, 70, 5, 32)[bands]
        np.testing.assert_array_equal(sample['image'], np.where(sample['valid'], pixels, 0))
        assert sample['sensor'] == dataset.index['sensor'].iloc[number]
    assert dataset.sensors[0].bands != dataset.sensors[1].bands


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


def test_footprint_is_float64_and_right(sentinel2: Rasters) -> None:
    sample = sentinel2[tile(sentinel2, 30, 20, 128, 64)]
    assert sample['footprint'].dtype == torch.float64
    to_degrees = pyproj.Transformer.from_crs('EPSG:32648', 'EPSG:4326', always_xy=True)
    xs, ys = [300_300, 301_580] * 2, [1_999_800] * 2 + [1_998_520] * 2
    lon, lat = to_degrees.transform(xs, ys)
    expected = [min(lon), min(lat), max(lon), max(lat)]
    np.testing.assert_allclose(sample['footprint'], expected, rtol=0, atol=1e-9)


def test_slices_and_datasets_survive_pickling(sentinel2: Rasters) -> None:
    place = tile(sentinel2, 30, 20, 70.5, 64)
    again = pickle.loads(pickle.dumps(place))
    assert isinstance(again, TileSlice)
    assert (again, again.tile, again.gsd) == (place, place.tile, place.gsd)
    sample = sentinel2[place]
    copy = pickle.loads(pickle.dumps(sentinel2))
    torch.testing.assert_close(copy[again], sample, rtol=0, atol=0)


def test_workers_after_the_parent_has_read(stack: Path) -> None:
    dataset = Rasters([stack / 'sentinel2', stack / 'naip', stack / 'degrees'])
    places = [tile(dataset, 3 * i, 5, 64, 64, i % 3) for i in range(18)]
    expected = [dataset[place] for place in places]
    loader = DataLoader(dataset, batch_size=3, sampler=places, num_workers=2)
    batches = [batch for _ in range(2) for batch in loader]
    for number, batch in enumerate(batches):
        for offset in range(3):
            sample = {key: value[offset] for key, value in batch.items()}
            torch.testing.assert_close(sample, expected[(3 * number + offset) % 18], rtol=0, atol=0)


def ruin(path: Path, how: str) -> None:
    content = path.read_bytes()
    if how == 'deleted':
        path.unlink()
    elif how == 'truncated':
        os.truncate(path, len(content) // 3)
    elif how == 'replaced':
        path.unlink()
        path.write_bytes(content[: len(content) // 3])
    elif how == 'header only':
        path.write_bytes(content[:50])
    else:
        path.unlink()
        write_raster(path, np.ones((1, 512, 512), np.uint16))


@pytest.mark.parametrize('crs', ['EPSG:32633', 'EPSG:4326'], ids=['native', 'warped'])
@pytest.mark.parametrize('open_before', [False, True])
@pytest.mark.parametrize('how', ['deleted', 'truncated', 'replaced', 'header only', 'fewer bands'])
def test_a_file_that_breaks_leaves_its_tile_empty(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], how: str, open_before: bool, crs: str
) -> None:
    pixels = np.random.default_rng(0).integers(1, 60000, (3, 512, 512)).astype(np.uint16)
    blocks = {'tiled': True, 'blockxsize': 64, 'blockysize': 64}
    for name in ('a', 'b'):
        grid = DEGREES if crs == 'EPSG:4326' else None
        write_raster(tmp_path / f'{name}.tif', pixels, crs, grid, **blocks)
    dataset = Rasters(tmp_path)
    sample = dataset[tile(dataset, 150, 10, 64, 64)]
    assert (sample['row'], sample['unreadable']) == (0, False)
    if not open_before:
        dataset = pickle.loads(pickle.dumps(dataset))
    path = tmp_path / 'a.tif'
    ruin(path, how)
    # What another file took the place of is still there for those who hold it open.
    kept = open_before and how in ('deleted', 'replaced', 'fewer bands')
    far = tile(dataset, 150, 400, 64, 64)
    for _ in range(2):
        broken = dataset[far]
        assert broken.keys() == sample.keys()
        assert broken['unreadable'] == (not kept)
        assert broken['unreadable'].dtype == torch.bool
        if not kept:
            assert not broken['valid'].any()
            assert not broken['image'].any()
            assert broken['image'].shape == sample['image'].shape
            assert 0 not in dataset._handles
    said = capsys.readouterr().err
    assert said.count(f'xscale: cannot read {path} (') == said.count('\n') == (not kept)
    fine = dataset[tile(dataset, 150, 400, 64, 64, number=1)]
    assert (fine['row'], fine['unreadable']) == (1, False)
    assert fine['valid'].any()


def test_a_file_that_comes_back_is_read_again(tmp_path: Path) -> None:
    path = write_raster(tmp_path / 'a.tif', np.arange(1, 4097, dtype=np.uint16).reshape(64, 64))
    dataset = Rasters(path)
    place = tile(dataset, 0, 0, 64, 64)
    path.rename(tmp_path / 'elsewhere')
    assert dataset[place]['unreadable']
    (tmp_path / 'elsewhere').rename(path)
    assert not dataset[place]['unreadable']
    assert dataset[place]['image'].max() == 4096


def test_few_files_stay_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('xscale.datasets.rasters.OPEN_FILES', 2)
    for number in range(5):
        write_raster(tmp_path / f'{number}.tif', np.full((20, 20), number + 1, np.uint8))
    dataset = Rasters(tmp_path)
    for number in (0, 1, 2, 3, 4, 0, 4):
        assert (dataset[tile(dataset, 0, 0, 20, 20, number)]['image'] == number + 1).all()
        assert len(dataset._handles) <= 2


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


def test_layers_are_joined(tmp_path: Path) -> None:
    """Numbered bands of two layers are no group, and what was made of one layer is not kept."""
    noise = np.random.default_rng(0).integers(1, 99, (3, 40, 40), dtype=np.uint8)
    one, other = (tmp_path / name for name in ('one', 'other'))
    for number, folder in enumerate((one, other)):
        grid = from_origin(500_000 + 1000 * number, 5_300_000, 10, 10)
        write_raster(folder / 'x.tif', noise, grid=grid)
    layers = {folder.name: Rasters(folder, ['1', '2']) for folder in (one, other)}
    assert len(layers['one'].index) == len(layers['one'].groups) == 1
    joined = Rasters.join(layers)
    assert len(joined) == len(joined.index) == 2
    assert joined.groups == {'one-1-2': ('1', '2'), 'other-1-2': ('1', '2')}
    assert [sensor.name.split(':')[0] for sensor in joined.sensors] == ['one', 'other']
    assert joined.rows.sensor.tolist() == [0, 1]


def test_a_slice_of_torchgeo_over_rasters_of_other_bands(tmp_path: Path) -> None:
    for name, bands, value in (('a.tif', 3, 0), ('b.tif', 4, 7)):
        pixels = np.full((bands, 40, 40), value, np.uint8)
        pixels[:, :, :3] = 5
        write_raster(tmp_path / name, pixels, nodata=0)
    dataset = Rasters(tmp_path, mixed=True)
    x, y, _ = dataset.bounds
    width = x.stop - x.start
    sample = dataset[x.start + width / 2 : x.stop, y.start : y.stop]
    assert sample['image'].shape[0] == 4
    assert sample['image'].amax() == 7
