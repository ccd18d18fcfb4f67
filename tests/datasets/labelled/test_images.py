"""Reading an image: what counts as data, what it is called, where it lies."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from rasterio.enums import ColorInterp
from rasterio.transform import from_origin

from xscale.datasets.labelled.images import look, read
from xscale.errors import UnusableError

from ...data.labelled.data import pixels
from ...data.stack.data import RGBA, write_raster


def save(path: Path, values: NDArray[Any], **options: Any) -> str:
    Image.fromarray(values).save(path, **options)
    return str(path)


def test_grey_counts_for_all_colours(tmp_path: Path) -> None:
    grey = pixels(0)[0]
    header, picture = read(save(tmp_path / 'a.PNG', grey), ())
    assert header.bands == ('red', 'green', 'blue')
    assert (picture.image == grey).all()
    assert picture.image.shape == (3, 12, 12)


def test_sixteen_bits_of_grey(tmp_path: Path) -> None:
    grey = pixels(0, top=60_000)[0]
    header, picture = read(save(tmp_path / 'a.png', grey), ())
    assert header.dtype == 'uint16'
    assert (picture.image == grey).all()
    assert look(str(tmp_path / 'a.png'), ()).dtype == 'uint16'


def test_sixteen_bits_of_colour_are_refused(tmp_path: Path) -> None:
    path = tmp_path / 'a.png'
    profile = {'driver': 'PNG', 'compress': None}
    write_raster(path, pixels(0, top=60_000), crs=None, grid=from_origin(0, 0, 2, 2), **profile)
    with pytest.raises(UnusableError, match='a PNG of 16 bits a colour'):
        look(str(path), ())


@pytest.mark.parametrize('transparent', [False, True])
def test_palettes(tmp_path: Path, transparent: bool) -> None:
    colours = [10, 20, 30, 40, 50, 60]
    image = Image.fromarray(np.array([[0, 1], [1, 0]], np.uint8), 'P')
    image.putpalette(colours)
    image.save(tmp_path / 'a.png', **({'transparency': 1} if transparent else {}))
    _, picture = read(str(tmp_path / 'a.png'), ())
    assert picture.image[:, 0, 0].tolist() == colours[:3]
    assert picture.image[:, 0, 1].tolist() == ([0, 0, 0] if transparent else colours[3:])
    assert picture.valid.tolist() == [[True, not transparent], [not transparent, True]]


def test_alpha_is_a_mask_only_of_two_values(tmp_path: Path) -> None:
    values = pixels(0, bands=4).transpose(1, 2, 0).copy()
    values[..., 3] = 255
    values[:2, :, 3] = 0
    _, picture = read(save(tmp_path / 'a.png', values), ())
    assert not picture.valid[:2].any()
    assert picture.valid[2:].all()
    assert (picture.image[:, :2] == 0).all()
    assert (picture.image[:, 2:] == values[2:, :, :3].transpose(2, 0, 1)).all()
    values[5, 5, 3] = 100
    _, picture = read(save(tmp_path / 'b.png', values), ())
    assert picture.valid.all()
    assert (picture.image == values[..., :3].transpose(2, 0, 1)).all()


def test_a_jpeg_called_png(tmp_path: Path) -> None:
    save(tmp_path / 'a.jpg', pixels(0).transpose(1, 2, 0))
    (tmp_path / 'a.jpg').rename(tmp_path / 'a.png')
    assert read(str(tmp_path / 'a.png'), ())[1].image.shape == (3, 12, 12)


def test_a_broken_png(tmp_path: Path) -> None:
    path = tmp_path / 'a.png'
    save(path, pixels(0, side=64).transpose(1, 2, 0))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UnusableError, match='the end of the PNG is missing'):
        look(str(path), ())


def test_colours_of_a_geotiff_are_its_names(tmp_path: Path) -> None:
    values = pixels(0, bands=4)
    values[3] = 255
    values[3, 0] = 0
    path = write_raster(tmp_path / 'a.tif', values, colours=RGBA)
    header, picture = read(str(path), ())
    assert header.bands == ('red', 'green', 'blue')
    assert picture.valid[1:].all()
    assert not picture.valid[0].any()
    bands = [*RGBA[:3], ColorInterp.undefined]
    plain = write_raster(tmp_path / 'b.tif', values, colours=bands)
    assert read(str(plain), ())[0].bands == ('red', 'green', 'blue', '4')
    assert read(str(plain), ('4', 'red'))[0].bands == ('4', 'red')


def test_nodata(tmp_path: Path) -> None:
    values = pixels(0, top=4000)
    values[:, 3, 4] = 65535
    path = write_raster(tmp_path / 'a.tif', values, nodata=65535)
    _, picture = read(str(path), ())
    assert picture.valid.sum() == 143
    assert not picture.valid[3, 4]
    assert (picture.image[:, 3, 4] == 0).all()
    floats = values.astype(np.float32)
    floats[0, 0, 0] = np.nan
    _, picture = read(str(write_raster(tmp_path / 'b.tif', floats)), ())
    assert not picture.valid[0, 0]
    assert (picture.image[:, 0, 0] == 0).all()


def test_true_metres(tmp_path: Path) -> None:
    degrees = from_origin(15, 60, 1e-4, 1e-4)
    path = write_raster(tmp_path / 'a.tif', pixels(0), crs='EPSG:4326', grid=degrees)
    # 1e-4° is 11.14 m from south to north there and 5.58 m from west to east.
    header, picture = read(str(path), ())
    assert picture.gsd == header.gsd == pytest.approx((11.141 * 5.580) ** 0.5, rel=1e-3)
    np.testing.assert_allclose(picture.footprint, [15, 59.9988, 15.0012, 60])
    # Half of Web Mercator's metres.
    web = from_origin(0, 8_399_738, 10, 10)
    path = write_raster(tmp_path / 'b.tif', pixels(0), crs='EPSG:3857', grid=web)
    assert look(str(path), ()).gsd == pytest.approx(5, rel=5e-3)


def test_a_geotiff_without_a_place(tmp_path: Path) -> None:
    path = write_raster(tmp_path / 'a.tif', pixels(0), crs=None)
    header, picture = read(str(path), ())
    assert np.isnan(header.gsd)
    assert np.isnan(picture.footprint).all()


def test_a_geotiff_cut_short(tmp_path: Path) -> None:
    path = write_raster(
        tmp_path / 'a.tif', pixels(0, side=256), tiled=True, blockxsize=64, blockysize=64
    )
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(Exception, match=r'cut short|last|read|ends'):
        look(str(path), ())
