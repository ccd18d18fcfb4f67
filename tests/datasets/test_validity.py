"""What the scan knows of missing data, against counting pixels."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from xscale.datasets import Rasters
from xscale.datasets.describe import describe
from xscale.datasets.validity import CELL, LEVELS, most_nodata, pack_validity, unpack_validity

from ..data.stack.data import RGBA, write_raster
from ..holes import SIGNS, Mask, clouded, collar, scattered, striped, write_holed


def missing(valid: Mask, col: int, row: int, extent: int) -> float:
    """Count what a window lacks; beyond the raster it lacks everything."""
    inside = valid[max(0, row) : max(0, row + extent), max(0, col) : max(0, col + extent)]
    return 1 - inside.sum() / extent**2


def windows(shape: tuple[int, int], count: int, seed: int) -> NDArray[np.integer]:
    """Draw windows (column, row, side) in, around and beside a raster."""
    rng = np.random.default_rng(seed)
    extent = rng.integers(1, 2 * max(shape), count)
    col, row = (rng.integers(-extent, side + 1) for side in shape[::-1])
    return np.column_stack([col, row, extent])


def masks(seed: int) -> list[Mask]:
    """Draw one mask of each kind, of any size."""
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 300, 2).tolist()
    single = np.ones((height, width), bool)
    single[rng.integers(height), rng.integers(width)] = False
    return [
        collar(height, width, 90 * rng.random(), rng.random()),
        scattered(height, width, rng.random(), seed),
        striped(height, width, rng.integers(2, 60), rng.integers(1, 30)),
        clouded(height, width, seed=seed),
        single,
        np.zeros((height, width), bool),
    ]


@pytest.mark.parametrize('seed', range(12))
def test_a_bound_for_every_window(seed: int) -> None:
    for valid in masks(seed):
        packed = pack_validity(valid)
        validity = None if packed is None else unpack_validity(packed)
        for col, row, extent in windows(valid.shape, 60, seed).tolist():
            bound = most_nodata(validity, valid.shape[::-1], col, row, extent)
            assert missing(valid, col, row, extent) <= bound + 1e-12
            assert bound <= 1 + 1e-12


def test_bounds_of_windows_between_pixels() -> None:
    """Tiles coarser than their raster have sides that are no whole number of pixels."""
    valid = clouded(150, 211)
    fine = valid.repeat(10, 0).repeat(10, 1)
    validity = unpack_validity(pack_validity(valid))
    for col, row, extent in windows(fine.shape, 200, 0).tolist():
        bound = most_nodata(validity, (211, 150), col / 10, row / 10, extent / 10)
        assert missing(fine, col, row, extent) <= bound + 1e-12


@pytest.mark.parametrize(
    ('valid', 'tile', 'excess'),
    [
        (collar(1024, 1024), 128, 0.002),
        (collar(700, 1000, 70), 64, 0.004),
        (striped(1024, 1024, 33, 7), 128, 0.05),
        (clouded(1024, 1024), 128, 0.004),
        (scattered(1024, 1024, 0.01), 128, 0.002),
        (scattered(1024, 1024, 0.3), 256, 0.05),
    ],
    ids=['collar', 'steep collar', 'stripes', 'clouds', 'few pixels', 'many pixels'],
)
def test_bounds_are_close(valid: Mask, tile: int, excess: float) -> None:
    validity = unpack_validity(pack_validity(valid))
    rng = np.random.default_rng(0)
    over = []
    for _ in range(300):
        col, row = (int(rng.integers(0, side - tile + 1)) for side in valid.shape[::-1])
        bound = most_nodata(validity, valid.shape[::-1], col, row, tile)
        over.append(bound - missing(valid, col, row, tile))
    assert 0 <= np.mean(over) < excess


def test_large_rasters_are_looked_at_thinned_out() -> None:
    """The cells grow with the raster, and with them what is lost where they are cut."""
    whole = collar(3072, 3072)
    validity = unpack_validity(pack_validity(whole[1::3, 1::3]))
    rng = np.random.default_rng(0)
    over = []
    for col, row in rng.integers(0, 3072 - 128 + 1, (300, 2)).tolist():
        bound = most_nodata(validity, (3072, 3072), col, row, 128)
        over.append(bound - missing(whole, col, row, 128))
    # One pixel of the copy stands for three of the raster, half of them on the wrong side of an
    # edge; a tile of 128 pixels has edges of at most twice its side.
    assert min(over) > -2 * 1.5 / 128
    assert np.mean(over) < 0.006


def test_nothing_is_packed_where_all_is_valid() -> None:
    assert pack_validity(np.ones((5, 7), bool)) is None
    assert most_nodata(None, (7, 5), 0, 0, 5) == 0
    assert most_nodata(None, (7, 5), 5, 0, 5) == pytest.approx(0.6)
    assert most_nodata(None, (7, 5), 70, 0, 5) == 1


def test_packed_grids_are_small() -> None:
    """A million of them are kept in memory."""
    assert len(pack_validity(collar(1024, 1024))) < 600
    assert len(pack_validity(collar(256, 256))) < 250


def test_shares_are_rounded_up() -> None:
    valid = np.ones((CELL, 65 * CELL), bool)
    for count in range(65):
        valid[:, count * CELL : (count + 1) * CELL].flat[:count] = False
    levels = LEVELS[unpack_validity(pack_validity(valid)).levels[0]]
    exact = np.arange(65) / CELL**2
    assert (levels >= exact).all()
    assert (levels <= 1.5 * exact).all()
    assert levels[0] == 0
    assert levels[-1] == 1


@pytest.mark.parametrize('make', [collar, scattered, striped, clouded])
@pytest.mark.parametrize('sign', SIGNS)
@pytest.mark.parametrize('overviews', [False, True], ids=['plain', 'overviews'])
def test_the_scan_finds_the_holes(
    tmp_path: Path, make: Callable[..., Mask], sign: str, overviews: bool
) -> None:
    """Looked at whole, whether the raster has overviews or not."""
    valid = make(330, 450)
    record = describe(str(write_holed(tmp_path / 'x.tif', valid, sign, overviews=overviews)))
    assert record['reason'] == ''
    assert record['valid'] == pytest.approx(valid.mean())
    assert record['validity'] == pack_validity(valid)
    assert record['mask'] == {'alpha': 4, 'fifth_band': 5}.get(sign, 0)


def test_near_infrared_marked_alpha_stays_data_beside_overviews(tmp_path: Path) -> None:
    """It is 0 over much water, and averaged overviews are no reason to take it for a mask."""
    pixels = np.random.default_rng(0).integers(1, 255, (4, 700, 700), dtype=np.uint8)
    pixels[3, :, :500] = 0
    path = write_raster(tmp_path / 'x.tif', pixels, colours=RGBA, overviews=(2, 4))
    assert describe(str(path))['mask'] == 0


@pytest.mark.parametrize('sign', SIGNS)
def test_a_raster_without_data_is_left_out(tmp_path: Path, sign: str) -> None:
    write_holed(tmp_path / 'good.tif', np.ones((40, 40), bool), sign)
    write_holed(tmp_path / 'void.tif', np.zeros((40, 40), bool), sign)
    dataset = Rasters(tmp_path, ['1', '2', '3'])
    assert [Path(r.path).name for r in dataset.rejected] == ['void.tif']
    assert dataset.rejected[0].reason == 'holds no valid pixel'
