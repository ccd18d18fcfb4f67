"""A tile that lacks more than ``max_nodata`` is never drawn: the tiles are read and counted."""

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from xscale.datasets import Rasters
from xscale.errors import NoPlaceError, NoRastersError
from xscale.samplers import CrossScaleSampler

from ..holes import GRIDS, SIGNS, Mask, clouded, collar, scattered, striped, write_holed

MAKERS = [collar, scattered, striped, clouded]

#: A warp takes overviews, and those of NaN that nobody declared have lost what was around it.
LOST = [(grid, 'nan', True) for grid in GRIDS if grid != 'utm']
COARSER = [case for case in itertools.product(GRIDS, SIGNS, [False, True]) if case not in LOST]


def draw(
    path: Path, size: int, max_nodata: float, gsd: tuple[float, float] | None = None
) -> np.ndarray:
    """Draw 40 tiles, read them, and return the share that each lacks."""
    dataset = Rasters(path, ['1', '2', '3'])
    sampler = CrossScaleSampler(
        dataset, size=size, batch_size=40, gsd=gsd, max_nodata=max_nodata, tries=1
    )
    tiles = sampler.batch(0, 0)
    if gsd:
        assert max(tile.tile.extent for tile in tiles) > 1.5 * size
    return np.array([1 - float(dataset[tile]['valid'].float().mean()) for tile in tiles])


@pytest.mark.parametrize('make', MAKERS)
@pytest.mark.parametrize('grid', GRIDS)
@pytest.mark.parametrize('sign', SIGNS)
def test_native_tiles(tmp_path: Path, make: Callable[..., Mask], grid: str, sign: str) -> None:
    path = write_holed(tmp_path / 'x.tif', make(300, 400), sign, grid)
    lacking = draw(path, 64, 0.5)
    assert lacking.max() <= 0.5
    # Holes are drawn, too, not shunned.
    assert lacking.mean() > 0.02


@pytest.mark.parametrize('make', MAKERS)
@pytest.mark.parametrize(('grid', 'sign', 'overviews'), COARSER)
def test_coarser_tiles(
    tmp_path: Path, make: Callable[..., Mask], grid: str, sign: str, overviews: bool
) -> None:
    path = write_holed(tmp_path / 'x.tif', make(300, 400), sign, grid, overviews)
    assert draw(path, 40, 0.5, (1, 60)).max() <= 0.5


@pytest.mark.parametrize('max_nodata', [0, 0.1, 0.9])
@pytest.mark.parametrize('sign', ['nodata', 'fifth_band'])
def test_any_share(tmp_path: Path, max_nodata: float, sign: str) -> None:
    path = write_holed(tmp_path / 'x.tif', clouded(400, 400, 6), sign)
    lacking = draw(path, 48, max_nodata)
    assert lacking.max() <= max_nodata
    assert (lacking.max() > 0) == (max_nodata > 0)


def test_larger_rasters_within_a_pixel_of_the_copy(tmp_path: Path) -> None:
    """Of more than 1024 pixels a side every so many-th is looked at.

    Along an edge of the data, what is found is off by up to one pixel of the copy, here 1.5 of
    the raster's; four edges of such a width make 5 % of a tile of 128 pixels.
    """
    path = write_holed(tmp_path / 'x.tif', collar(1300, 1500), 'alpha')
    lacking = draw(path, 128, 0.5)
    assert lacking.max() <= 0.5 + 4 * 1.5 / 128


@pytest.mark.parametrize('sign', SIGNS)
def test_a_tiny_raster(tmp_path: Path, sign: str) -> None:
    valid = np.ones((50, 60), bool)
    valid[:10] = False
    path = write_holed(tmp_path / 'x.tif', valid, sign)
    # 40 × 60 pixels of a tile of 64 × 64, which reaches beyond the raster.
    assert draw(path, 64, 0.5) == pytest.approx(1 - 40 * 60 / 64**2)


def test_places_are_uniform_among_those_with_data(tmp_path: Path) -> None:
    """The left half is empty: tiles begin anywhere from where half of them is."""
    valid = np.ones((64, 256), bool)
    valid[:, :128] = False
    dataset = Rasters(write_holed(tmp_path / 'x.tif', valid))
    sampler = CrossScaleSampler(dataset, size=64, batch_size=97, tries=1)
    columns = np.array([d.tile.col_off for b in range(40) for d in sampler.batch(0, b)])
    # 128 − 32 = 96 to 192: 97 columns of 40 draws each.
    counts = np.bincount(columns.astype(int) - 96, minlength=97)
    assert len(counts) == 97
    square = ((counts - 40) ** 2 / 40).sum()
    # Of χ² with 96 degrees of freedom 99.9 % lie below.
    assert square < 145


def test_too_little_data_is_left_out_with_its_reason(tmp_path: Path) -> None:
    valid = np.zeros((200, 200), bool)
    valid[:40, :40] = True
    write_holed(tmp_path / 'corner.tif', valid)
    write_holed(tmp_path / 'whole.tif', np.ones((200, 200), bool))
    sampler = CrossScaleSampler(Rasters(tmp_path), size=64, batch_size=20)
    (rejected,) = sampler.weights.rejected
    assert Path(rejected.path).name == 'corner.tif'
    assert rejected.reason == (
        '4.0% of its 200×200 px of 10 m hold data, less than 50% of a tile of 64×64 px of 10 m'
    )
    with pytest.raises(NoRastersError, match=r'4\.0% of its 200×200 px'):
        CrossScaleSampler(Rasters(tmp_path / 'corner.tif'), size=64, batch_size=20)


def test_data_that_is_nowhere_dense_enough(tmp_path: Path) -> None:
    dataset = Rasters(write_holed(tmp_path / 'x.tif', scattered(300, 300, 0.7)))
    sampler = CrossScaleSampler(dataset, size=64, batch_size=4)
    with pytest.raises(NoPlaceError, match='none of 3200 places has at most 50% of its pixels'):
        sampler.batch(0, 0)
