"""Tiles of one place at several dates are found, drawn and read on one grid."""

from pathlib import Path

import numpy as np
import pytest
import torch
from rasterio.transform import from_origin

from xscale.datamodules import CrossScaleDataModule
from xscale.datasets import Rasters
from xscale.errors import ConfigError
from xscale.samplers import FrameSampler

from ..data.stack.data import write_raster

LEFT, TOP, SIDE = 300_000, 5_300_000, 128
DATES = ('20190114', '20190801', '20200302', '20210615')


def ramp(path: Path, value: int, shift: int = 0, bands: int = 2) -> Path:
    """Write a raster of 10 m whose first band says where a pixel lies; the second its date."""
    row, col = np.indices((SIDE, SIDE))
    place = (row * 131 + (col + shift) * 7).astype(np.uint16) + 1
    pixels = np.stack([place, *[np.full_like(place, value)] * (bands - 1)])
    return write_raster(path, pixels, grid=from_origin(LEFT + 10 * shift, TOP, 10, 10))


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four dates of a place, one of them of its eastern half; one date of another place."""
    folder = tmp_path_factory.mktemp('dates')
    for number, date in enumerate(DATES):
        ramp(folder / f'a_{date}.tif', number + 1, 64 if number == 3 else 0)
    ramp(folder / 'b_20200101.tif', 9, 5000)
    ramp(folder / 'undated.tif', 10)
    return folder


@pytest.fixture(scope='module')
def dataset(folder: Path) -> Rasters:
    return Rasters(folder)


def sampler(dataset: Rasters, **options: object) -> FrameSampler:
    settings: dict = {'frames': 3, 'size': 32, 'batch_size': 8, 'max_nodata': 0.0}
    return FrameSampler(dataset, **settings | options)


def test_dates_of_a_place_in_the_order_of_time(dataset: Rasters) -> None:
    drawn = sampler(dataset)
    shown = set()
    for number in range(6):
        for draw in drawn.batch(0, number):
            sample = dataset[draw]
            assert sample['image'].shape == (3, 2, 32, 32)
            assert sample['valid'].all()
            assert not sample['unreadable'].any()
            assert (sample['time'].diff() > 0).all()
            # The same ground each time, on whole pixels.
            assert (sample['image'][:, 0] == sample['image'][:1, 0]).all()
            days = [name[2:] for name in (Path(dataset.rows.path(r)).stem for r in draw.frames)]
            assert [int(v) for v in sample['image'][:, 1, 0, 0]] == [
                1 + DATES.index(d) for d in days
            ]
            moments = sample['time'].numpy().astype('M8[s]')
            assert [str(m)[:10].replace('-', '') for m in moments] == days
            shown |= set(days)
    assert shown == set(DATES)
    assert len(drawn.others) == 4


def test_a_draw_depends_on_its_number_alone(dataset: Rasters) -> None:
    one, other = sampler(dataset, seed=3), sampler(dataset, seed=3)
    other.batch(0, 0)
    assert [d.frames for d in one.batch(2, 5)] == [d.frames for d in other.batch(2, 5)]
    differs = [[d.frames for d in one.batch(epoch, 5)] for epoch in (0, 1)]
    assert differs[0] != differs[1]


def test_dates_are_shown_again_where_there_are_fewer(dataset: Rasters) -> None:
    for draw in sampler(dataset, frames=5).batch(0, 0):
        assert len(draw.frames) == 5
        assert len(set(draw.frames)) in (3, 4)
        times = dataset.rows.times[list(draw.frames), 0]
        assert (np.diff(times) >= 0).all()


def test_rasters_of_other_bands_are_no_dates(tmp_path: Path) -> None:
    ramp(tmp_path / 'a_20190114.tif', 1)
    ramp(tmp_path / 'a_20190801.tif', 1, bands=3)
    with pytest.raises(ConfigError, match='two dates or more'):
        sampler(Rasters(tmp_path, mixed=True))


def test_a_batch_of_the_data_module(folder: Path) -> None:
    module = CrossScaleDataModule(folder, tile_size=32, batch_size=4, frames=2, seed=0)
    module.setup('fit')
    assert '2 images of each place' in module.summary()
    assert '2 of a single date are not drawn' in module.summary()
    batch = next(iter(module.train_dataloader()))
    assert batch['image'].shape == (4, 2, 2, 32, 32)
    assert batch['time'].shape == batch['sensor'].shape == batch['row'].shape == (4, 2)
    assert batch['time'].dtype == torch.float64
    assert len(module.files(batch['row'])) > 1
    module.unreadable.count({**batch, 'unreadable': torch.ones(4, 2, dtype=torch.bool)})
    assert module.unreadable.files
    with pytest.raises(ConfigError, match='leave one out'):
        CrossScaleDataModule(folder, frames=2, pairs=True)


def test_too_few(dataset: Rasters) -> None:
    with pytest.raises(ConfigError, match='2 or more'):
        sampler(dataset, frames=1)
