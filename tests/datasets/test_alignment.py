"""Points planted on the ground are found at the same place in both parts of a pair.

The worst error over all pairs of reference systems is printed: ``pytest -s`` shows it.
"""

import itertools
from pathlib import Path

import numpy as np
import pyproj
import pytest
import torch
from affine import Affine
from numpy.typing import NDArray

from xscale import geo
from xscale.datasets import Rasters, TileSlice
from xscale.datasets.coarse import square_grid
from xscale.samplers import PairSampler

from ..data.stack.data import write_raster

#: Greenwich lies on the border of two UTM zones, and in the British grid.
LON, LAT = 0.0, 51.48
SYSTEMS = ('EPSG:32630', 'EPSG:32631', 'EPSG:3857', 'EPSG:4326', 'EPSG:27700')

#: Metres per pixel of the finer and the coarser raster, and the side of both in metres.
FINE, COARSE, SIDE = 10.0, 30.0, 9000.0

#: Metres from one planted point to the next, and the width of the blob that marks it.
APART, WIDTH = 900.0, 70.0

LOCAL = f'+proj=aeqd +lat_0={LAT} +lon_0={LON} +datum=WGS84'


def plant(path: Path, crs: str, gsd: float) -> Path:
    """Write a raster of blobs around points on a grid of the ground, whatever its own grid."""
    to_grid = pyproj.Transformer.from_crs(LOCAL, crs, always_xy=True)
    x, y = to_grid.transform([0, -gsd, gsd, 0, 0], [0, 0, 0, -gsd, gsd])
    across = np.hypot(x[2] - x[1], y[2] - y[1]) / 2
    down = np.hypot(x[4] - x[3], y[4] - y[3]) / 2
    side = (across * down) ** 0.5 if crs == 'EPSG:4326' else across
    wide, tall = round(SIDE / gsd * across / side), round(SIDE / gsd * down / side)
    # Not on whole coordinates, so that no two grids meet by chance.
    grid = Affine(side, 0, x[0] - (wide / 2 + 0.3) * side, 0, -side, y[0] + (tall / 2 + 0.4) * side)
    cols, rows = np.meshgrid(np.arange(wide) + 0.5, np.arange(tall) + 0.5)
    back = pyproj.Transformer.from_crs(crs, LOCAL, always_xy=True)
    east, north = back.transform(*geo.apply(grid, cols, rows))
    away = [axis - APART * np.round(axis / APART) for axis in (east, north)]
    pixels = np.exp(-(away[0] ** 2 + away[1] ** 2) / (2 * WIDTH**2))
    return write_raster(path, (10_000 * pixels).astype(np.float32), crs, grid)


def errors(image: NDArray[np.float32], crs: str, grid: Affine) -> NDArray[np.float64]:
    """Return how far the blobs of an image lie from where they were planted, in metres."""
    gsd = float(np.mean(geo.pixel_metres(crs, grid, 0, 0)))
    to_local = pyproj.Transformer.from_crs(crs, LOCAL, always_xy=True)
    to_grid = pyproj.Transformer.from_crs(LOCAL, crs, always_xy=True)
    size = image.shape[-1]
    reach = round(4 * WIDTH / gsd)
    places = itertools.product(np.arange(-4, 5) * APART, repeat=2)
    found = []
    for east, north in places:
        col, row = geo.apply(~grid, *to_grid.transform(east, north))
        left, top = int(col) - reach, int(row) - reach
        if min(left, top) < 0 or max(left, top) + 2 * reach + 1 > size:
            continue
        part = image[top : top + 2 * reach + 1, left : left + 2 * reach + 1].astype(np.float64)
        at = np.arange(2 * reach + 1) + 0.5
        middle = (
            left + (part.sum(0) * at).sum() / part.sum(),
            top + (part.sum(1) * at).sum() / part.sum(),
        )
        x, y = to_local.transform(*geo.apply(grid, *middle))
        found.append(np.hypot(x - east, y - north))
    return np.array(found)


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One fine and one coarse raster of the same ground in every reference system."""
    folder = tmp_path_factory.mktemp('planted')
    for crs in SYSTEMS:
        plant(folder / f'fine_{crs[5:]}.tif', crs, FINE)
        plant(folder / f'coarse_{crs[5:]}.tif', crs, COARSE)
    return folder


def test_a_tile_that_reaches_beyond_its_partner_is_not_stretched(tmp_path: Path) -> None:
    """Rasters whose pixels hold their own place show by how much each is read elsewhere."""

    def write(name: str, gsd: float, side: int, left: float) -> Path:
        at = (np.arange(side) + 0.5) * gsd
        pixels = np.stack(np.meshgrid(left + at, 5_000 - at)).astype(np.float32)
        grid = Affine(gsd, 0, 500_000 + left, 0, -gsd, 5_300_000)
        return write_raster(tmp_path / name, pixels, grid=grid)

    fine = write('fine.tif', 10, 512, 0)
    for gsd, side in ((12, 180), (19, 120), (26, 130), (35, 70)):
        dataset = Rasters([fine, write('coarse.tif', gsd, side, 333)])
        options = {'size': 256, 'view': 64, 'batch_size': 8, 'share': 1, 'max_nodata': 0.6}
        for draw in PairSampler(dataset, **options).batch(0, 0):
            sample, coarse = dataset[draw], draw.coarse
            assert coarse is not None
            assert sample['paired']
            side_of = (torch.arange(coarse.size) + 0.5) * coarse.gsd
            x = sample['image'][0][sample['valid'][0]].min() - 5 + side_of
            image, valid = sample['image_coarse'], sample['valid_coarse'][0]
            # Half a pixel beyond the middle of the outermost ones their value is held.
            inner = -torch.nn.functional.max_pool2d(-valid[None].float(), 3, 1, 1)[0] > 0
            inner = inner[: coarse.size, : coarse.size]
            assert inner.sum() > 300
            error = (image[0, : coarse.size, : coarse.size] - x).abs()[inner]
            assert error.max() < 10 / 2


def worst(dataset: Rasters, draw: TileSlice) -> tuple[float, float]:
    """Return the largest error in the fine and in the coarse part of a pair, in metres."""
    assert draw.coarse is not None
    sample, grid = dataset[draw], dataset.rows.grid(draw.tile.row)
    assert sample['valid'].all()
    size = draw.coarse.size
    assert sample['valid_coarse'][0, :size, :size].all()
    fine = errors(sample['image'][0].numpy(), *square_grid(grid, draw.tile, draw.tile.size))
    image = sample['image_coarse'][0, :size, :size].numpy()
    coarse = errors(image, *square_grid(grid, draw.tile, size))
    assert len(fine) >= 4
    assert len(coarse) >= 4
    return float(fine.max()), float(coarse.max())


def test_views_of_a_pair_show_the_same_ground(folder: Path) -> None:
    table = []
    for fine, coarse in itertools.product(SYSTEMS, repeat=2):
        files = [folder / f'fine_{fine[5:]}.tif', folder / f'coarse_{coarse[5:]}.tif']
        dataset = Rasters(files)
        options = {'size': 384, 'view': 128, 'batch_size': 2, 'max_nodata': 0, 'share': 1}
        draws = PairSampler(dataset, **options, seed=1).batch(0, 0)
        pair = np.max([worst(dataset, draw) for draw in draws], 0)
        table.append((*pair, fine, coarse))
        assert draws[0].gsd == pytest.approx(FINE, rel=0.01)
        assert draws[0].coarse is not None
        assert (draws[0].tile.row, draws[0].coarse.row) == (1, 0)
        assert draws[0].coarse.gsd == pytest.approx(COARSE, rel=0.02)
    one, other, fine, coarse = max(table, key=lambda row: max(row[:2]))
    print(f'\nworst of {len(table)} pairs: {fine} {one:.3f} m, {coarse} {other:.3f} m')
    assert max(one, other) < FINE / 2
