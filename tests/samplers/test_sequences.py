"""Squares of fMoW's locations at several dates."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from xscale.datamodules import FMoWDataModule
from xscale.datasets import FMoW
from xscale.datasets.fmow.crops import footprint_of, same_ground
from xscale.datasets.fmow.pixels import Part
from xscale.errors import ConfigError
from xscale.samplers import SequenceSampler


@pytest.fixture(scope='module')
def images(fmow: Path) -> FMoW:
    """Seven images of four locations: three dates, one, two, one."""
    return FMoW(fmow / 'rgb')


def sampler(images: FMoW, **settings: Any) -> SequenceSampler:
    return SequenceSampler(images, **{'size': 32, 'batch_size': 2, 'frames': 3, **settings})


def test_dates_of_a_location_in_the_order_of_time(images: FMoW) -> None:
    drawn = sampler(images)
    assert drawn.batches == 1
    found = images.images
    for epoch in range(6):
        draws = drawn.batch(epoch, 0)
        # Each location that has several dates once.
        assert len({found.location[draw.row] for draw in draws}) == 2
        for draw in draws:
            rows = [one.row for one in draw.dates]
            assert draw.row in rows
            assert len(rows) == 3
            assert {found.location[row] for row in rows} == {found.location[draw.row]}
            assert (np.diff(found.time[rows]).astype(int) >= 0).all()
            assert len(set(rows)) == min(3, len(images.sequence(draw.row)))
            sample = images[draw]
            assert sample['image'].shape == (3, 3, 32, 32)
            assert sample['valid'].shape == (3, 1, 32, 32)
            times = found.time[rows].astype('M8[s]').astype(np.float64)
            assert torch.equal(sample['time'], torch.from_numpy(times))
            assert sample['row'].tolist() == rows


def test_all_dates_show_the_same_ground(images: FMoW) -> None:
    for draw in sampler(images).batch(3, 0):
        own = footprint_of(images.images, draw.row, draw.part)
        for one in draw.dates:
            place = footprint_of(images.images, one.row, one.part)
            np.testing.assert_allclose(place, own, atol=1e-9)
            assert one.part.shape == (32, 32)


def test_the_same_share_where_nobody_says_where() -> None:
    fmow = FMoWlike()
    part = Part(10.0, 20.0, 40.0, 30.0, (32, 32))
    assert same_ground(fmow, 0, part, 0) is part  # type: ignore[arg-type]
    found = same_ground(fmow, 0, part, 1)  # type: ignore[arg-type]
    assert found == Part(20.0, 10.0, 80.0, 15.0, (32, 32))


class FMoWlike:
    """Two images without a place."""

    size = np.array([[100, 80], [200, 40]])
    bounds = np.full((2, 4), np.nan)


def test_a_draw_depends_on_its_number_alone(images: FMoW) -> None:
    one, other = sampler(images, seed=3, length=40), sampler(images, seed=3, length=40)
    other.batch(0, 0)
    assert one.batch(2, 5) == other.batch(2, 5)
    assert one.batch(0, 5) != one.batch(1, 5)


def test_what_cannot_be_drawn(images: FMoW) -> None:
    with pytest.raises(ConfigError, match='2 or more'):
        sampler(images, frames=1)
    alone = object.__new__(FMoW)
    alone.images = replace(images.images, location=np.arange(7))
    with pytest.raises(ConfigError, match='has a single image'):
        sampler(alone)


def test_a_batch_of_the_data_module(fmow: Path) -> None:
    module = FMoWDataModule(fmow / 'rgb', tile_size=32, batch_size=2, frames=2, val_batches=0)
    module.setup('fit')
    batch = next(iter(module.train_dataloader()))
    assert batch['image'].shape == (2, 2, 3, 32, 32)
    assert batch['gsd'].shape == (2,)
    assert batch['time'].shape == (2, 2)
    assert batch['footprint'].shape == (2, 4)
