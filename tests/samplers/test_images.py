"""Squares from the images of fMoW."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from xscale.datasets import FMoW
from xscale.datasets.fmow import Crop
from xscale.errors import ConfigError, UnknownNameError
from xscale.samplers import ImageSampler


@pytest.fixture(scope='module')
def images(fmow: Path) -> FMoW:
    """Seven images of four locations: three dates, one, two, one."""
    return FMoW(fmow / 'rgb')


def sampler(images: FMoW, **settings: Any) -> ImageSampler:
    return ImageSampler(images, **{'size': 32, 'batch_size': 2, **settings})


def rows(draws: list[Crop]) -> list[int]:
    return [draw.row for draw in draws]


def test_an_epoch_holds_each_image_once(images: FMoW) -> None:
    drawn = sampler(images, batch_size=7)
    assert drawn.batches == 1
    orders = set()
    for epoch in range(4):
        drawn.set_epoch(epoch)
        order = rows(list(drawn))
        assert sorted(order) == list(range(7))
        orders.add(tuple(order))
    assert len(orders) == 4


def test_whole_batches(images: FMoW) -> None:
    """The last one is filled with images of a second order."""
    drawn = sampler(images, batch_size=4)
    assert (drawn.batches, len(drawn)) == (2, 8)
    found = rows(list(drawn))
    assert sorted(set(found)) == list(range(7))
    assert len(found) == 8


def test_longer_and_shorter_epochs(images: FMoW) -> None:
    long = rows(list(sampler(images, batch_size=7, length=21)))
    assert np.bincount(long).tolist() == [3] * 7
    assert long[:7] != long[7:14]
    assert len(sampler(images, length=3)) == 4


def test_a_batch_depends_on_its_number_alone(images: FMoW) -> None:
    whole = sampler(images, length=20, seed=5)
    for epoch in (0, 2):
        whole.set_epoch(epoch)
        expected = list(whole)
        again = [draw for number in range(10) for draw in whole.batch(epoch, number)]
        assert again == expected
        torch.manual_seed(epoch)
        np.random.seed(epoch)  # noqa: NPY002
        other = sampler(images, length=20, seed=5)
        assert other.batch(epoch, 7) == expected[14:16]
    assert sampler(images, length=20, seed=6).batch(0, 0) != whole.batch(0, 0)
    assert whole.batch(0, 0) != whole.batch(1, 0)


def test_goes_on_in_the_middle(images: FMoW) -> None:
    drawn = sampler(images, length=12)
    drawn.set_epoch(1)
    expected = list(drawn)
    again = sampler(images, length=12)
    again.resume_at(1, 4)
    again.set_epoch(1)
    assert list(again) == expected[8:]
    again.set_epoch(2)
    assert len(list(again)) == 12


def test_ranks_share_each_batch(images: FMoW) -> None:
    whole = list(sampler(images, batch_size=6, length=12))
    parts = [
        list(sampler(images, batch_size=6, length=12, rank=rank, world_size=3)) for rank in range(3)
    ]
    assert all(len(part) == 4 for part in parts)
    joined = [draw for start in (0, 2) for part in parts for draw in part[start : start + 2]]
    assert joined == whole


def test_one_date_of_each_location(images: FMoW) -> None:
    drawn = sampler(images, batch_size=4, balance='location')
    assert drawn.batches == 1
    seen = set()
    for epoch in range(30):
        drawn.set_epoch(epoch)
        found = rows(list(drawn))
        assert sorted(images.images.location[found]) == [0, 1, 2, 3]
        seen.update(found)
    assert seen == set(range(7))


def test_the_same_in_every_epoch(images: FMoW) -> None:
    drawn = sampler(images, fixed=True)
    first = list(drawn)
    drawn.set_epoch(3)
    assert list(drawn) == first


def test_places_are_uniform_and_whole_pixels(images: FMoW) -> None:
    """All the 129 columns and 89 rows where a square of 32 fits in 160 × 120 px."""
    drawn = sampler(images, batch_size=7, length=7 * 1000)
    parts = [draw.part for draw in drawn if draw.row == 0]
    assert len(parts) == 1000
    left, top = (np.array([getattr(part, name) for part in parts]) for name in ('left', 'top'))
    assert all(part[2:] == (32, 32, (32, 32)) for part in parts)
    for edge, room in ((left, 128), (top, 88)):
        assert (edge == np.round(edge)).all()
        assert (edge.min(), edge.max()) == (0, room)
        assert abs(edge.mean() - room / 2) < 5 * room / math.sqrt(12 * 1000)


def test_pixels_are_copied(images: FMoW) -> None:
    """A square of an image's own gsd is the image's own pixels."""
    for draw in sampler(images, batch_size=7, size=24).batch(0, 0):
        sample, whole = images[draw], images[draw.row]
        left, top = int(draw.part.left), int(draw.part.top)
        cut = whole['image'][:, top : top + 24, left : left + 24]
        assert torch.equal(sample['image'], cut)
        for name in ('gsd', 'label', 'location', 'row', 'time'):
            assert torch.equal(sample[name], whole[name])
        assert sample['valid'].all()
        west, _, east, north = whole['footprint'].tolist()
        across = (east - west) / whole['image'].shape[2]
        assert sample['footprint'][0] == pytest.approx(west + left * across)
        assert sample['footprint'][2] == pytest.approx(west + (left + 24) * across)
        assert sample['footprint'][3] == pytest.approx(north - top * across)


def test_small_images_are_padded(images: FMoW) -> None:
    """98 × 66 px in a square of 128, anywhere in it."""
    drawn = sampler(images, batch_size=7, size=128, length=140)
    corners = set()
    for draw in drawn:
        if draw.row != 4:
            continue
        sample = images[draw]
        valid = sample['valid'][0]
        rows, cols = (valid.any(dim).nonzero().ravel() for dim in (1, 0))
        assert (len(rows), len(cols)) == (66, 98)
        assert valid.sum() == 66 * 98
        inside = sample['image'][:, rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
        assert torch.equal(inside, images[4]['image'])
        assert not sample['image'][~valid.expand(3, -1, -1)].any()
        corners.add((int(cols[0]), int(rows[0])))
    assert len(corners) > 10


def test_measured_pixels(fmow: Path) -> None:
    """A square on the ground is no square of the image's pixels."""
    measured = FMoW(fmow / 'rgb', gsd='measured')
    draws = sampler(measured, batch_size=7, size=24).batch(0, 0)
    (draw,) = (draw for draw in draws if draw.row == 4)
    assert draw.part.width / draw.part.height == pytest.approx(1.474, abs=0.001)
    sample = measured[draw]
    assert sample['image'].shape == (3, 24, 24)
    assert float(sample['gsd']) == pytest.approx(0.4205, rel=1e-3)
    west, south, east, north = sample['footprint'].numpy() * 111_320
    side = 24 * 0.4205
    assert (east - west) * np.cos(np.radians(47.4477)) == pytest.approx(side, rel=0.01)
    assert north - south == pytest.approx(side, rel=0.01)
    assert sample['valid'].all()


def test_fingerprint(images: FMoW, fmow: Path, tmp_path: Path) -> None:
    (tmp_path / 'moved').symlink_to(fmow / 'rgb')
    moved = FMoW(tmp_path / 'moved')
    assert sampler(moved).fingerprint == sampler(images).fingerprint
    assert sampler(FMoW(fmow / 'rgb', gsd=1.0)).fingerprint != sampler(images).fingerprint
    assert sampler(FMoW(fmow / 'cut', gsd=1.0)).fingerprint != sampler(images).fingerprint


def test_settings_that_make_no_sense(images: FMoW) -> None:
    with pytest.raises(UnknownNameError, match="unknown balance 'area'; choose one of: image, loc"):
        sampler(images, balance='area')
    with pytest.raises(ConfigError, match='size 0, batch_size 2'):
        sampler(images, size=0)
    with pytest.raises(ConfigError, match='a global batch of 3 does not divide over 2 processes'):
        sampler(images, batch_size=3, world_size=2)
