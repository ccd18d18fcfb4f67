"""Bands in files of their own are read as one file is."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from xscale.datasets import Rasters, TileSlice
from xscale.datasets.validity import most_nodata
from xscale.datasets.windows import Tile

from ...data.stack.data import write_raster
from ...holes import GRIDS, Mask, clouded, collar, scattered, striped
from .files import LETTERS, PIXELS, RGB, TIMES, rules, separate, tile


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
