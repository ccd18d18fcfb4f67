"""Maps on disk: layout, colours, names, values, and nothing left behind."""

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from xscale.inference.layers import ClassLayer, Layer, ProbabilityLayer
from xscale.inference.plan import MapGrid
from xscale.inference.sinks import create_map, map_tags, scratch, tags_of, write_cog

CLASSES = ('water', 'forêt', 'building')
GRID = MapGrid(
    'EPSG:32633', from_origin(500_000.123456789, 5_300_000.987654321, 0.1, 0.1), 700, 600, 1, 0.1
)
TAGS = map_tags(CLASSES, 0.1, 'x.tif', 'abc', '1.2')


def write(target: Path, layer: Layer) -> np.ndarray:
    """Write a map of made-up probabilities, a corner of it without data; return them."""
    values = np.random.default_rng(0).random((3, 600, 700), np.float32) ** 3
    values /= values.sum(0)
    valid = np.ones((600, 700), bool)
    valid[:100, :80] = False
    with scratch(target) as folder:
        with create_map(folder / 'made.tif', GRID, layer, TAGS) as out:
            out.write(layer.encode(values, valid))
        write_cog(folder / 'made.tif', target, layer)
    return np.where(valid, values, np.nan)


@pytest.mark.parametrize(
    'layer',
    [ClassLayer(CLASSES), ProbabilityLayer(CLASSES, 'uint8'), ProbabilityLayer(CLASSES, 'float32')],
    ids=['classes', 'bytes', 'floats'],
)
def test_a_cloud_optimised_geotiff(tmp_path: Path, layer: Layer) -> None:
    values = write(tmp_path / 'maps/x.tif', layer)
    assert [path.name for path in (tmp_path / 'maps').iterdir()] == ['x.tif']
    with rasterio.open(tmp_path / 'maps/x.tif') as source:
        assert source.tags(ns='IMAGE_STRUCTURE')['LAYOUT'] == 'COG'
        assert source.overviews(1) == [2]
        # Exact in float64, as the grid is.
        assert source.transform == GRID.transform
        assert source.crs == rasterio.CRS.from_epsg(32633)
        assert source.descriptions == layer.names
        assert set(source.dtypes) == {layer.dtype}
        np.testing.assert_equal(source.nodata, layer.nodata)
        assert {key: source.tags()[key] for key in TAGS} == TAGS
        assert json.loads(source.tags()['XSCALE_CLASSES']) == list(CLASSES)
        masked = source.read(masked=True)
    np.testing.assert_array_equal(masked.mask.any(0), np.isnan(values[0]))
    assert tags_of(tmp_path / 'maps/x.tif')['XSCALE_MODEL'] == 'abc'


def test_classes_have_colours_and_overviews_of_classes(tmp_path: Path) -> None:
    values = write(tmp_path / 'x.tif', ClassLayer(CLASSES))
    with rasterio.open(tmp_path / 'x.tif') as source:
        found = source.read(1)
        colours = source.colormap(1)
    there = ~np.isnan(values[0])
    np.testing.assert_array_equal(found[there], values[:, there].argmax(0))
    assert len({colours[number] for number in range(3)}) == 3
    with rasterio.open(tmp_path / 'x.tif', overview_level=0) as source:
        coarse = source.read(1)
    # Nearest: never a class between two, and each pixel one of the four it stands for.
    four = [found[row::2, col::2] for row in (0, 1) for col in (0, 1)]
    assert np.any([coarse == one for one in four], axis=0).all()


def test_probabilities_in_bytes(tmp_path: Path) -> None:
    values = write(tmp_path / 'x.tif', ProbabilityLayer(CLASSES, 'uint8'))
    with rasterio.open(tmp_path / 'x.tif') as source:
        assert source.scales == pytest.approx((0.004,) * 3)
        found = source.read(masked=True) * np.array(source.scales)[:, None, None]
    np.testing.assert_allclose(found.filled(np.nan), values, atol=0.002 + 1e-6)


def test_probabilities_in_floats(tmp_path: Path) -> None:
    values = write(tmp_path / 'x.tif', ProbabilityLayer(CLASSES, 'float32'))
    with rasterio.open(tmp_path / 'x.tif') as source:
        np.testing.assert_array_equal(source.read(), values)


def test_what_is_no_map_has_no_tags(tmp_path: Path) -> None:
    (tmp_path / 'x.tif').write_text('no raster')
    assert tags_of(tmp_path / 'x.tif') == {}
