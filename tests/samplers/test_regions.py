"""Tiles of a region of interest: whatever file says it, and however small it is."""

import warnings
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
from numpy.typing import NDArray
from rasterio.transform import from_origin
from shapely import LineString, MultiPolygon, Point, Polygon

from xscale import geo
from xscale.datasets import Rasters
from xscale.errors import ConfigError, MissingPathError, NoPlaceError
from xscale.samplers import Area, Both, CrossScaleSampler
from xscale.samplers.places import cover, draw_place

from ..data.stack.data import write_raster
from ..holes import GRIDS, write_holed
from .test_cross_scale import blank

#: Of χ² with so many degrees of freedom 99.9 % lie below.
CHI_SQUARE = {1: 10.8, 3: 16.3, 15: 37.7}

UTM = 'EPSG:32633'


@pytest.fixture(scope='module')
def wide(tmp_path_factory: pytest.TempPathFactory) -> Rasters:
    """One raster of 4 × 4 km at 2 m."""
    return Rasters(blank(tmp_path_factory.mktemp('wide') / 'x.tif', 2000, 2000, 2, 300_000))


def square(left: float, upper: float, side: float) -> Polygon:
    """A square in metres of the raster from its upper left corner."""
    x, y = 300_000 + left, 5_300_000 - upper
    return shapely.box(x, y - side, x + side, y)


def area(*shapes: shapely.Geometry, crs: str = UTM) -> Area:
    """A region of shapes in a CRS."""
    merged = gpd.GeoSeries(list(shapes), crs=crs).segmentize(500).to_crs(geo.LONLAT).union_all()
    return Area(merged)


def middles(sampler: CrossScaleSampler, batches: int = 1) -> NDArray[np.float64]:
    """Draw tiles and return their middles in metres from the raster's upper left corner."""
    draws = [draw.tile for b in range(batches) for draw in sampler.batch(0, b)]
    gsd = sampler.dataset.rows.gsd[0]
    corners = [(t.col_off + t.extent / 2, t.row_off + t.extent / 2) for t in draws]
    return np.array(corners) * gsd


def inside(sampler: CrossScaleSampler, region: Area, batches: int = 1) -> bool:
    """Tell whether all tiles have their middle in a region."""
    boxes = [
        [d[0].start, d[1].start, d[0].stop, d[1].stop]
        for b in range(batches)
        for d in sampler.batch(0, b)
    ]
    return all(region.holds(np.array(box)) for box in boxes)


@pytest.mark.parametrize('name', ['x.gpkg', 'x.geojson', 'x.shp', 'x.fgb'])
@pytest.mark.parametrize('crs', [UTM, 'EPSG:4326', 'EPSG:3035'])
def test_any_vector_file(wide: Rasters, tmp_path: Path, name: str, crs: str) -> None:
    """Several polygons, in the raster's CRS or another."""
    shapes = [square(500, 500, 600), square(2500, 2800, 400)]
    frame = gpd.GeoDataFrame(geometry=shapes, crs=UTM).to_crs(crs)
    frame.to_file(tmp_path / name)
    region = Area.read(tmp_path / name)
    sampler = CrossScaleSampler(wide, size=64, batch_size=64, region=region, tries=1)
    places = middles(sampler, 4)
    first = ((places > 499) & (places < 1101)).all(1)
    second = ((places > [2499, 2799]) & (places < [2901, 3201])).all(1)
    assert (first | second).all()
    # 36 and 16 shares of the ground.
    expected = 256 * np.array([36, 16]) / 52
    assert ((np.array([first.sum(), second.sum()]) - expected) ** 2 / expected).sum() < 10.8


def test_places_are_uniform_in_the_region(wide: Rasters) -> None:
    """In four rooms of one size, each of them counted by its quarters."""
    rooms = [square(x, y, 400) for x in (600, 2600) for y in (700, 2900)]
    region = area(*rooms)
    sampler = CrossScaleSampler(wide, size=32, batch_size=64, region=region, tries=1)
    places = middles(sampler, 25) - (600, 700)
    counts = np.zeros((4, 4))
    for x, y in places:
        room = int(x > 1500) * 2 + int(y > 1500)
        quarter = int(x % 2000 > 200) * 2 + int(y % 2200 > 200)
        counts[room, quarter] += 1
    assert ((counts - 100) ** 2 / 100).sum() < CHI_SQUARE[15]


@pytest.mark.parametrize('grid', GRIDS)
def test_grids_of_all_kinds(tmp_path: Path, grid: str) -> None:
    """Also where degrees and the raster's grid are turned against one another."""
    dataset = Rasters(write_holed(tmp_path / 'x.tif', np.ones((300, 400), bool), 'nodata', grid))
    outline = dataset.index.geometry.iloc[0]
    middle = outline.centroid
    region = Area(shapely.affinity.scale(outline, 0.1, 0.1, origin=middle))
    sampler = CrossScaleSampler(dataset, size=40, batch_size=64, region=region, tries=1)
    assert inside(sampler, region)
    spread = middles(sampler, 4).std(0) / dataset.rows.gsd[0]
    # Uniform over a tenth of the raster's sides.
    assert (spread > 5).all()


def tried(sampler: CrossScaleSampler, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the places that are looked at."""
    count = [0]
    real = sampler._footprint

    def counted(tile: object) -> object:
        count[0] += 1
        return real(tile)

    monkeypatch.setattr(sampler, '_footprint', counted)
    return count


@pytest.mark.parametrize(
    'shapes',
    [
        [square(1234, 2345, 20)],
        [square(100, 200, 30), square(3700, 3800, 30), square(200, 3000, 30)],
        [LineString([(300_100, 5_299_900), (303_900, 5_296_100)]).buffer(15)],
        [Point(302_000, 5_298_000).buffer(1500).boundary.buffer(10)],
        [Polygon([(300_100, 5_299_900), (303_000, 5_299_890), (300_110, 5_297_000)])],
    ],
    ids=['tiny', 'three tiny ones', 'river', 'ring', 'triangle'],
)
def test_small_and_thin_regions_are_found(
    wide: Rasters, monkeypatch: pytest.MonkeyPatch, shapes: list[Polygon]
) -> None:
    region = area(*shapes)
    sampler = CrossScaleSampler(wide, size=32, batch_size=64, region=region, tries=1)
    count = tried(sampler, monkeypatch)
    assert inside(sampler, region)
    assert count[0] < 4 * 64


def test_a_region_at_the_edge(wide: Rasters) -> None:
    """Middles of tiles lie half a tile away from it: only that strip can be drawn."""
    region = area(square(-100, -100, 200))
    sampler = CrossScaleSampler(wide, size=64, batch_size=64, region=region, tries=1)
    places = middles(sampler)
    assert (places >= 64).all()
    assert (places <= 101).all()
    assert len(np.unique(places, axis=0)) > 40


def test_rasters_of_a_tiles_size(tmp_path: Path) -> None:
    """Those that lie across the edge of the region count by their middle."""
    for number in range(10):
        blank(tmp_path / f'{number}.tif', 64, 64, 10, 300_000 + 640 * number)
    region = area(square(0, 0, 640 * 4 + 330))
    sampler = CrossScaleSampler(Rasters(tmp_path), size=64, batch_size=50, region=region)
    assert {draw.tile.row for b in range(4) for draw in sampler.batch(0, b)} == {0, 1, 2, 3, 4}
    assert sampler.weights.outside == 5


def test_rasters_weigh_by_their_part_in_the_region(tmp_path: Path) -> None:
    for number in range(3):
        blank(tmp_path / f'{number}.tif', 256, 256, 10, 300_000 + 2560 * number)
    region = area(square(1.5 * 2560 - 20_000, -5000, 20_000))
    sampler = CrossScaleSampler(Rasters(tmp_path), size=64, batch_size=1, region=region)
    np.testing.assert_allclose(sampler.weights.weight, [16, 8, 0], rtol=0.01)
    assert len(sampler) == pytest.approx(24, abs=1)


@pytest.mark.parametrize('turn', [0, -360, 360])
def test_across_the_antimeridian(tmp_path: Path, turn: float) -> None:
    grid = from_origin(815_000, 8_100_000, 30, 30)
    path = write_raster(tmp_path / 'x.tif', np.ones((200, 600), np.uint8), 'EPSG:32760', grid)
    dataset = Rasters(path)
    west, south, east, north = dataset.rows.bounds[0]
    assert west < 180 < east
    region = Area(shapely.box(180 + turn, south, 180.02 + turn, north))
    sampler = CrossScaleSampler(dataset, size=32, batch_size=64, region=region, tries=1)
    assert sampler.weights.weight[0] == pytest.approx(0.02 / (east - west) * 6.25 * 18.75, rel=0.05)
    for draw in sampler.batch(0, 0):
        middle = (draw[0].start + draw[0].stop) / 2
        assert 180 <= middle % 360 <= 180.02


def test_a_region_that_holds_all_changes_nothing(wide: Rasters) -> None:
    one, other = (
        CrossScaleSampler(wide, size=32, batch_size=32, gsd=(2, 8), region=region)
        for region in (None, area(square(-9000, -9000, 40_000)))
    )
    assert one.batch(1, 2) == other.batch(1, 2)
    assert len(one) == len(other)


def test_both_of_two_regions(wide: Rasters) -> None:
    region = Both(area(square(0, 0, 2000)), area(square(1000, 1000, 2000)))
    sampler = CrossScaleSampler(wide, size=32, batch_size=64, region=region, tries=1)
    places = middles(sampler)
    assert ((places > 999) & (places < 2001)).all()


def test_regions_that_do_not_meet_on_a_raster(wide: Rasters) -> None:
    region = Both(area(square(0, 0, 1000)), area(square(2000, 2000, 1000)))
    sampler = CrossScaleSampler(wide, size=32, batch_size=8, region=region)
    with pytest.raises(NoPlaceError, match='or a larger region'):
        sampler.batch(0, 0)


def test_no_raster_in_the_region(wide: Rasters) -> None:
    with pytest.raises(ConfigError, match='no raster reaches into the region') as caught:
        CrossScaleSampler(wide, size=32, batch_size=8, region=area(square(90_000, 0, 1000)))
    west, south, east, north = wide.rows.bounds[0]
    assert f'between {west:.4f} and {east:.4f} degrees east' in str(caught.value)
    assert f'{south:.4f} and {north:.4f} degrees north' in str(caught.value)


def written(path: Path, shapes: list[shapely.Geometry], crs: str | None = UTM) -> Path:
    with warnings.catch_warnings(action='ignore'):
        gpd.GeoDataFrame(geometry=shapes, crs=crs).to_file(path)
    return path


def test_files_that_are_no_region(tmp_path: Path) -> None:
    with pytest.raises(MissingPathError, match=r'nowhere\.gpkg does not exist'):
        Area.read(tmp_path / 'nowhere.gpkg')
    lines = written(tmp_path / 'lines.gpkg', [LineString([(0, 0), (1, 1)])])
    with pytest.raises(ConfigError, match='holds LineString; a region is made of polygons'):
        Area.read(lines)
    points = written(tmp_path / 'points.geojson', [Point(0, 0), Point(1, 1)])
    with pytest.raises(ConfigError, match='holds Point; a region is made of polygons'):
        Area.read(points)
    nowhere = written(tmp_path / 'nowhere.shp', [square(0, 0, 10)], None)
    with pytest.raises(ConfigError, match='has no coordinate reference system'):
        Area.read(nowhere)
    (tmp_path / 'text.gpkg').write_text('I am no region.')
    with pytest.raises(ConfigError, match='cannot be read as a vector file'):
        Area.read(tmp_path / 'text.gpkg')
    (tmp_path / 'table.csv').write_text('a,b\n1,2\n')
    with pytest.raises(ConfigError, match='holds no geometry'):
        Area.read(tmp_path / 'table.csv')
    empty = written(tmp_path / 'empty.gpkg', [Polygon()])
    with pytest.raises(ConfigError, match='a region is made of polygons'):
        Area.read(empty)


def test_polygons_among_others(wide: Rasters, tmp_path: Path) -> None:
    """A bow tie, which crosses itself, a point and a line beside it."""
    x, y = 301_000, 5_299_000
    tie = Polygon([(x, y), (x + 400, y - 400), (x + 400, y), (x, y - 400)])
    shapes = [tie, Point(x, y), LineString([(x, y), (x, y - 900)])]
    region = Area.read(written(tmp_path / 'x.gpkg', shapes))
    assert set(shapely.get_type_id(shapely.get_parts(region.geometry)).tolist()) == {3}
    sampler = CrossScaleSampler(wide, size=32, batch_size=64, region=region, tries=1)
    places = middles(sampler)
    assert ((places > 999) & (places < 1401)).all()
    # The tie has no ground above and below its knot.
    assert (np.abs(places[:, 0] - 1200) >= np.abs(places[:, 1] - 1200) - 4).all()


def test_metres_written_as_degrees(tmp_path: Path) -> None:
    path = written(tmp_path / 'x.gpkg', [square(0, 0, 100)], 'EPSG:4326')
    with pytest.raises(ConfigError, match='lies outside of what its WGS 84 covers'):
        Area.read(path)


@pytest.mark.parametrize('seed', range(8))
def test_boxes_cover_a_shape_and_little_else(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shapes = []
    for _ in range(rng.integers(1, 6)):
        turns = np.sort(rng.random(rng.integers(3, 40))) * 2 * np.pi
        rays = rng.uniform(0.1, 1, len(turns))
        star = np.column_stack([np.cos(turns), np.sin(turns)]) * rays[:, None]
        shapes.append(
            shapely.make_valid(Polygon(star * 10 ** rng.uniform(-2, 1) + rng.random(2) * 20))
        )
    shape = shapely.union_all(shapes)
    boxes = cover(shape)
    cells = shapely.box(*boxes.T)
    assert shapely.union_all(cells).buffer(1e-9).covers(shape)
    assert shapely.area(cells).sum() == pytest.approx(shapely.union_all(cells).area)
    assert shapely.area(cells).sum() <= 2 * shape.area
    assert len(boxes) <= 256


def test_nothing_to_cover() -> None:
    assert cover(Polygon()).shape == (0, 4)
    assert cover(LineString([(0, 0), (1, 1)])).shape == (0, 4)
    assert cover(MultiPolygon()).shape == (0, 4)


def test_places_are_drawn_by_area_within_limits() -> None:
    boxes = np.array([[0, 0, 1, 1], [2, 0, 5, 1], [8, 0, 9, 1]], float)
    rng = np.random.default_rng(0)
    places = np.array([draw_place(rng, boxes, (0, 0, 4, 2)) for _ in range(900)])
    first = (places[:, 0] < 1).sum()
    assert abs(first - 300) < 4 * 14.1
    assert ((places[:, 0] <= 1) | ((places[:, 0] >= 2) & (places[:, 0] <= 4))).all()
    assert draw_place(rng, boxes, (5.5, 0, 7, 2)) is None
    assert draw_place(rng, boxes[:0], (0, 0, 4, 2)) is None
