"""Whether an image and its mask lie on one grid."""

import pytest
from affine import Affine
from pyproj import CRS
from rasterio.transform import from_origin

from xscale.datasets.masked.grids import PixelGrid, differences

UTM, OTHER, WEB = (CRS.from_epsg(code).to_wkt() for code in (32633, 32634, 3857))
HERE = from_origin(500_000, 5_300_000, 0.5, 0.5)
GRID = PixelGrid(40, 30, UTM, HERE)


def moved(pixels: float) -> Affine:
    return from_origin(500_000 + pixels * 0.5, 5_300_000, 0.5, 0.5)


@pytest.mark.parametrize(
    'mask',
    [
        GRID,
        GRID._replace(crs=CRS.from_epsg(32633).to_wkt('WKT1_GDAL')),
        GRID._replace(transform=moved(0.0009)),
        PixelGrid(40, 30),
        PixelGrid(40, 30, None, HERE),
    ],
)
def test_one_grid(mask: PixelGrid) -> None:
    """What a mask does not say is not compared."""
    assert differences(GRID, mask) == []


def test_size() -> None:
    assert differences(GRID, PixelGrid(40, 31)) == ['size, 40×30 px against 40×31 px of the mask']


def test_reference_system() -> None:
    (found,) = differences(GRID, GRID._replace(crs=OTHER))
    assert 'WGS 84 / UTM zone 33N against WGS 84 / UTM zone 34N' in found


@pytest.mark.parametrize(
    ('transform', 'off'),
    [
        (moved(0.0011), '0.0011'),
        (from_origin(500_000, 5_300_000, 0.5, 0.51), '0.6'),
        (moved(1), '1'),
    ],
)
def test_place(transform: Affine, off: str) -> None:
    (found,) = differences(GRID, GRID._replace(transform=transform))
    assert f'up to {off} pixels off' in found
