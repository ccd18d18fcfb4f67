"""The synthetic world: one ground, whatever the pixel size, sensor or reference system."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, Resampling
from rasterio.warp import reproject

from xscale.datasets.world import CLASSES, World, write_world

EXTENT = 2560.0
PATCH = (900.0, 900.0, 1540.0, 1540.0)

Written = dict[str, list[Path]]


@pytest.fixture(scope='module')
def world() -> World:
    return World(3, EXTENT)


@pytest.fixture(scope='module')
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    return write_world(tmp_path_factory.mktemp('world'), seed=3, extent=EXTENT)


def average(picture: NDArray, k: int) -> NDArray:
    """Average of k by k blocks: (C, H k, W k) to (C, H, W)."""
    c, h, w = picture.shape
    return picture.reshape(c, h // k, k, w // k, k).mean((2, 4))


def correlation(a: NDArray, b: NDArray) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def test_same_seed_same_world_whatever_the_global_seed(world: World) -> None:
    np.random.seed(99)  # noqa: NPY002
    again = World(3, EXTENT).render(PATCH, 4.0)
    for one, other in zip(world.render(PATCH, 4.0), again, strict=True):
        np.testing.assert_array_equal(one, other)


def test_same_seed_same_files(tmp_path: Path) -> None:
    first = write_world(tmp_path / 'a', seed=5, extent=1280)
    np.random.seed(7)  # noqa: NPY002
    second = write_world(tmp_path / 'b', seed=5, extent=1280)
    for kind in ('images', 'labels'):
        for a, b in zip(first[kind], second[kind], strict=True):
            with rasterio.open(a) as one, rasterio.open(b) as other:
                np.testing.assert_array_equal(one.read(), other.read())


def test_other_seed_other_world(world: World) -> None:
    ours, theirs = world.render(PATCH, 10.0)[0], World(4, EXTENT).render(PATCH, 10.0)[0]
    assert abs(correlation(ours[3], theirs[3])) < 0.3


def test_render_has_the_promised_shape_and_range(world: World) -> None:
    picture, labels = world.render((100, 200, 420, 360), 2.0)
    assert picture.shape == (4, 80, 160)
    assert labels.shape == (80, 160)
    assert picture.dtype == np.float32
    assert labels.dtype == np.uint8
    assert picture.min() > 0
    assert picture.max() <= 1
    assert labels.max() < len(CLASSES)


@pytest.mark.parametrize(('fine', 'coarse', 'least'), [(1.0, 10.0, 0.97), (2.0, 20.0, 0.97)])
def test_two_gsds_show_one_ground(world: World, fine: float, coarse: float, least: float) -> None:
    near = average(world.render(PATCH, fine)[0], round(coarse / fine))
    far = world.render(PATCH, coarse)[0]
    for band in range(4):
        assert correlation(near[band], far[band]) > least
    np.testing.assert_allclose(near.mean((1, 2)), far.mean((1, 2)), rtol=0.02)


def test_windows_meet_without_a_seam(world: World) -> None:
    whole = world.render((800, 800, 1200, 1000), 1.0)[0]
    right = world.render((1000, 800, 1200, 1000), 1.0)[0]
    assert np.isclose(whole[:, :, 200:], right, atol=1e-3).mean() > 0.995


def test_labels_agree_with_the_spectra(world: World) -> None:
    picture, labels = world.render((0, 0, EXTENT, EXTENT), 5.0)
    color = {name: picture[:, labels == i].mean(1) for i, name in enumerate(CLASSES)}
    assert np.bincount(labels.ravel(), minlength=len(CLASSES)).min() > 100
    blue, green, red, nir = range(4)
    ndvi = {name: (c[nir] - c[red]) / (c[nir] + c[red]) for name, c in color.items()}
    assert color['water'][nir] < 0.5 * color['forest'][nir]
    assert ndvi['forest'] > ndvi['field'] > 0.4 > ndvi['road'] > 0 > ndvi['water']
    assert color['forest'][green] < color['field'][green]
    assert color['forest'][green] > 0.01
    assert color['building'][red] > color['building'][blue]


@pytest.mark.parametrize(
    ('bounds', 'gsd', 'message'),
    [
        ((0, 0, 100, EXTENT + 1), 1.0, 'within 0 to 2560 m'),
        ((-1, 0, 100, 100), 1.0, 'within 0 to 2560 m'),
        ((100, 0, 100, 100), 1.0, 'west < east'),
        ((0, 0, 100, 100), 0.0, 'gsd is 0.0'),
        ((0, 0, 100, 100), float('nan'), 'gsd is nan'),
    ],
)
def test_render_refuses(
    world: World, bounds: tuple[float, float, float, float], gsd: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        world.render(bounds, gsd)


@pytest.mark.parametrize('extent', [0.0, 1279.0, float('nan')])
def test_extent_too_small(extent: float, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='at least 1280 m'):
        write_world(tmp_path, extent=extent)
    assert not list(tmp_path.iterdir())


def test_files_keep_their_promises(written: Written) -> None:
    satellite, *aerial = written['images']
    assert 'sentinel2' in satellite.parts
    assert '20240615' in satellite.name
    with rasterio.open(satellite) as src:
        assert (src.crs.to_epsg(), src.res, src.shape) == (32633, (10.0, 10.0), (256, 256))
        assert src.descriptions == ('B02', 'B03', 'B04', 'B08')
        assert set(src.dtypes) == {'uint16'}
        assert src.nodata == 0
        assert src.read().min() > 0
    systems = set()
    for path in aerial:
        with rasterio.open(path) as src:
            systems.add(src.crs.to_epsg())
            assert src.descriptions == ('R', 'G', 'B', 'N')
            assert src.colorinterp[0] == ColorInterp.red
            assert src.colorinterp[3] == ColorInterp.undefined
            assert set(src.dtypes) == {'uint8'}
            assert src.nodata is None
            assert 0.59 < float(src.tags()['GSD']) <= 1.0
    assert systems == {3857, 32632}


def test_every_file_is_tiled_with_overviews_and_has_labels(written: Written) -> None:
    for image, label in zip(written['images'], written['labels'], strict=True):
        with rasterio.open(image) as src, rasterio.open(label) as map_:
            assert (src.crs, src.transform, src.shape) == (map_.crs, map_.transform, map_.shape)
            assert src.overviews(1) == map_.overviews(1) == [2, 4, 8]
            assert src.block_shapes[0] == (256, 256)
            assert src.compression.name == 'deflate'
            assert map_.descriptions == ('label',)
            assert len(map_.colormap(1)) >= len(CLASSES)
            assert tuple(map_.tags()['CLASSES'].split(',')) == CLASSES
            assert map_.read().max() < len(CLASSES)


def test_aerial_tiles_have_no_empty_border(written: Written) -> None:
    for path in written['images'][1:]:
        with rasterio.open(path) as src:
            pixels = src.read().astype(float)
        edges = pixels[:, 0], pixels[:, -1], pixels[:, :, 0], pixels[:, :, -1]
        for edge in edges:  # an empty border is the haze alone, all along
            assert edge[1].mean() > 35
            assert edge.std() > 5


def shifts(path: Path, satellite: Path) -> dict[tuple[int, int], float]:
    """Correlation of an aerial tile with the 10 m image, by shift (right, down) in 10 m pixels."""
    with rasterio.open(path) as src, rasterio.open(satellite) as ref:
        tile = np.full((4, *ref.shape), np.nan, np.float32)
        source = src.read().astype(np.float32)
        reproject(
            source, tile, src_transform=src.transform, src_crs=src.crs, dst_nodata=np.nan,
            dst_transform=ref.transform, dst_crs=ref.crs, resampling=Resampling.average,
        )  # fmt: skip
        coarse = ref.read().astype(np.float32)[[2, 1, 0, 3]]
    inside = np.isfinite(tile[0])
    inside &= np.roll(inside, 2, 0) & np.roll(inside, -2, 0)
    inside &= np.roll(inside, 2, 1) & np.roll(inside, -2, 1)
    return {
        (right, down): np.mean([
            correlation(np.roll(tile[b], (down, right), (0, 1))[inside], coarse[b][inside])
            for b in range(4)
        ])
        for right in (-1, 0, 1)
        for down in (-1, 0, 1)
    }  # fmt: skip


def test_both_sensors_see_the_same_ground(written: Written) -> None:
    satellite, *aerial = written['images']
    for path in aerial:
        found = shifts(path, satellite)
        assert max(found, key=found.get) == (0, 0)
        assert found[0, 0] > 0.9
