"""True metres and footprints, against pyproj."""

import math

import numpy as np
import pyproj
import pytest
from affine import Affine
from rasterio.transform import from_origin

from xscale import geo

GEOD = pyproj.Geod(ellps='WGS84')
MERCATOR = pyproj.Transformer.from_crs('EPSG:4326', 'EPSG:3857', always_xy=True)


def test_web_mercator_units_shrink_with_latitude() -> None:
    x, y = MERCATOR.transform(-122.27, 37.87)
    across, down = geo.pixel_metres('EPSG:3857', from_origin(x, y, 1.194, 1.194), 0, 0)
    assert across == pytest.approx(0.942, abs=0.002)
    assert down == pytest.approx(0.942, abs=0.005)


@pytest.mark.parametrize('lat', [0.0, 30.0, 60.0, -75.0])
def test_degrees_are_measured_on_the_ellipsoid(lat: float) -> None:
    across, down = geo.pixel_metres('EPSG:4326', from_origin(10, lat, 1e-4, 1e-4), 0, 0)
    # Radii of curvature: of the parallel, and of the meridian.
    e2, phi = GEOD.es, math.radians(lat)
    w = math.sqrt(1 - e2 * math.sin(phi) ** 2)
    step = math.radians(1e-4)
    assert across == pytest.approx(GEOD.a / w * math.cos(phi) * step, rel=1e-5)
    assert down == pytest.approx(GEOD.a * (1 - e2) / w**3 * step, rel=1e-5)


def test_measured_where_asked_not_at_the_corner() -> None:
    grid = from_origin(10, 60, 0.01, 0.01)
    top, bottom = (geo.pixel_metres('EPSG:4326', grid, 0, row)[0] for row in (0, 3000))
    assert bottom / top == pytest.approx(
        math.cos(math.radians(30)) / math.cos(math.radians(60)), rel=0.01
    )


@pytest.mark.parametrize('easting', [200_000, 500_000, 800_000])
def test_utm_metres_are_called_what_they_are(easting: float) -> None:
    grid = from_origin(easting, 5_300_000, 10, 10)
    assert geo.pixel_metres('EPSG:32633', grid, 50, 50) == (10.0, 10.0)


def test_rotated_pixels_keep_their_size() -> None:
    grid = Affine.translation(5e5, 5.3e6) @ Affine.rotation(30) @ Affine.scale(10, -20)
    assert geo.pixel_metres('EPSG:32633', grid, 0, 0) == pytest.approx((10, 20))


@pytest.mark.parametrize(
    ('lon', 'lat', 'code'),
    [
        (15, 48, 32633),
        (12, 48, 32633),
        (11.999, 48, 32632),
        (-57, -19, 32721),
        (-180, 0, 32601),
        (180, 10, 32601),
        (200, 10, 32604),
        (0, 85, 3413),
        (0, -81, 3031),
    ],
)
def test_utm_zone(lon: float, lat: float, code: int) -> None:
    assert geo.utm(lon, lat) == f'EPSG:{code}'


def test_outline_follows_curved_edges() -> None:
    # 400 km of UTM: its northern edge bulges in degrees, so the corners alone are not enough.
    grid = from_origin(300_000, 7_000_000, 1000, 1000)
    north = geo.outline('EPSG:32633', grid, 400, 400).bounds[3]
    to_degrees = pyproj.Transformer.from_crs('EPSG:32633', 'EPSG:4326', always_xy=True)
    assert north == pytest.approx(to_degrees.transform(500_000, 7_000_000)[1], abs=1e-9)
    assert north > to_degrees.transform(300_000, 7_000_000)[1] + 0.05


def test_outline_in_another_crs() -> None:
    grid = from_origin(10.7, 60.0, 1e-4, 1e-4)
    west, south, east, north = geo.outline('EPSG:4326', grid, 200, 150, 'EPSG:32632').bounds
    to_metres = pyproj.Transformer.from_crs('EPSG:4326', 'EPSG:32632', always_xy=True)
    x, y = to_metres.transform([10.7, 10.72, 10.7, 10.72], [60.0, 60.0, 59.985, 59.985])
    assert (west, south) == pytest.approx((min(x), min(y)), abs=0.01)
    assert (east, north) == pytest.approx((max(x), max(y)), abs=0.01)


def test_footprint_of_a_window() -> None:
    grid = from_origin(300_000, 2_000_000, 10, 10)
    box = geo.footprint('EPSG:32648', grid, (30, 20, 64, 64))
    to_degrees = pyproj.Transformer.from_crs('EPSG:32648', 'EPSG:4326', always_xy=True)
    x0, y1 = 300_300, 1_999_800
    lon, lat = to_degrees.transform([x0, x0 + 640] * 2, [y1, y1, y1 - 640, y1 - 640])
    assert box.dtype == np.float64
    np.testing.assert_allclose(box, [min(lon), min(lat), max(lon), max(lat)], atol=1e-9)


def test_overlap_is_the_share_covered() -> None:
    box = np.array([0.0, 0.0, 2.0, 2.0])
    others = np.array(
        [
            [1.0, 1.0, 3.0, 3.0],  # a quarter
            [-1.0, -1.0, 3.0, 3.0],  # all
            [0.5, 0.5, 1.5, 1.5],  # inside
            [2.0, 0.0, 4.0, 2.0],  # touches
            [5.0, 5.0, 6.0, 6.0],  # away in both, where two negatives make a positive
        ]
    )
    np.testing.assert_allclose(geo.overlap(box, others), [0.25, 1, 0.25, 0, 0])
    assert geo.overlap(box, np.empty((0, 4))).shape == (0,)


def test_footprint_across_the_antimeridian_stays_small() -> None:
    grid = from_origin(*geo.transformer(geo.LONLAT, 'EPSG:32660').transform(179.99, 10.0), 10, 10)
    box = geo.footprint('EPSG:32660', grid, (0, 0, 256, 256))
    assert box[0] == pytest.approx(179.99, abs=1e-3)
    assert 180 < box[2] < 180.03
    other = np.array([[-179.99, 9.98, -179.98, 9.99], [0, 9.98, 1, 9.99]])
    assert (geo.overlap(box, other) > 0).tolist() == [True, False]
