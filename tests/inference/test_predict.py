"""Maps against direct computation, pixel by pixel."""

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from numpy.typing import NDArray
from rasterio.windows import Window
from torch import Tensor

from xscale.datasets.index import scan
from xscale.errors import CheckpointError, UnusableError
from xscale.inference import ClassLayer, Layer, Mapper, ProbabilityLayer, Settings

from ..data.scenes.data import write_landsat
from ..data.stack.data import write_raster
from ..holes import GRIDS as HOLED
from ..holes import SIGNS, clouded, write_holed
from .standins import Placed, Pointwise

SIZE = 32

#: Grids of files from which no tiles are cut.
GRIDS = {**HOLED, 'south_up': ('EPSG:32633', Affine(10, 0, 5e5, 0, 10, 5.2e6))}


def bytes_of(height: int, width: int, count: int = 3, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(1, 255, (count, height, width), dtype=np.uint8)


def make(
    path: Path,
    model: Pointwise,
    kind: str = 'classes',
    overlap: int = 8,
    gsd: float | None = None,
    name: str = 'map.tif',
    batch_size: int = 7,
) -> Path:
    """Write the map of one raster."""
    layer: Layer = ClassLayer(model.classes)
    if kind != 'classes':
        layer = ProbabilityLayer(model.classes, kind)  # type: ignore[arg-type]
    settings = Settings(SIZE, overlap, batch_size, gsd)
    row = scan(path, model.bands).files[0]
    target = path.parent / 'out' / name
    mapper = Mapper(model, len(model.classes), layer, settings)
    windows = []
    mapper.write(row, target, {}, windows.append)
    assert sum(windows) == len(mapper.plan(row))
    return target


def read(path: Path) -> NDArray[Any]:
    with rasterio.open(path) as source:
        return source.read()


@pytest.mark.parametrize('overlap', [0, 8, 24])
@pytest.mark.parametrize(
    'shape', [(600, 40), (40, 600), (64, 64), (20, 17), (1, 300)], ids=lambda s: f'{s[0]}x{s[1]}'
)
def test_a_pointwise_model_comes_out_exactly(
    tmp_path: Path, shape: tuple[int, int], overlap: int
) -> None:
    pixels, model = bytes_of(*shape), Pointwise()
    path = write_raster(tmp_path / 'x.tif', pixels)
    expected = model.directly(pixels)
    assert len(np.unique(expected.argmax(0))) == 4 or shape[0] == 20
    values = read(make(path, model, 'float32', overlap))
    np.testing.assert_allclose(values, expected, atol=1e-6)
    classes = read(make(path, model, 'classes', overlap))[0]
    clear = np.diff(np.sort(expected, axis=0)[-2:], axis=0)[0] > 1e-5
    np.testing.assert_array_equal(classes[clear], expected.argmax(0)[clear])
    assert model.gsds == {10}


def test_swaths_do_not_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model whose answer depends on the window: the same map in one swath and in many."""
    path = write_raster(tmp_path / 'x.tif', bytes_of(300, 700))
    whole = read(make(path, Placed(), 'float32', name='whole.tif'))
    monkeypatch.setattr('xscale.inference.stitch.BUDGET', 1)
    parted = read(make(path, Placed(), 'float32', name='parted.tif', batch_size=3))
    np.testing.assert_allclose(parted, whole, atol=1e-6)


def test_no_seam_where_windows_meet(tmp_path: Path) -> None:
    """Neighbours disagree about the pixels they share, and one fades into the other."""
    path = write_raster(tmp_path / 'x.tif', np.full((3, 32, 300), 99, np.uint8))
    hard, soft = (
        np.abs(np.diff(read(make(path, Placed(), 'float32', overlap)), axis=2)).max()
        for overlap in (0, 16)
    )
    assert soft < hard / 3


def test_16_bits_with_nodata(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(1, 4000, (3, 90, 120), dtype=np.uint16)
    hole = ~clouded(90, 120)
    pixels[:, hole] = 0
    # No data in one band is no data.
    pixels[1, 5, 7] = 0
    hole[5, 7] = True
    model = Pointwise(('red', 'green', 'blue'), scale=4000)
    path = write_raster(tmp_path / 'x.tif', pixels, nodata=0, names=('B04', 'B03', 'B02'))
    target = make(path, model)
    found = read(target)[0]
    np.testing.assert_array_equal(found == 255, hole)
    np.testing.assert_array_equal(found[~hole], model.directly(pixels).argmax(0)[~hole])
    with rasterio.open(path) as source, rasterio.open(target) as made:
        assert (made.transform, made.crs, made.shape) == (
            source.transform,
            source.crs,
            source.shape,
        )
        assert made.nodata == 255
    assert model.empty == 0
    floats = read(make(path, model, 'float32'))
    np.testing.assert_array_equal(np.isnan(floats), np.broadcast_to(hole, floats.shape))


@pytest.mark.parametrize('sign', SIGNS)
@pytest.mark.parametrize('grid', HOLED)
def test_no_data_stays_no_data(tmp_path: Path, sign: str, grid: str) -> None:
    """However the file says so, and also where the map goes through a grid in metres."""
    valid = clouded(150, 211)
    path = write_holed(tmp_path / 'x.tif', valid, sign, grid)
    target = make(path, Pointwise())
    np.testing.assert_array_equal(read(target)[0] != 255, valid)
    with rasterio.open(path) as source, rasterio.open(target) as made:
        assert made.transform == source.transform
        assert made.crs == source.crs


@pytest.mark.parametrize('grid', ['degrees', 'rotated', 'south_up'])
@pytest.mark.parametrize('kind', ['classes', 'float32'])
def test_maps_lie_where_their_rasters_do(tmp_path: Path, grid: str, kind: str) -> None:
    """Squares of 20 pixels come back in their place through a grid in metres."""
    squares = bytes_of(8, 11).repeat(20, 1).repeat(20, 2)
    crs, transform = GRIDS[grid]
    path = write_raster(tmp_path / 'x.tif', squares, crs, transform)
    model = Pointwise()
    found, expected = read(make(path, model, kind)), model.directly(squares)
    expected = expected.argmax(0)[None] if kind == 'classes' else expected
    inside = np.zeros((20, 20), bool)
    inside[3:-3, 3:-3] = True
    inside = np.tile(inside, (8, 11))
    np.testing.assert_allclose(found[:, inside], expected[:, inside], atol=1e-3)
    # At the edges it is a matter of half a pixel.
    if kind == 'classes':
        assert (found == expected).mean() > 0.93
    # 1e-4 degrees at 60° north are 5.6 m by 11.1 m.
    assert list(model.gsds) == [pytest.approx(7.88 if grid == 'degrees' else 10, rel=1e-2)]


@pytest.mark.parametrize('overviews', [(), (2, 4)], ids=['full', 'overviews'])
def test_at_a_coarser_gsd(tmp_path: Path, overviews: tuple[int, ...]) -> None:
    squares = bytes_of(50, 60).repeat(4, 1).repeat(4, 2)
    path = write_raster(tmp_path / 'x.tif', squares, overviews=overviews)
    model = Pointwise()
    target = make(path, model, 'float32', gsd=40)
    expected = model.directly(bytes_of(50, 60))
    np.testing.assert_allclose(read(target), expected, atol=1e-5)
    assert model.gsds == {40}
    with rasterio.open(path) as source, rasterio.open(target) as made:
        assert made.transform == source.transform @ Affine.scale(4)
        assert made.crs == source.crs


def test_at_a_gsd_that_does_not_divide(tmp_path: Path) -> None:
    ramp = np.broadcast_to(np.arange(401) / 2, (3, 300, 401)).astype(np.float32)
    path = write_raster(tmp_path / 'x.tif', ramp)
    model = Pointwise()
    target = make(path, model, 'float32', gsd=33)
    with rasterio.open(target) as made:
        assert (made.width, made.height) == (121, 90)
        assert made.transform == Affine(33, 0, 500_000, 0, -33, 5_300_000)
        found = made.read()
    # Each pixel is asked about the mean of the ground it covers.
    middle = ((np.arange(121) + 0.5) * 3.3 - 0.5) / 2
    means = np.broadcast_to(middle, (3, 1, 121)).astype(np.float32)
    np.testing.assert_allclose(found, model.directly(means).repeat(90, 1), atol=5e-3)


def test_at_a_gsd_in_degrees(tmp_path: Path) -> None:
    squares = bytes_of(8, 11).repeat(20, 1).repeat(20, 2)
    crs, transform = GRIDS['degrees']
    path = write_raster(tmp_path / 'x.tif', squares, crs, transform)
    gsd = 2 * scan(path).files[0]['gsd']
    model = Pointwise()
    target = make(path, model, gsd=gsd)
    with rasterio.open(target) as made:
        assert made.transform == transform @ Affine.scale(2)
        found = made.read(1)
    inside = np.zeros((10, 10), bool)
    inside[3:-3, 3:-3] = True
    expected = model.directly(bytes_of(8, 11)).argmax(0).repeat(10, 0).repeat(10, 1)
    inside = np.tile(inside, (8, 11))
    np.testing.assert_array_equal(found[inside], expected[inside])
    # Nothing of the raster is without a class.
    assert (found < 255).all()


def test_windows_without_data_are_not_asked_about(tmp_path: Path) -> None:
    pixels = bytes_of(320, 320)
    pixels[:, 40:] = 0
    path = write_raster(tmp_path / 'x.tif', pixels, nodata=0)
    model = Pointwise()
    found = read(make(path, model, overlap=0))[0]
    assert model.asked == 20
    assert (found[40:] == 255).all()
    assert (found[:40] < 255).all()


class Failing(Pointwise):
    """Fails when it is asked the third time."""

    def __init__(self, fail: Callable[[], Tensor]) -> None:
        super().__init__()
        self.fail, self.count = fail, 0

    def logits(self, image: Tensor) -> Tensor:
        self.count += 1
        return super().logits(image) if self.count < 3 else self.fail()


def interrupt() -> Tensor:
    raise KeyboardInterrupt


def test_nothing_is_left_when_it_is_broken_off(tmp_path: Path) -> None:
    path = write_raster(tmp_path / 'x.tif', bytes_of(100, 100))
    with pytest.raises(KeyboardInterrupt):
        make(path, Failing(interrupt))
    assert list((tmp_path / 'out').iterdir()) == []
    old = make(path, Pointwise()).read_bytes()
    with pytest.raises(KeyboardInterrupt):
        make(path, Failing(interrupt))
    assert [file.name for file in (tmp_path / 'out').iterdir()] == ['map.tif']
    assert (tmp_path / 'out/map.tif').read_bytes() == old


def test_an_answer_that_is_no_number(tmp_path: Path) -> None:
    path = write_raster(tmp_path / 'x.tif', bytes_of(100, 100))
    nan = torch.full((1, 4, SIZE, SIZE), torch.nan)
    with pytest.raises(UnusableError, match='not finite'):
        make(path, Failing(lambda: nan))


@pytest.mark.parametrize(
    ('shape', 'words'), [((1, 4), 'one class for a whole image'), ((1, 4, 8, 8), r'\(1, 4, 8, 8\)')]
)
def test_models_that_draw_no_maps(shape: tuple[int, ...], words: str) -> None:
    model = Pointwise()
    model.logits = lambda image: torch.zeros(shape)  # type: ignore[method-assign]
    mapper = Mapper(model, 4, ClassLayer(model.classes), Settings(SIZE, 0))
    with pytest.raises(CheckpointError, match=words):
        mapper.check(3)


def test_a_raster_larger_than_memory_may_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """64 million pixels in an all but empty file, of which never more than a strip is held."""
    monkeypatch.setattr('xscale.inference.stitch.BUDGET', 2**24)
    path, side = tmp_path / 'x.tif', 8_000
    place = {'crs': 'EPSG:32633', 'transform': Affine(1, 0, 5e5, 0, -1, 5.3e6)}
    blocks = {'tiled': True, 'blockxsize': 512, 'blockysize': 512, 'sparse_ok': True}
    shape = {'width': side, 'height': side, 'count': 1, 'dtype': 'uint8', 'nodata': 0}
    pixels = bytes_of(300, 300, 1)
    with rasterio.open(path, 'w', driver='GTiff', **shape, **place, **blocks) as out:
        out.write(pixels, window=Window(7_000, 5_000, 300, 300))
    model = Pointwise(('1',))
    row = scan(path, model.bands).files[0]
    mapper = Mapper(model, 4, ClassLayer(model.classes), Settings(512, 0, batch_size=4))
    assert len(mapper.plan(row).swaths) > 5
    tracemalloc.start()
    mapper.write(row, tmp_path / 'map.tif', {})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # All probabilities would take 1 GB.
    assert peak < 3 * 2**24
    with rasterio.open(tmp_path / 'map.tif') as source:
        found = source.read(1, window=Window(6_990, 4_990, 320, 320))
        np.testing.assert_array_equal(found[10:310, 10:310], model.directly(pixels).argmax(0))
        assert (found == 255).sum() == 320**2 - 300**2
        assert (source.read(1, window=Window(0, 0, 2000, 2000)) == 255).all()


def test_bands_in_files_of_their_own(tmp_path: Path) -> None:
    start = write_landsat(tmp_path / 'in')
    model = Pointwise(('red', 'green', 'blue'), scale=40_000)
    target = make(tmp_path / 'in', model)
    bands = [read(Path(f'{start}_SR_B{number}.TIF'))[0] for number in (4, 3, 2)]
    hole = np.min(bands, axis=0) == 0
    expected = np.where(hole, 255, model.directly(np.stack(bands)).argmax(0))
    np.testing.assert_array_equal(read(target)[0], expected)
    assert model.gsds == {30}
