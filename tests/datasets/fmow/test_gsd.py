"""The ground sample distance of an image: stated, measured or given."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from xscale import geo
from xscale.datasets import FMoW
from xscale.errors import ConfigError

from ...data.fmow.data import STEP, bounds, gradient, write_jpeg
from .images import near, one, reasons


def test_the_real_fountain_is_measured() -> None:
    """Its metadata state 0.468 m; its 977 × 663 px are a square of 339 m, in steps of degrees."""
    box = np.array([[8.58083601179, 47.4475160925, 8.58532758821, 47.4505628631], [np.nan] * 4])
    width, height = geo.box_metres(box)[0]
    assert (width, height) == pytest.approx((338.74, 338.74), abs=0.01)
    assert (width / 977, height / 663) == pytest.approx((0.347, 0.511), abs=0.0005)
    assert np.isnan(geo.box_metres(box)[1]).all()


def test_measured_pixels_are_made_square(fmow: Path) -> None:
    dataset = FMoW(fmow / 'rgb', gsd='measured')
    sample = dataset[4]
    across = STEP * 111_320 * np.cos(np.radians(47.4477))
    assert sample['image'].shape == (3, 80, 81)
    assert float(sample['gsd']) == pytest.approx(0.4205, rel=1e-3)
    # Both sides of the image measure what they do on the ground.
    assert 81 * float(sample['gsd']) == pytest.approx(98 * across, rel=0.01)
    assert 80 * float(sample['gsd']) == pytest.approx(66 * STEP * 111_180, rel=0.01)
    cols = (torch.arange(81) + 0.5) * 98 / 81 - 0.5
    rows = (torch.arange(80) + 0.5) * 66 / 80 - 0.5
    near(sample['image'][0, 40], cols)
    near(sample['image'][1, :, 40], rows)
    torch.testing.assert_close(sample['footprint'], torch.tensor(bounds('fountain_514')).double())


def test_pixels_that_are_square_already_are_left_alone(fmow: Path) -> None:
    """At the equator a degree is one along both axes but for 0.7 %."""
    sample = FMoW(fmow / 'rgb', gsd='measured')[0]
    assert sample['image'].shape == (3, 120, 160)
    assert float(sample['gsd']) == pytest.approx(STEP * 110_950, rel=1e-3)


def test_a_gsd_for_all(fmow: Path) -> None:
    assert {float(sample['gsd']) for sample in FMoW(fmow / 'rgb', gsd=2.5)} == {2.5}


@pytest.mark.parametrize('gsd', ['truth', 0, -1.0, float('nan')])
def test_no_gsd(fmow: Path, gsd: Any) -> None:
    with pytest.raises(ConfigError, match=f'gsd .{"" if gsd != "truth" else "."}'):
        FMoW(fmow / 'rgb', gsd=gsd)


def test_measured_where_nothing_is_stated_and_the_other_way_round(tmp_path: Path) -> None:
    dataset = FMoW(one(tmp_path, raw_location=None), gsd='measured')
    assert float(dataset[0]['gsd']) == pytest.approx(0.52)


def test_an_image_that_was_made_smaller(fmow: Path) -> None:
    """Its pixels grew with it, and its boxes shrank."""
    full, half = FMoW(fmow / 'rgb', 'val'), FMoW(fmow / 'rgb', 'val', images='msrgb')
    assert len(full) == len(half) == 7
    for a, b in zip(full, half, strict=True):
        assert float(b['gsd']) == pytest.approx(2 * float(a['gsd']), rel=0.001)
        assert torch.equal(a['footprint'], b['footprint'])
    np.testing.assert_allclose(half.images.box, full.images.box / 2)


def test_an_image_that_was_cut_is_left_out(tmp_path: Path) -> None:
    """Nobody knows from where, nor at what scale."""
    folder = one(tmp_path)
    path = next(folder.rglob('*.jpg'))
    write_jpeg(path.with_name('airport_0_1_rgb.jpg'), gradient(64, 64))
    shutil.copy(path.with_suffix('.json'), path.with_name('airport_0_1_rgb.json'))
    dataset = FMoW(folder)
    assert len(dataset) == 1
    (reason,) = reasons(dataset).values()
    assert reason.startswith('has 64×64 px where its metadata describe 160×120: it was cropped or')
