"""What of an image is shown: its middle, or a square around a box."""

from pathlib import Path

import numpy as np
import pytest
import torch

from xscale import geo
from xscale.datasets import FMoW
from xscale.datasets.fmow.classes import CLASSES

from ...data.fmow.data import STEP, bounds, gradient
from .images import near, one


@pytest.mark.parametrize('size', [30, 120, 300])
def test_a_whole_image_of_one_size(fmow: Path, size: int) -> None:
    """The largest square in its middle, at the gsd it then has."""
    sample = FMoW(fmow / 'rgb', size=size)[0]
    assert sample['image'].shape == (3, size, size)
    assert float(sample['gsd']) == pytest.approx(0.52 * 120 / size)
    cols = 20 + (torch.arange(size) + 0.5) * 120 / size - 0.5
    near(sample['image'][0, size // 2], cols.clamp(20, 139))
    west, south, _, north = bounds('airport_0')
    expected = [west + 20 * STEP, south, west + 140 * STEP, north]
    torch.testing.assert_close(sample['footprint'], torch.tensor(expected).double())


def test_a_box(fmow: Path) -> None:
    """A square around it: half of each side of the image, so 0.15 of the longer more."""
    sample = FMoW(fmow / 'rgb', crop='box')[0]
    side = round(80 * 1.15)
    assert sample['image'].shape == (3, side, side)
    assert float(sample['gsd']) == pytest.approx(0.52)
    near(sample['image'][0, 0, [0, -1]], [80 - 46, 80 + 46 - 1])
    near(sample['image'][1, [0, -1], 0], [60 - 46, 60 + 46 - 1])


@pytest.mark.parametrize(
    ('share', 'more'),
    [(0.05, 2.0), (0.15, 1.0), (0.25, 0.5), (0.35, 0.3), (0.45, 0.2), (0.5, 0.15), (0.9, 0.15)],
)
def test_context_as_in_the_baseline(tmp_path: Path, share: float, more: float) -> None:
    wide = round(160 * share)
    dataset = FMoW(one(tmp_path, box=((160 - wide) // 2, 58, wide, 4)), crop='box')
    # The other side adds twice its own, which is less.
    assert dataset[0]['image'].shape[-1] == max(12, round(wide * (1 + more)))


def test_context_as_asked(fmow: Path) -> None:
    """Of a box, and measured on the ground where pixels are not square."""
    for context in (0.0, 1.0):
        sample = FMoW(fmow / 'rgb', crop='box', context=context)[0]
        assert sample['image'].shape[-1] == 80 * (1 + context)
    part = FMoW(fmow / 'rgb', crop='box', context=0.0, size=32, gsd='measured').crop_of(4).part
    width, height = geo.box_metres(np.array([bounds('fountain_514')]))[0]
    assert part.width / part.height == pytest.approx((height / 66) / (width / 98))
    assert part.width / part.height == pytest.approx(1.474, abs=0.001)


def test_a_box_at_the_edge_is_moved_inside(tmp_path: Path) -> None:
    dataset = FMoW(one(tmp_path, box=(150, 0, 10, 10)), crop='box', context=1.0)
    sample = dataset[0]
    assert sample['image'].shape == (3, 20, 20)
    assert sample['valid'].all()
    near(sample['image'][0, 0, [0, -1]], [140, 159])
    near(sample['image'][1, [0, -1], 0], [0, 19])


def test_what_is_beyond_the_image_is_not_valid(tmp_path: Path) -> None:
    """A square around a box as wide as its image reaches beyond it above and below."""
    sample = FMoW(one(tmp_path, box=(0, 40, 160, 20)), crop='box', context=0.0)[0]
    assert sample['image'].shape == (3, 160, 160)
    assert sample['valid'][0, 20:140].all()
    assert not sample['valid'][0, :20].any()
    assert not sample['valid'][0, 140:].any()
    assert (sample['image'][:, :20] == 0).all()
    near(sample['image'][:, 20:140], gradient(160, 120))


def test_a_box_that_is_listed_twice_is_one_sample(fmow: Path) -> None:
    dataset = FMoW(fmow / 'rgb', crop='box')
    assert len(dataset) == len(dataset.images) == len(dataset.images.box)


def test_tiny_boxes_are_no_samples(tmp_path: Path) -> None:
    boxes = [{'category': 'zoo', 'box': [5, 5, 2, 40]}, {'category': 'park', 'box': [5, 5, 9, 9]}]
    (sample,) = FMoW(one(tmp_path, bounding_boxes=boxes), crop='box')
    assert CLASSES[sample['label']] == 'park'
