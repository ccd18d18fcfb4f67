"""What a catalogue holds: GeoParquet that says where each raster lies and what it is."""

from collections.abc import Iterator
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyarrow as pa
import pytest
from affine import Affine
from rasterio.transform import from_origin

from xscale import geo
from xscale.datasets import Rasters, catalogue, describe
from xscale.datasets.catalogue import SCHEMA, cache_file, read_catalogue
from xscale.datasets.index import scan

from ...data.stack.data import write_raster
from .folder import names


def test_geopandas_reads_it(stack: Path) -> None:
    index = scan(stack)
    frame = gpd.read_parquet(cache_file(stack))
    assert frame.crs.equals('EPSG:4326', ignore_axis_order=True)
    usable = frame[frame['reason'] == ''].set_index('filepath')
    assert set(index.files.table['filepath'].to_pylist()) <= set(usable.index)
    assert len(usable) >= 8
    table = read_catalogue(cache_file(stack)).select(['filepath', 'bbox']).to_pylist()
    boxes = {row['filepath']: tuple(row['bbox'].values()) for row in table if row['bbox']}
    assert boxes.keys() == set(usable.index)
    for path, row in usable.iterrows():
        record = describe.describe(str(path))
        grid = record['grid'], Affine(*record['transform']), record['width'], record['height']
        whole = geo.outline(*grid)
        assert boxes[path] == pytest.approx(whole.bounds, abs=1e-12)
        # Simplified by a thousandth of its side.
        assert row['geometry'].geom_type == 'Polygon'
        assert row['geometry'].symmetric_difference(whole).area < 0.005 * whole.area
    assert frame[frame['reason'] != '']['geometry'].isna().all()


def test_geopandas_reads_only_what_lies_in_a_box(stack: Path) -> None:
    """By the covering of the bounding boxes, which is part of GeoParquet 1.1."""
    scan(stack)
    frame = gpd.read_parquet(cache_file(stack), bbox=(10.6, 59.9, 10.8, 60.1))
    assert [Path(path).name for path in frame['filepath']] == ['oslo.tif']


def test_says_where_each_raster_lies_and_what_it_holds(stack: Path) -> None:
    table = catalogue.catalogue(stack)
    assert table.schema.equals(SCHEMA)
    assert names(table) == sorted(
        names(table), key=lambda name: table['filepath'].to_pylist()[names(table).index(name)]
    )
    row = table.filter(pa.compute.match_substring(table['filepath'], 'T48QUE')).to_pylist()[0]
    assert (row['width'], row['height'], row['gsd'], row['warp']) == (300, 300, 10, False)
    assert (row['crs'], row['dtype'], row['mask']) == ('EPSG:32648', 'uint16', 0)
    assert (row['names'], row['overviews']) == (['B02', 'B03', 'B04', 'B08'], [2, 4])
    assert (row['valid'], row['validity'], row['reason']) == (1, None, '')
    assert str(row['start']) == '2020-02-23 00:00:00'


@pytest.fixture(scope='module')
def antimeridian(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rasters]:
    """A raster of Fiji that lies on both sides of 180 degrees."""
    folder = tmp_path_factory.mktemp('fiji')
    grid = from_origin(815_000, 8_100_000, 30, 30)
    write_raster(folder / 'fiji.tif', np.ones((100, 300), np.uint8), 'EPSG:32760', grid)
    return Rasters(folder)


def test_boxes_across_the_antimeridian(antimeridian: Rasters) -> None:
    west, south, east, north = antimeridian.rows.bounds[0]
    assert 179.9 < west < 180 < east < 180.1
    assert -17.3 < south < north < -17
    assert antimeridian.index.geometry.iloc[0].area == pytest.approx(
        (east - west) * (north - south), rel=0.1
    )
