"""Ground kept for validation: by place, and no training tile touches it."""

from pathlib import Path

import numpy as np
import pytest
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.transform import from_origin
from rasterio.warp import transform

from xscale import geo
from xscale.datasets import Rasters
from xscale.errors import ConfigError
from xscale.samplers import Area, Both, CrossScaleSampler, Region, split_ground
from xscale.samplers.blocks import Blocks, blocks_of, boxes_of, numbers, touched

from ..data.stack.data import write_raster

SIZE = 32

#: Of a place: its CRS, GSD in metres (or degrees), sides in pixels, and dates.
PLACES = {
    (10.0, 60.0): [('EPSG:32632', 10, 400, 400, ('20200101', '20210101', '20220101'))],
    # Two zones see it, one of them from its edge, and a raster in degrees.
    (12.0, 50.0): [
        ('EPSG:32632', 10, 300, 350, ('20200101',)),
        ('EPSG:32633', 4, 500, 500, ('20200606',)),
        ('EPSG:4326', 1e-4, 300, 260, ('20200303',)),
    ],
    (179.99, -17.0): [('EPSG:32760', 10, 300, 300, ('20200101',))],
    (-122.0, 37.0): [('EPSG:3857', 6, 500, 400, ('20200101',))],
}


def write_places(folder: Path, places: dict = PLACES, dates: int = 3) -> Path:
    for (lon, lat), rasters in places.items():
        for crs, gsd, width, height, days in rasters:
            x, y = transform('EPSG:4326', crs, [lon], [lat])
            grid = from_origin(x[0], y[0], gsd, gsd)
            for day in days[:dates]:
                name = f'{lon}_{lat}_{crs[5:]}_{day}.tif'
                write_raster(folder / name, np.ones((height, width), np.uint8), crs, grid)
    return folder


@pytest.fixture(scope='module')
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Rasters:
    """Rasters of several sensors, CRSs and dates, some of them of one place."""
    return Rasters(write_places(tmp_path_factory.mktemp('places')))


def parts(
    dataset: Rasters, share: float = 0.2, seed: int = 0, region: Region | None = None, **options
) -> list[CrossScaleSampler]:
    """Return the samplers of training and validation."""
    options = {'size': SIZE, 'batch_size': 16, 'seed': seed} | options
    whole = CrossScaleSampler(dataset, region=region, **options)
    split = split_ground(dataset.rows, whole.weights, options['size'], share, seed, region)
    regions = split if region is None else [Both(region, part) for part in split]
    return [CrossScaleSampler(dataset, region=part, **options) for part in regions]


def outlines(sampler: CrossScaleSampler, batches: int) -> NDArray[np.object_]:
    """Draw tiles and return their outlines."""
    shapes = []
    for number in range(batches):
        for tile in (draw.tile for draw in sampler.batch(0, number)):
            crs, grid = sampler.dataset.rows.grid(tile.row)
            corner = grid @ Affine.translation(tile.col_off, tile.row_off)
            shapes.append(geo.outline(crs, corner, tile.extent, tile.extent))
    return shapely.transform(shapes, around)


def around(place: NDArray[np.float64]) -> NDArray[np.float64]:
    """Count longitudes from 0 to 360: nothing here lies at Greenwich."""
    return np.column_stack([place[:, 0] % 360, place[:, 1]])


@pytest.mark.parametrize('seed', range(5))
@pytest.mark.parametrize('gsd', [None, (4, 16)], ids=['native', 'coarser'])
def test_no_validation_tile_touches_a_training_one(
    mixed: Rasters, seed: int, gsd: tuple[float, float] | None
) -> None:
    train, held = (outlines(sampler, 20) for sampler in parts(mixed, seed=seed, gsd=gsd, tries=1))
    tree = shapely.STRtree(train)
    assert len(tree.query(held, predicate='intersects')[0]) == 0
    _, distance = tree.query_nearest(held, return_distance=True, all_matches=False)
    assert distance.min() > 0
    # They are neighbours all the same: nothing is wasted between them.
    assert distance.min() < 5 * SIZE * 16 / 111_320


def test_both_parts_see_most_places(mixed: Rasters) -> None:
    train, held = parts(mixed)
    assert (train.weights.weight > 0).sum() == len(mixed.rows)
    rows = {draw.tile.row for b in range(20) for draw in held.batch(0, b)}
    assert len(rows) >= 4


@pytest.mark.parametrize('share', [0.05, 0.2, 0.5])
def test_the_share_that_was_asked_for(mixed: Rasters, share: float) -> None:
    """Of the ground of all rasters, counted once whatever the dates."""
    found = []
    outline = shapely.transform(shapely.union_all(mixed.index.geometry), around)
    for seed in range(10):
        _, held = parts(mixed, share, seed)
        keys = np.array(sorted(held.region.kept))
        row, col = keys >> 32, keys & 0xFFFFFFFF
        kept = shapely.union_all(shapely.box(*boxes_of(row, col, held.region.side).T))
        ground = shapely.transform(kept, around)
        found.append(outline.intersection(ground).area / outline.area)
    assert np.mean(found) == pytest.approx(share, abs=0.05)
    assert np.std(found) < 0.08


def test_the_same_split_whatever_the_order_and_the_dates(tmp_path: Path, mixed: Rasters) -> None:
    kept = parts(mixed)[0].region
    fewer = Rasters(write_places(tmp_path / 'fewer', dates=1))
    assert parts(fewer)[0].region == kept
    turned = write_places(tmp_path / 'turned', dict(reversed(PLACES.items())))
    for number, path in enumerate(sorted(turned.iterdir(), reverse=True)):
        path.rename(turned / f'{number:02}_{path.name}')
    assert parts(Rasters(turned))[0].region == kept
    assert parts(mixed, seed=1)[0].region.kept != kept.kept


def test_with_a_region(mixed: Rasters) -> None:
    """Validation ground is looked for in the region alone."""
    west, south, east, north = mixed.index.geometry[mixed.index.bounds['maxy'] > 59].iloc[0].bounds
    region = Area(shapely.box(west, south, (west + east) / 2, north))
    for seed in range(5):
        train, held = (outlines(part, 10) for part in parts(mixed, 0.3, seed, region))
        assert len(shapely.STRtree(train).query(held, predicate='intersects')[0]) == 0
        for tiles in (train, held):
            middles = shapely.get_coordinates(shapely.centroid(tiles))
            assert (middles[:, 0] > west).all()
            assert (middles[:, 0] < (west + east) / 2 + 1e-6).all()


def test_what_cannot_be_parted(tmp_path: Path, mixed: Rasters) -> None:
    grid = from_origin(500_000, 5_300_000, 10, 10)
    path = write_raster(tmp_path / 'x.tif', np.ones((40, 40), np.uint8), grid=grid)
    with pytest.raises(
        ConfigError, match=r'1 block\(s\) of ground of 1\.28 km .* cannot be parted'
    ):
        parts(Rasters(path))
    with pytest.raises(ConfigError, match='which cannot be parted; choose a smaller size or gsd'):
        parts(mixed, size=256, region=Area(shapely.box(9, 59, 11, 61)), gsd=(10, 15))


@pytest.mark.parametrize('share', [-0.1, 0, 1, 1.5])
def test_shares_that_are_none(mixed: Rasters, share: float) -> None:
    with pytest.raises(ConfigError, match=f'val_share {share}: a share between 0 and 1'):
        parts(mixed, share)


def test_two_chips_are_parted(tmp_path: Path) -> None:
    """Rasters of a tile's size, far apart: whole ones go to either part."""
    for number in range(40):
        grid = from_origin(300_000 + 5000 * number, 5_300_000, 10, 10)
        write_raster(tmp_path / f'{number}.tif', np.ones((SIZE, SIZE), np.uint8), grid=grid)
    train, held = parts(Rasters(tmp_path), 0.25)
    drawn = [
        {draw.tile.row for b in range(30) for draw in part.batch(0, b)} for part in (train, held)
    ]
    assert not drawn[0] & drawn[1]
    assert len(drawn[0]) > 15
    assert 3 <= len(drawn[1]) <= 12
    # What lies on both sides of an edge is for neither.
    assert len(drawn[0] | drawn[1]) <= 40


def test_weights_follow_the_ground(mixed: Rasters) -> None:
    train, held = parts(mixed, 0.25)
    whole = CrossScaleSampler(mixed, size=SIZE, batch_size=16).weights.weight
    np.testing.assert_allclose(train.weights.weight + held.weights.weight, whole)
    assert held.weights.weight.sum() == pytest.approx(0.25 * whole.sum(), rel=0.5)


SIDE = 5000.0


@pytest.mark.parametrize('seed', range(4))
def test_blocks_of_one_box_and_of_many(seed: int) -> None:
    rng = np.random.default_rng(seed)
    west, south = rng.uniform(-180, 180, 200), rng.uniform(-89, 88, 200)
    sides = rng.uniform(0, 0.3, (2, 200))
    boxes = np.column_stack([west, south, west + sides[0], south + sides[1]])
    box, row, col = touched(boxes, SIDE)
    many = numbers(row, col, SIDE)
    cells = boxes_of(row, col, SIDE)
    for number in range(200):
        own = box == number
        assert sorted(many[own].tolist()) == sorted(blocks_of(boxes[number], SIDE))
        # Together they hold the box, and each of them touches it.
        ground = shapely.union_all(shapely.box(*cells[own].T)).buffer(1e-9)
        assert ground.covers(shapely.box(*boxes[number]))
        assert shapely.intersects(shapely.box(*boxes[number]), shapely.box(*cells[own].T)).all()


def test_blocks_are_square_and_about_of_their_side() -> None:
    for lat in (0.0, 30.0, -45.0, 60.0, 80.0):
        place = np.array([[20.0, lat, 20.0, lat]])
        _, row, col = touched(place, SIDE)
        west, south, east, north = boxes_of(row, col, SIDE)[0]
        middle = (west + east) / 2, (south + north) / 2
        wide = geo._GEOD.inv(west, middle[1], east, middle[1])[2]
        tall = geo._GEOD.inv(middle[0], south, middle[0], north)[2]
        assert wide == pytest.approx(SIDE, rel=0.01)
        assert tall == pytest.approx(SIDE, rel=0.01)


def test_a_block_is_one_on_both_sides_of_180_degrees() -> None:
    east, west = (
        np.array([179.99, 0.001, 180.01, 0.002]),
        np.array([-180.01, 0.001, -179.99, 0.002]),
    )
    assert blocks_of(east, SIDE) == blocks_of(west, SIDE)
    kept = frozenset(blocks_of(east, SIDE))
    for box in (east, west):
        assert Blocks(SIDE, kept, 'validation').holds(box)
        assert not Blocks(SIDE, kept, 'train').holds(box)
        np.testing.assert_array_equal(Blocks(SIDE, kept, 'validation').shares(box[None]), [1])
        np.testing.assert_array_equal(Blocks(SIDE, kept, 'train').shares(box[None]), [0])
