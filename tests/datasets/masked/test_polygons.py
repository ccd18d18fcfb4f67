"""Polygons drawn onto images, beside masks drawn by hand."""

from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from rasterio.features import shapes
from rasterio.transform import from_origin
from shapely.geometry import LineString, shape

from xscale.datasets.masked import MaskedTiles, Tile, open_masked
from xscale.errors import ConfigError, MissingPathError

from ...data.masked.data import RGB, box, grid_of, pixels, write_polygons
from ...data.stack.data import write_raster

DATA = Path(__file__).parents[4] / 'shared' / 'data' / 'segmentation'

UTM = 'urn:ogc:def:crs:EPSG::32633'

#: Boxes in pixels of an image: column, row, width and height.
HOUSES = ((5, 3, 4, 6), (20, 10, 10, 2), (28, 11, 6, 6))


def write_image(folder: Path, number: int = 0, **options: Any) -> Path:
    options = {'grid': grid_of(number), 'names': RGB} | options
    return write_raster(folder / f'train/images/{number}.tif', pixels(number), **options)


def write_houses(path: Path, columns: Any = (), **options: Any) -> Path:
    shapes = [box(options.get('grid', grid_of(0)), *house) for house in HOUSES]
    return write_polygons(path, shapes, columns, options.get('crs', UTM))


def by_hand(numbers: tuple[int, ...] = (1, 1, 1)) -> np.ndarray:
    mask = np.zeros((30, 40), np.int64)
    for (col, row, width, height), number in zip(HOUSES, numbers, strict=True):
        mask[row : row + height, col : col + width] = number
    return mask


def drawn(folder: Path, labels: Path, **options: Any) -> np.ndarray:
    masked = open_masked(folder, labels=labels, **options)
    return MaskedTiles(masked, 'train', 40)[0]['mask'][:30].numpy()


@pytest.mark.parametrize('kind', ['geojson', 'gpkg'])
def test_as_drawn_by_hand(tmp_path: Path, kind: str) -> None:
    write_image(tmp_path)
    path = write_houses(tmp_path / 'roofs.geojson')
    if kind == 'gpkg':
        frame = gpd.read_file(path)
        path = tmp_path / 'roofs.gpkg'
        frame.to_file(path)
    masked = open_masked(tmp_path, labels=path)
    assert masked.classes.names == ('background', 'roofs')
    tiles = MaskedTiles(masked, 'train', 16)
    expected = torch.from_numpy(by_hand())
    for col, row in ((0, 0), (4, 3), (24, 14), (19, 5)):
        found = tiles[Tile(0, col, row)]['mask']
        assert torch.equal(found, expected[row : row + 16, col : col + 16])


def test_pixels_are_inside_by_their_centre(tmp_path: Path) -> None:
    write_image(tmp_path)
    shapes = [box(grid_of(0), 5.4, 3.6, 2, 2), box(grid_of(0), 10.1, 3.1, 0.3, 0.3)]
    found = drawn(tmp_path, write_polygons(tmp_path / 'a.geojson', shapes, crs=UTM))
    assert np.argwhere(found).tolist() == [[4, 5], [4, 6], [5, 5], [5, 6]]


def test_holes(tmp_path: Path) -> None:
    write_image(tmp_path)
    ring, hole = box(grid_of(0), 5, 5, 10, 10)[0], box(grid_of(0), 8, 8, 3, 3)[0]
    found = drawn(tmp_path, write_polygons(tmp_path / 'a.geojson', [[ring, hole]], crs=UTM))
    assert found.sum() == 100 - 9
    assert not found[8:11, 8:11].any()


def test_another_reference_system(tmp_path: Path) -> None:
    """Polygons in degrees on images of two zones are where they are."""
    write_image(tmp_path)
    path = write_houses(tmp_path / 'utm.geojson')
    degrees = gpd.read_file(path).to_crs(4326)
    degrees.to_file(tmp_path / 'degrees.gpkg')
    assert np.array_equal(drawn(tmp_path, tmp_path / 'degrees.gpkg'), by_hand())
    # The same image as seen from the next zone: a grid about the same place, turned a little.
    corner = degrees.to_crs(32634).total_bounds
    grid = from_origin(corner[0] - 2, corner[3] + 2, 0.5, 0.5)
    write_image(tmp_path, 1, crs='EPSG:32634', grid=grid)
    tiles = MaskedTiles(open_masked(tmp_path, labels=tmp_path / 'degrees.gpkg'), 'train', 40)
    area = float(tiles[1]['mask'].eq(1).sum()) * 0.25
    union = degrees.to_crs(32634).union_all().area
    assert area == pytest.approx(union, rel=0.1)
    assert np.array_equal(tiles[0]['mask'][:30], by_hand())


def test_a_turned_image(tmp_path: Path) -> None:
    """Its columns run south and its rows east, so its mask is the other one's transpose."""
    grid = grid_of(0)
    turned = Affine(0.0, 0.5, grid.c, -0.5, 0.0, grid.f)
    path = write_raster(tmp_path / 'train/images/0.tif', pixels(0, 30, 40), grid=turned, names=RGB)
    assert path.exists()
    masked = open_masked(tmp_path, labels=write_houses(tmp_path / 'a.geojson'))
    found = MaskedTiles(masked, 'train', 40)[0]['mask'][:, :30]
    assert np.array_equal(found.numpy(), by_hand().T)


def test_classes_by_a_column(tmp_path: Path) -> None:
    """Sorted, and later polygons over earlier ones; without a value nothing is labelled."""
    write_image(tmp_path)
    columns = [{'kind': 'shed'}, {'kind': 'house'}, {'kind': None}]
    path = write_houses(tmp_path / 'a.geojson', columns)
    masked = open_masked(tmp_path, labels=path, attribute='kind')
    assert masked.classes.names == ('background', 'house', 'shed')
    found = drawn(tmp_path, path, attribute='kind')
    assert np.array_equal(found, by_hand((2, 1, 255)))
    classes = ['land', 'shed', 'barn', 'house']
    found = drawn(tmp_path, path, attribute='kind', classes=classes)
    assert np.array_equal(found, by_hand((1, 3, 255)))


def test_classes_by_numbers(tmp_path: Path) -> None:
    """A gap makes floats of a column of whole numbers; they are meant as such."""
    write_image(tmp_path)
    path = write_houses(tmp_path / 'a.geojson', [{'kind': 30}, {'kind': 4}, {'kind': None}])
    assert open_masked(tmp_path, labels=path, attribute='kind').classes.names[1:] == ('4', '30')
    classes = {0: 'land', 30: 'shed', 4: 'house'}
    found = drawn(tmp_path, path, attribute='kind', classes=classes)
    assert np.array_equal(found, by_hand((1, 2, 255)))
    found = drawn(tmp_path, path, attribute='kind', ignore=4)
    assert np.array_equal(found, by_hand((1, 255, 255)))


@pytest.mark.filterwarnings("ignore:'crs' was not provided")
def test_errors(tmp_path: Path) -> None:
    write_image(tmp_path)
    kinds = [{'kind': 'shed'}, {'kind': 'house'}, {'kind': 'house'}]
    path = write_houses(tmp_path / 'a.geojson', kinds)
    line = gpd.GeoDataFrame(geometry=[LineString([(0, 0), (1, 1)])], crs=4326)
    line.to_file(tmp_path / 'line.geojson')
    nowhere = gpd.read_file(path).set_crs(None, allow_override=True)
    nowhere.to_file(tmp_path / 'nowhere.gpkg')
    (tmp_path / 'a.kml').write_text('<kml/>')
    (tmp_path / 'vrt.geojson').write_text('<OGRVRTDataSource/>')
    (tmp_path / 'half.geojson').write_text('{"type": "FeatureCollection", "feat')
    far = write_houses(tmp_path / 'far.geojson', grid=grid_of(7))
    for file, options, message in (
        (path, {'attribute': 'sort'}, r'a\.geojson has no column sort; it has kind'),
        (
            path,
            {'attribute': 'kind', 'classes': ['land', 'shed']},
            r'column kind holds house \(2 polygons\), which are no class',
        ),
        (path, {'classes': ['a', 'b', 'c']}, r'3 classes .*say which column .*\(attribute\)'),
        (tmp_path / 'line.geojson', {}, r'holds 1 LineString; polygons are needed'),
        (tmp_path / 'nowhere.gpkg', {}, r'does not say in which coordinate reference system'),
        (tmp_path / 'a.kml', {}, r'only \.geojson, \.json, \.gpkg are read'),
        (tmp_path / 'vrt.geojson', {}, r'does not begin as a \.geojson file does'),
        (tmp_path / 'half.geojson', {}, r'half\.geojson cannot be read'),
        (far, {}, r'no polygon of .*far\.geojson lies on any of 1 images, such as .*0\.tif'),
    ):
        with pytest.raises(ConfigError, match=message):
            open_masked(tmp_path, labels=file, **options)
    with pytest.raises(MissingPathError):
        open_masked(tmp_path, labels=tmp_path / 'nothing.gpkg')
    write_image(tmp_path, 1, crs=None)
    with pytest.raises(ConfigError, match=r'1\.tif has no coordinate reference .*can only be draw'):
        open_masked(tmp_path, labels=path)


def test_images_without_a_polygon_are_told(tmp_path: Path) -> None:
    write_image(tmp_path)
    write_image(tmp_path, 1)
    masked = open_masked(tmp_path, labels=write_houses(tmp_path / 'a.geojson'))
    assert '1 of 2 images meet no polygon: all of them is background' in masked.notes
    assert (MaskedTiles(masked, 'train', 40)[1]['mask'][:30] == 0).all()


@pytest.mark.skipif(not DATA.is_dir(), reason='the real images are not here')
@pytest.mark.parametrize('name', ['sn7_buildings_planet4.8m', 'sn2_vegas_0.3m'])
def test_real_masks_as_polygons(tmp_path: Path, name: str) -> None:
    """What is outlined from a mask and drawn again is that mask, tile by tile."""
    (path,) = (DATA / name / 'masks').glob('*.tif')
    with rasterio.open(path) as source:
        mask, crs, transform = source.read(1), source.crs, source.transform
    outlines = [shape(one) for one, value in shapes(mask, transform=transform) if value == 1]
    gpd.GeoDataFrame(geometry=outlines, crs=crs).to_file(tmp_path / 'buildings.gpkg')
    drawn = MaskedTiles(open_masked(DATA / name, labels=tmp_path / 'buildings.gpkg'), 'train', 256)
    given = MaskedTiles(open_masked(DATA / name, classes=['ground', 'building']), 'train', 256)
    assert len(drawn) == len(given) > 8
    for index in range(len(given)):
        assert torch.equal(drawn[index]['mask'], given[index]['mask'])
