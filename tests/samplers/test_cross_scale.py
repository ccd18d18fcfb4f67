"""Draws are reproducible, honest in their statistics and keep apart where there is room."""

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from rasterio.transform import from_origin
from rasterio.windows import Window
from torchgeo.samplers import SpatialSampler

from xscale import geo
from xscale.datasets import Rasters, TileSlice
from xscale.errors import ConfigError, NoRastersError
from xscale.samplers import CrossScaleSampler

from ..data.stack.data import write_raster

Draw = tuple[object, ...]


def blank(path: Path, width: int, height: int, gsd: float, left: float = 300_000) -> Path:
    """Write a raster whose pixels do not matter."""
    grid = from_origin(left, 5_300_000, gsd, gsd)
    return write_raster(path, np.ones((height, width), np.uint8), grid=grid)


@pytest.fixture(scope='module')
def wide(tmp_path_factory: pytest.TempPathFactory) -> Rasters:
    """One raster of 2048 × 2048 m at 1 m."""
    return Rasters(blank(tmp_path_factory.mktemp('wide') / 'x.tif', 2048, 2048, 1))


@pytest.fixture(scope='module')
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Rasters:
    """Rasters of 512 m, 1024 m and 3840 m of side at 1, 2 and 30 m, far from one another."""
    folder = tmp_path_factory.mktemp('mixed')
    blank(folder / 'a.tif', 512, 512, 1, 200_000)
    blank(folder / 'b.tif', 512, 512, 2, 300_000)
    blank(folder / 'c.tif', 128, 128, 30, 400_000)
    return Rasters(folder)


def plain(draws: list[TileSlice]) -> list[Draw]:
    return [(tuple(draw), draw.tile, draw.gsd) for draw in draws]


def boxes(draws: list[TileSlice]) -> np.ndarray:
    return np.array([[d[0].start, d[1].start, d[0].stop, d[1].stop] for d in draws])


def worst_overlap(draws: list[TileSlice]) -> float:
    """Return the largest share of a tile that one before it covers."""
    places = boxes(draws)
    return max(geo.overlap(b, places[:i]).max(initial=0) for i, b in enumerate(places))


def test_is_a_spatial_sampler_with_a_length(wide: Rasters) -> None:
    sampler = CrossScaleSampler(wide, size=64, batch_size=10, length=25)
    assert isinstance(sampler, SpatialSampler)
    assert len(sampler) == len(list(sampler)) == 30
    assert sampler.bounds == pytest.approx(wide.index.total_bounds)
    # By default the tiles that cover the rasters once: 32 × 32 of them.
    assert len(CrossScaleSampler(wide, size=64, batch_size=10)) == 1030


def test_a_batch_is_the_same_whenever_asked(wide: Rasters) -> None:
    sampler = CrossScaleSampler(wide, size=64, batch_size=8, gsd=(1, 4), length=80, seed=5)
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    first = plain(sampler.batch(2, 7))
    np.random.seed(2)  # noqa: NPY002
    torch.manual_seed(2)
    list(sampler)
    assert plain(sampler.batch(2, 7)) == first
    again = CrossScaleSampler(wide, size=64, batch_size=8, gsd=(1, 4), length=8000, seed=5)
    assert plain(again.batch(2, 7)) == first


def test_a_batch_is_the_same_in_another_process(wide: Rasters) -> None:
    code = (
        'from xscale.datasets import Rasters; from xscale.samplers import CrossScaleSampler;'
        f'r = Rasters({wide.paths!r});'
        's = CrossScaleSampler(r, size=64, batch_size=4, gsd=(1, 4), seed=5);'
        'print([(*d.tile, d.gsd) for d in s.batch(3, 1)])'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    sampler = CrossScaleSampler(wide, size=64, batch_size=4, gsd=(1, 4), seed=5)
    assert done.stdout.strip() == str([(*d.tile, d.gsd) for d in sampler.batch(3, 1)])


def test_batches_differ_by_seed_epoch_and_number(wide: Rasters) -> None:
    one, other = (
        CrossScaleSampler(wide, size=64, batch_size=8, gsd=(1, 4), seed=seed) for seed in (0, 1)
    )
    drawn = [plain(one.batch(e, b)) for e in range(3) for b in range(3)] + [
        plain(other.batch(0, 0))
    ]
    tiles = {tile for batch in drawn for _, tile, _ in batch}
    assert len(tiles) == 80


def test_an_epoch_is_its_batches_in_order(wide: Rasters) -> None:
    sampler = CrossScaleSampler(wide, size=64, batch_size=8, length=32)
    for epoch in (0, 3):
        sampler.set_epoch(epoch)
        expected = [draw for b in range(4) for draw in plain(sampler.batch(epoch, b))]
        assert plain(list(sampler)) == expected


def test_ranks_share_the_global_batch(wide: Rasters) -> None:
    arguments = {'size': 64, 'batch_size': 12, 'gsd': (1, 4), 'length': 36}
    whole = CrossScaleSampler(wide, **arguments)
    ranks = [CrossScaleSampler(wide, rank=r, world_size=3, **arguments) for r in range(3)]
    for sampler in (whole, *ranks):
        sampler.set_epoch(4)
    parts = [plain(list(sampler)) for sampler in ranks]
    assert [len(part) for part in parts] == [len(sampler) for sampler in ranks] == [12] * 3
    joined = [d for b in range(3) for part in parts for d in part[4 * b : 4 * b + 4]]
    assert joined == plain(list(whole))


def test_resumes_in_the_middle_of_an_epoch(wide: Rasters) -> None:
    sampler = CrossScaleSampler(wide, size=64, batch_size=8, length=40, world_size=2, rank=1)
    sampler.set_epoch(6)
    whole = plain(list(sampler))
    sampler.resume_at(6, 3)
    for _ in range(2):
        assert plain(list(sampler)) == whole[3 * 4 :]
        # As Lightning does before the epoch it goes on with.
        sampler.set_epoch(6)
    sampler.set_epoch(7)
    assert len(list(sampler)) == 20
    sampler.set_epoch(6)
    assert plain(list(sampler)) == whole


def test_a_fingerprint_is_of_the_rasters_alone(tmp_path: Path) -> None:
    """Of their names below what they share, their order, sizes and GSDs."""

    def fingerprint(folder: str, names: str, width: int = 300, gsd: float = 1, **how: int) -> str:
        for number, name in enumerate(names):
            blank(tmp_path / folder / f'{name}.tif', width, 300, gsd, 1e5 * (number + 2))
        rasters = Rasters(tmp_path / folder)
        return CrossScaleSampler(rasters, size=64, batch_size=4, **how).fingerprint

    first = fingerprint('a', 'xy')
    assert first == fingerprint('b', 'xy', seed=1, length=8)
    others = [('c', 'xz'), ('d', 'xyz'), ('e', 'xy', 301), ('f', 'xy', 300, 2)]
    assert len({first, *(fingerprint(*other) for other in others)}) == 5


def test_gsd_is_uniform_in_logarithm_whatever_the_overlap(wide: Rasters) -> None:
    # 48 tiles of up to 1024 m crowd 2048 m: trying again must not favour the small ones.
    sampler = CrossScaleSampler(wide, size=64, batch_size=48, gsd=(1, 16))
    gsds = np.array([d.gsd for b in range(20) for d in sampler.batch(0, b)])
    share = np.sort(np.log(gsds) / math.log(16))
    assert 0 <= share[0] <= share[-1] <= 1
    # Kolmogorov–Smirnov: a right sampler stays below this distance for 99.9 % of seeds.
    distance = np.abs(share - (np.arange(share.size) + 0.5) / share.size).max()
    assert distance < 1.95 / math.sqrt(share.size)


def test_gsd_is_never_finer_than_native_nor_outside_the_range(mixed: Rasters) -> None:
    sampler = CrossScaleSampler(mixed, size=32, batch_size=32, gsd=(1.5, 40), length=32)
    native = mixed.index['gsd'].to_numpy()
    rows = set()
    for batch in range(20):
        for draw in sampler.batch(0, batch):
            rows.add(draw.tile.row)
            assert max(native[draw.tile.row], 1.5) <= draw.gsd * (1 + 1e-9)
            assert draw.gsd <= 40 * (1 + 1e-9)
            assert draw.gsd == pytest.approx(
                native[draw.tile.row] * draw.tile.extent / draw.tile.size
            )
    assert rows == {0, 1, 2}


def test_own_gsd_by_default(mixed: Rasters) -> None:
    sampler = CrossScaleSampler(mixed, size=32, batch_size=64)
    for draw in sampler.batch(0, 0):
        assert draw.tile.extent == 32
        assert draw.gsd == mixed.index['gsd'].iloc[draw.tile.row]


def test_tiles_lie_on_whole_pixels_inside_their_raster(mixed: Rasters) -> None:
    sampler = CrossScaleSampler(mixed, size=32, batch_size=64, gsd=(1, 40))
    sides = mixed.index['width'].to_numpy()
    for draw in sampler.batch(1, 1):
        tile = draw.tile
        assert (tile.col_off, tile.row_off) == (int(tile.col_off), int(tile.row_off))
        assert min(tile.col_off, tile.row_off) >= 0
        assert max(tile.col_off, tile.row_off) + tile.extent <= sides[tile.row] + 1e-6


def test_places_are_uniform_up_to_the_edges(tmp_path: Path) -> None:
    dataset = Rasters(blank(tmp_path / 'x.tif', 68, 64, 1))
    sampler = CrossScaleSampler(dataset, size=64, batch_size=100, tries=1)
    columns = [int(d.tile.col_off) for b in range(10) for d in sampler.batch(0, b)]
    counts = np.bincount(columns, minlength=5)
    assert len(counts) == 5
    # 200 each, and a standard deviation of 12.6.
    assert np.abs(counts - 200).max() < 4 * 12.6


def test_rasters_are_drawn_by_area_in_tiles(mixed: Rasters) -> None:
    # 16 × 16, 16 × 16 and 4 × 4 tiles.
    sampler = CrossScaleSampler(mixed, size=32, batch_size=40, tries=1)
    np.testing.assert_allclose(sampler.weights.weight, [256, 256, 16])
    rows = [d.tile.row for b in range(100) for d in sampler.batch(0, b)]
    counts = np.bincount(rows, minlength=3)
    weight = sampler.weights.weight
    expected = 4000 * weight / weight.sum()
    assert (np.abs(counts - expected) < 4 * np.sqrt(expected)).all()


def test_same_ground_weighs_less_when_tiles_are_coarser(mixed: Rasters) -> None:
    sampler = CrossScaleSampler(mixed, size=32, batch_size=8, gsd=(4, 40))
    np.testing.assert_allclose(sampler.weights.weight, [16, 64, 16])


def test_coarse_tiles_are_pixels_of_an_overview(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(1, 5000, (2, 515, 640), dtype=np.uint16)
    write_raster(tmp_path / 'x.tif', pixels, overviews=(2, 4))
    dataset = Rasters(tmp_path)
    sampler = CrossScaleSampler(dataset, size=40, batch_size=60, gsd=(10, 160))
    draws = sampler.batch(0, 0)
    # Where a factor does not divide the raster, an overview's pixels are a little finer.
    level = [min((1, 2, 4), key=lambda f: abs(d.gsd / 10 - f)) for d in draws]
    near = [abs(d.gsd / 10 / f - 1) < 0.005 for d, f in zip(draws, level, strict=True)]
    # Half an octave around each of three overviews, of the four octaves that are drawn from.
    assert [sum(np.array(level)[near] == f) > 3 for f in (1, 2, 4)] == [True] * 3
    assert min(d.gsd for d, ok in zip(draws, near, strict=True) if not ok) > 40 * 1.41
    for draw, factor, ok in zip(draws, level, near, strict=True):
        if not ok or factor == 1:
            continue
        with rasterio.open(tmp_path / 'x.tif', overview_level=factor // 4) as overview:
            col = draw.tile.col_off / 640 * overview.width
            row = draw.tile.row_off / 515 * overview.height
            assert [round(o, 6) % 1 for o in (col, row)] == [0, 0]
            expected = overview.read(window=Window(round(col), round(row), 40, 40))
        np.testing.assert_array_equal(dataset[draw]['image'], expected)
    asked = CrossScaleSampler(dataset, size=40, batch_size=8, gsd=(25, 35))
    assert all(25 <= d.gsd <= 35 for d in asked.batch(0, 0))


def test_no_overlap_where_there_is_room(wide: Rasters) -> None:
    sampler = CrossScaleSampler(wide, size=64, batch_size=16)
    crowded = CrossScaleSampler(wide, size=64, batch_size=16, tries=1)
    assert max(worst_overlap(sampler.batch(0, b)) for b in range(30)) == 0
    assert max(worst_overlap(crowded.batch(0, b)) for b in range(30)) > 0.1


def test_overlap_is_seen_across_files_of_one_place(tmp_path: Path) -> None:
    for date in range(4):
        blank(tmp_path / f'x_2020010{date + 1}.tif', 256, 256, 10)
    sampler = CrossScaleSampler(Rasters(tmp_path), size=32, batch_size=8)
    assert max(worst_overlap(sampler.batch(0, b)) for b in range(20)) == 0


def test_unavoidable_overlap_is_taken(tmp_path: Path) -> None:
    dataset = Rasters(blank(tmp_path / 'x.tif', 80, 80, 1))
    draws = CrossScaleSampler(dataset, size=64, batch_size=16).batch(0, 0)
    assert len(draws) == 16
    assert worst_overlap(draws) > 0.5


def test_too_small_and_too_coarse_rasters_are_left_out(tmp_path: Path) -> None:
    blank(tmp_path / 'good.tif', 200, 200, 10, 200_000)
    blank(tmp_path / 'small.tif', 60, 60, 10, 300_000)
    blank(tmp_path / 'coarse.tif', 200, 200, 30, 400_000)
    blank(tmp_path / 'padded.tif', 90, 110, 10, 600_000)
    sampler = CrossScaleSampler(Rasters(tmp_path), size=128, batch_size=16, gsd=(5, 20))
    reasons = {Path(r.path).name: r.reason for r in sampler.weights.rejected}
    assert reasons == {
        'small.tif': 'its 60×60 px of 10 m cover less than 50% of a tile of 128×128 px of 10 m',
        'coarse.tif': 'its 30 m are coarser than the 20 m asked for',
    }
    assert [Path(path).name for path in sampler.weights.padded] == ['padded.tif']
    names = [Path(path).name for path in sampler.dataset.index['filepath']]
    drawn = {names[d.tile.row] for b in range(10) for d in sampler.batch(0, b)}
    assert drawn == {'good.tif', 'padded.tif'}


def test_a_padded_tile_holds_its_whole_raster(tmp_path: Path) -> None:
    dataset = Rasters(blank(tmp_path / 'x.tif', 90, 110, 10))
    sampler = CrossScaleSampler(dataset, size=128, batch_size=20)
    draws = sampler.batch(0, 0)
    assert len({d.tile for d in draws}) > 1
    for draw in draws:
        sample = dataset[draw]
        assert sample['image'].shape == (1, 128, 128)
        assert sample['valid'].sum() == 90 * 110


def test_a_coarser_padded_tile(tmp_path: Path) -> None:
    dataset = Rasters(blank(tmp_path / 'x.tif', 100, 100, 10))
    sampler = CrossScaleSampler(dataset, size=64, batch_size=8, gsd=(20, 30))
    for draw in sampler.batch(0, 0):
        assert draw.gsd == 20
        assert dataset[draw]['valid'].sum() == pytest.approx(50 * 50, abs=100)


def test_slightly_coarser_than_asked_is_close_enough(tmp_path: Path) -> None:
    dataset = Rasters(blank(tmp_path / 'x.tif', 100, 100, 10.004))
    (draw,) = CrossScaleSampler(dataset, size=64, batch_size=1, gsd=(10, 10)).batch(0, 0)
    assert draw.tile.extent == 64


@pytest.mark.parametrize('gsd', [None, (0.1, 0.5)], ids=['too small', 'too coarse'])
def test_nothing_to_draw(mixed: Rasters, gsd: tuple[float, float] | None) -> None:
    with pytest.raises(
        NoRastersError, match='choose a smaller size, another gsd or max_nodata'
    ) as caught:
        CrossScaleSampler(mixed, size=64 if gsd else 2048, batch_size=4, gsd=gsd)
    for name in ('a.tif', 'b.tif', 'c.tif'):
        assert name in str(caught.value)


@pytest.mark.parametrize(
    'arguments',
    [
        {'batch_size': 10, 'world_size': 4},
        {'batch_size': 0},
        {'batch_size': 4, 'world_size': 0},
        {'batch_size': 4, 'world_size': 2, 'rank': 2},
        {'batch_size': 4, 'rank': -1},
        {'batch_size': 4, 'size': 0},
        {'batch_size': 4, 'gsd': (4, 2)},
        {'batch_size': 4, 'gsd': (0, 2)},
    ],
)
def test_contradicting_numbers(wide: Rasters, arguments: dict) -> None:
    with pytest.raises(ConfigError):
        CrossScaleSampler(wide, **({'size': 64} | arguments))


def test_geometry_is_made_only_when_asked(wide: Rasters) -> None:
    sampler = CrossScaleSampler(wide, size=64, batch_size=4)
    assert 'geometry' not in vars(sampler)
    assert sampler.geometry.area == pytest.approx(wide.index.geometry.iloc[0].area)


def test_gsd_is_measured_at_the_tile(tmp_path: Path) -> None:
    """Web Mercator: a raster over many degrees has another GSD at each latitude."""
    path = tmp_path / 'mercator.tif'
    grid = from_origin(0, 8_400_000, 8_000, 8_000)
    write_raster(path, np.ones((1050, 256), np.uint8), 'EPSG:3857', grid)
    drawn = CrossScaleSampler(Rasters(path), size=16, batch_size=64).batch(0, 0)
    for piece in drawn:
        latitude = (piece[1].start + piece[1].stop) / 2
        assert piece.gsd == pytest.approx(8_000 * math.cos(math.radians(latitude)), rel=0.01)
    assert max(s.gsd for s in drawn) > 1.5 * min(s.gsd for s in drawn)
