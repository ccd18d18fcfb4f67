"""Where an image lies, and where one that says nothing does."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xscale import geo
from xscale.datasets import FMoW

from ...data.fmow.data import write_image
from .images import one


def test_places_that_nobody_tells(tmp_path: Path) -> None:
    """The dates of a location share ground, no two locations do, and none is on Earth."""
    for place, dates in (('airport_0', 2), ('zoo_3', 1)):
        for date in range(dates):
            folder = tmp_path / 'train' / place.rsplit('_', 1)[0] / place
            write_image(folder, place, date, raw_location=None)
    boxes = np.stack([sample['footprint'].numpy() for sample in FMoW(tmp_path)])
    assert (boxes[:, 1] > 90).all()
    shared = np.stack([geo.overlap(box, boxes) for box in boxes])
    assert (shared == [[1, 1, 0], [1, 1, 0], [0, 0, 1]]).all()


@pytest.mark.parametrize('text', ['', 'POLYGON', 'POINT EMPTY', 'POINT (1 2)', 7])
def test_a_place_that_is_none(tmp_path: Path, text: Any) -> None:
    (sample,) = FMoW(one(tmp_path, raw_location=text), gsd='measured')
    assert sample['footprint'][1] > 90
    assert float(sample['gsd']) == pytest.approx(0.52)


def test_across_the_antimeridian(tmp_path: Path) -> None:
    text = 'POLYGON ((179.999 1, -179.999 1, -179.999 1.002, 179.999 1.002, 179.999 1))'
    (sample,) = FMoW(one(tmp_path, raw_location=text))
    assert sample['footprint'].tolist() == pytest.approx([179.999, 1, 180.001, 1.002])
