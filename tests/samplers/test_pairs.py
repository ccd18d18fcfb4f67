"""Pairs of rasters that show the same ground are found, drawn and read at their own scales."""

import math
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
import torch
from numpy.typing import NDArray
from rasterio.transform import from_origin

from xscale.datasets import Rasters, TileSlice
from xscale.errors import ConfigError
from xscale.samplers import Area, PairSampler, split_ground
from xscale.samplers.partners import MOST, find_partners

from ..data.stack.data import write_raster

LEFT, TOP = 300_000, 5_300_000


def place(
    path: Path, gsd: float, side: float, left: float = LEFT, top: float = TOP, bands: int = 1
) -> Path:
    """Write a raster of noise."""
    size = round(side / gsd)
    noise = np.random.default_rng(size).integers(1, 200, (bands, size, size), dtype=np.uint8)
    return write_raster(path, noise, grid=from_origin(left, top, gsd, gsd))


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """10 m, 20 m and 60 m of one place, of other bands; and a place that only one raster shows."""
    folder = tmp_path_factory.mktemp('pairs')
    for gsd, bands in ((10, 4), (20, 6), (60, 2)):
        place(folder / f'{gsd}m.tif', gsd, 7680, bands=bands)
    place(folder / 'alone.tif', 10, 7680, LEFT + 50_000, bands=4)
    return folder


@pytest.fixture(scope='module')
def dataset(folder: Path) -> Rasters:
    return Rasters(folder, mixed=True)


def names(dataset: Rasters, draw: TileSlice) -> tuple[str, str]:
    """Return the files of a draw."""
    assert draw.coarse is not None
    rows = draw.tile.row, draw.coarse.row
    fine, coarse = (Path(dataset.rows.path(row)).stem for row in rows)
    return fine, coarse


def partners(paths: list[Path], **options: object) -> list[tuple[str, str, float]]:
    """Return the pairs of some files by name, and the days between them."""
    rows = Rasters(paths).rows
    found = find_partners(rows, **options)  # type: ignore[arg-type]
    stems = [Path(rows.path(row)).stem for row in range(len(rows))]
    pairs = zip(found.fine, found.coarse, found.days, strict=True)
    return [(stems[fine], stems[coarse], float(days)) for fine, coarse, days in pairs]


def test_partners_are_coarser_rasters_of_the_same_ground(tmp_path: Path) -> None:
    paths = [
        place(tmp_path / 'fine.tif', 1, 500),
        place(tmp_path / 'like.tif', 1.1, 500),
        place(tmp_path / 'coarse.tif', 2, 500, LEFT + 400),
        place(tmp_path / 'beside.tif', 2, 500, LEFT + 600),
    ]
    found = [pair[:2] for pair in partners(paths)]
    assert found == [('fine', 'coarse'), ('like', 'coarse')]
    assert partners(paths, ratio=(2.5, 9.0)) == []
    assert [pair[:2] for pair in partners(paths, ratio=(1.05, 1.5))] == [('fine', 'like')]


def test_partners_are_of_near_dates(tmp_path: Path) -> None:
    paths = [
        place(tmp_path / 'fine_20200110.tif', 1, 500),
        place(tmp_path / 'same_20200110.tif', 2, 500),
        place(tmp_path / 'before_20200105.tif', 2, 500),
        place(tmp_path / 'after_20200301.tif', 2, 500),
        place(tmp_path / 'undated.tif', 2, 500),
    ]
    days = {coarse: apart for fine, coarse, apart in partners(paths) if fine == 'fine_20200110'}
    assert math.isnan(days.pop('undated'))
    assert days == {'same_20200110': 0, 'before_20200105': 5, 'after_20200301': 51}
    near = {coarse for _, coarse, _ in partners(paths, max_days=5)}
    assert near == {'same_20200110', 'before_20200105', 'undated'}


def test_of_many_partners_the_nearest_dates_are_kept(tmp_path: Path) -> None:
    paths = [place(tmp_path / 'fine_20200101.tif', 1, 100)]
    paths += [place(tmp_path / f'c_202001{day:02}.tif', 2, 100) for day in range(2, 30)]
    days = sorted(apart for *_, apart in partners(paths))
    assert days == list(range(1, MOST + 1))


def test_a_mosaic_of_many_small_partners_is_kept_whole(tmp_path: Path) -> None:
    paths = [place(tmp_path / 'fine.tif', 10, 7680)]
    for row in range(5):
        for col in range(5):
            corner = LEFT + 1536 * col, TOP - 1536 * row
            paths.append(place(tmp_path / f'c{row}{col}.tif', 16, 1536, *corner))
    assert len(partners(paths)) == 25
    sampler = PairSampler(Rasters(paths), size=64, view=32, batch_size=4)
    assert sampler.share > 0.95


def test_a_pair_without_common_data_falls_back_to_one_raster(tmp_path: Path) -> None:
    fine = place(tmp_path / 'fine.tif', 10, 2560)
    pixels = np.full((1, 256, 256), 7, np.uint8)
    pixels[:, :140, :140] = 0
    coarse = write_raster(
        tmp_path / 'coarse.tif', pixels, grid=from_origin(LEFT, TOP, 20, 20), nodata=0
    )
    sampler = PairSampler(Rasters([fine, coarse]), size=64, view=32, batch_size=6, share=1.0)
    assert len(sampler.partners) == 1
    for draw in sampler.batch(0, 0):
        assert draw.coarse is not None
        assert draw.coarse.row == draw.tile.row


def test_partners_across_the_antimeridian(tmp_path: Path) -> None:
    # Zone 1 begins at 180° west, where zone 60 ends.
    noise = np.ones((1, 100, 100), np.uint8)
    paths = []
    for name, epsg, left, gsd in (('west', 32660, 828_500, 20), ('east', 32601, 169_500, 45)):
        grid = from_origin(left, 1_000_000, gsd, gsd)
        paths.append(write_raster(tmp_path / f'{name}.tif', noise, f'EPSG:{epsg}', grid))
    bounds = Rasters(paths).rows.bounds
    assert bounds.max() > 180
    assert [pair[:2] for pair in partners(paths)] == [('west', 'east')]


def test_each_part_is_read_at_its_own_gsd(dataset: Rasters) -> None:
    sampler = PairSampler(dataset, size=64, view=32, batch_size=40, share=1.0)
    kinds = set()
    for draw in sampler.batch(0, 0):
        fine, coarse = names(dataset, draw)
        kinds.add((fine, coarse))
        assert draw.coarse is not None
        assert draw.coarse.gsd == pytest.approx({'20m': 20, '60m': 60}[coarse])
        assert draw.coarse.size * draw.coarse.gsd == pytest.approx(64 * draw.gsd)
        # Never enlarged: the finer one is averaged where the tile has to show more ground.
        assert draw.coarse.size >= 32
        assert draw.gsd == pytest.approx({('10m', '20m'): 10}.get((fine, coarse), 30), rel=0.01)
    assert kinds == {('10m', '20m'), ('10m', '60m'), ('20m', '60m')}


def test_nested_grids_are_copied_pixel_by_pixel(dataset: Rasters, folder: Path) -> None:
    def file(stem: str) -> tuple[NDArray[np.uint8], rasterio.Affine]:
        with rasterio.open(folder / f'{stem}.tif') as source:
            return source.read(), source.transform

    sampler = PairSampler(dataset, size=64, view=32, batch_size=24, share=1.0, ratio=(1.5, 2.5))
    for draw in sampler.batch(0, 0):
        sample, tile = dataset[draw], draw.tile
        pixels, _ = file('20m')
        col, row = round(tile.col_off / 2), round(tile.row_off / 2)
        assert (2 * col, 2 * row) == (tile.col_off, tile.row_off)
        wanted = pixels[:, row : row + 32, col : col + 32]
        assert np.array_equal(sample['image_coarse'][:6, :32, :32].numpy(), wanted)
        own = file('10m')[0][:, 2 * row : 2 * row + 64, 2 * col : 2 * col + 64]
        assert np.array_equal(sample['image'][:4].numpy(), own)
        assert not sample['image'][4:].any()
        assert sample['days'].isnan()


def test_places_without_a_partner_are_shown_at_two_scales_by_one_raster(dataset: Rasters) -> None:
    sampler = PairSampler(dataset, size=64, view=32, batch_size=200)
    draws = sampler.batch(0, 0)
    kinds = [names(dataset, draw) for draw in draws]
    assert {pair for pair in kinds if 'alone' in pair} == {('alone', 'alone')}
    rate = np.mean([fine != coarse for fine, coarse in kinds])
    assert rate == pytest.approx(sampler.share, abs=0.1)
    assert 0.3 < sampler.share < 0.7
    alone = next(draw for draw, kind in zip(draws, kinds, strict=True) if kind[0] == 'alone')
    sample = dataset[alone]
    assert not sample['paired']
    assert float(sample['gsd_coarse']) == pytest.approx(20)
    fine = torch.nn.functional.avg_pool2d(sample['image'][:4], 2)
    torch.testing.assert_close(sample['image_coarse'][:4, :32, :32], fine, atol=0.6, rtol=0)


@pytest.mark.parametrize('share', [0.0, 0.25, 1.0])
def test_the_share_is_met(dataset: Rasters, share: float) -> None:
    sampler = PairSampler(dataset, size=64, view=32, batch_size=400, share=share, tries=1)
    paired = [draw.tile.partner >= 0 for draw in sampler.batch(0, 0)]
    assert np.mean(paired) == pytest.approx(share, abs=0.08)


def test_a_batch_is_the_same_whenever_asked(dataset: Rasters) -> None:
    def plain(sampler: PairSampler) -> list[object]:
        return [(tuple(d), d.tile, d.gsd, repr(d.coarse)) for d in sampler.batch(3, 1)]

    options = {'size': 64, 'view': 32, 'batch_size': 8, 'seed': 7}
    np.random.seed(1)  # noqa: NPY002
    first = plain(PairSampler(dataset, **options))
    np.random.seed(2)  # noqa: NPY002
    again = PairSampler(dataset, **options)
    again.batch(0, 0)
    assert plain(again) == first
    ranks = [PairSampler(dataset, rank=rank, world_size=2, **options) for rank in (0, 1)]
    for rank in ranks:
        rank.set_epoch(3)
    shared = [[(tuple(draw), draw.tile) for draw in rank][4:8] for rank in ranks]
    assert shared[0] + shared[1] == [(one[0], one[1]) for one in first]  # type: ignore[index]


def test_what_the_partner_lacks_is_not_drawn(tmp_path: Path) -> None:
    fine = place(tmp_path / 'fine.tif', 10, 3840)
    pixels = np.full((1, 192, 192), 7, np.uint8)
    pixels[:, :, 96:] = 0
    coarse = write_raster(
        tmp_path / 'coarse.tif', pixels, grid=from_origin(LEFT, TOP, 20, 20), nodata=0
    )
    dataset = Rasters([fine, coarse])
    sampler = PairSampler(dataset, size=64, view=32, batch_size=50, share=1.0, max_nodata=0)
    for draw in sampler.batch(0, 0):
        sample = dataset[draw]
        assert sample['paired']
        assert sample['valid_coarse'][0, :32, :32].all()
        assert sample['image_coarse'][0, :32, :32].eq(7).all()


def test_pairs_keep_to_their_part_of_the_ground(dataset: Rasters) -> None:
    options = {'size': 32, 'view': 16, 'batch_size': 24, 'share': 1.0}
    sampler = PairSampler(dataset, **options)
    parts = split_ground(dataset.rows, sampler.weights, 32, 0.3, 0)
    for part in parts:
        draws = PairSampler(dataset, region=part, **options).batch(0, 0)
        for draw in draws:
            assert draw.tile.partner >= 0
            box = np.array([draw[0].start, draw[1].start, draw[0].stop, draw[1].stop])
            assert part.holds(box)


def test_ground_without_pairs_is_shown_by_one_raster(dataset: Rasters) -> None:
    bounds = dataset.rows.bounds
    region = Area(shapely.box(*bounds[bounds[:, 0].argmax()]))
    sampler = PairSampler(dataset, size=64, view=32, batch_size=8, share=1.0, region=region)
    assert sampler.share == 0
    assert {names(dataset, draw) for draw in sampler.batch(0, 0)} == {('alone', 'alone')}


def test_a_region_of_interest_counts(dataset: Rasters) -> None:
    west, south, east, north = dataset.rows.bounds[0]
    middle = (west + east) / 2
    region = Area(shapely.box(west, south, middle, north))
    sampler = PairSampler(dataset, size=64, view=32, batch_size=20, share=1.0, region=region)
    for draw in sampler.batch(0, 0):
        assert (draw[0].start + draw[0].stop) / 2 <= middle + 1e-9


def test_a_range_of_gsds_keeps_the_fine_part_finer(dataset: Rasters) -> None:
    sampler = PairSampler(dataset, size=32, view=16, batch_size=60, share=1.0, gsd=(10, 100))
    for draw in sampler.batch(0, 0):
        assert draw.coarse is not None
        assert draw.coarse.gsd / draw.gsd >= 1.2 * 0.98
        assert draw.coarse.size <= sampler.canvas


def test_what_is_said_of_them(dataset: Rasters) -> None:
    sampler = PairSampler(dataset, size=64, view=32, batch_size=4, share=0.5)
    assert sampler.summary() == (
        '50% of the tiles are pairs of two rasters, the others of one raster at two scales: '
        '3 pairs, of 10 and 20 m; 10 and 60 m; 20 and 60 m'
    )
    assert sampler.gsd_range == pytest.approx((10, 120))


def test_a_raster_that_only_partners_is_not_left_out(tmp_path: Path) -> None:
    paths = [place(tmp_path / 'fine.tif', 10, 2560), place(tmp_path / 'coarse.tif', 40, 2560)]
    sampler = PairSampler(Rasters(paths), size=128, view=32, batch_size=4, max_nodata=0.2)
    assert (sampler.weights.weight > 0).sum() == 1
    assert sampler.weights.rejected == []


@pytest.mark.parametrize(
    ('options', 'error'),
    [
        ({'ratio': (0.5, 2)}, '1 < least'),
        ({'share': 1.5}, 'from 0 to 1'),
        ({'max_days': -1}, '0 or a number above'),
        ({'view': 65}, '1 to 64 px'),
        ({'ratio': (8, 9)}, 'by a factor of 8 or more, at most 9'),
    ],
)
def test_bad_numbers(dataset: Rasters, options: dict[str, object], error: str) -> None:
    given = {'size': 64, 'view': 32, 'batch_size': 4} | options
    with pytest.raises(ConfigError, match=error):
        PairSampler(dataset, **given)  # type: ignore[arg-type]
