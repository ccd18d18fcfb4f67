"""Windows: they cover the map, overlap, and are the same whatever the swath."""

import numpy as np
import pytest
from affine import Affine

from xscale import geo
from xscale.errors import UnusableError
from xscale.inference.plan import BLOCK, Plan, map_grid, starts


def row(width: int = 400, height: int = 300, gsd: float = 0.3) -> dict:
    transform = (0.3, 0.0, 500_000.1, 0.0, -0.3, 5_300_000.7)
    return {
        'grid': 'EPSG:32633',
        'transform': transform,
        'width': width,
        'height': height,
        'gsd': gsd,
    }


@pytest.mark.parametrize('length', [1, 31, 32, 33, 63, 64, 65, 100, 1000, 4097])
@pytest.mark.parametrize('overlap', [0, 1, 8, 16, 31])
def test_windows_cover_an_axis(length: int, overlap: int) -> None:
    found = np.array(starts(length, 32, overlap))
    covered = np.zeros(max(length, 32), bool)
    for start in found:
        covered[start : start + 32] = True
    assert covered[:length].all()
    assert found[0] == 0
    assert found[-1] == max(0, length - 32)
    steps = np.diff(found)
    assert (steps > 0).all()
    assert (steps <= 32 - overlap).all()
    # No more of them than are needed.
    assert len(found) == max(1, int(np.ceil((length - 32) / (32 - overlap))) + 1)


def test_swaths_see_the_windows_of_the_whole() -> None:
    whole, parted = Plan(1000, 300, 64, 16, 1024), Plan(1000, 300, 64, 16, BLOCK)
    windows = set(whole.windows(0, 1000))
    assert len(whole) == len(windows)
    assert [right - left for left, right in parted.swaths] == [256, 256, 256, 232]
    each = [list(parted.windows(*swath)) for swath in parted.swaths]
    assert set().union(*each) == windows
    assert len(parted) == sum(map(len, each)) > len(windows)
    for found in each:
        # Row by row, as a strip needs them.
        assert found == sorted(found, key=lambda window: window[::-1])


def test_the_grid_is_the_rasters_own_by_default() -> None:
    grid = map_grid(row())
    assert tuple(grid.transform)[:6] == row()['transform']
    assert (grid.width, grid.height, grid.zoom, grid.gsd) == (400, 300, 1, 0.3)
    assert map_grid(row(), 0.3 * (1 + 1e-9)).transform == grid.transform


@pytest.mark.parametrize(
    ('gsd', 'size'), [(0.6, (200, 150)), (0.9, (133, 100)), (0.15, (800, 600)), (1.0, (120, 90))]
)
def test_another_gsd_keeps_the_corner(gsd: float, size: tuple[int, int]) -> None:
    grid = map_grid(row(), gsd)
    assert (grid.width, grid.height) == size
    assert grid.gsd == pytest.approx(gsd, rel=1e-15)
    assert (grid.transform.c, grid.transform.f) == (500_000.1, 5_300_000.7)
    assert (grid.transform.a, grid.transform.e) == (pytest.approx(gsd), pytest.approx(-gsd))
    assert (grid.transform.b, grid.transform.d) == (0, 0)
    tile = grid.tile(10, 20, 32)
    corner = geo.apply(Affine(*row()['transform']), tile.col_off, tile.row_off)
    assert corner == pytest.approx(geo.apply(grid.transform, 10, 20), abs=1e-9)
    assert (tile.extent, tile.size) == (pytest.approx(32 * gsd / 0.3), 32)


def test_a_raster_smaller_than_a_pixel() -> None:
    with pytest.raises(UnusableError, match='less than one pixel of 500 m'):
        map_grid(row(), 500)
