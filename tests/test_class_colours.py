"""Colours of classes."""

from itertools import combinations

import numpy as np
import pytest
from kornia.color import rgb_to_lab
from torch import tensor

from xscale.class_colours import EXPECTED, PALETTE, class_colours

#: Machado, Oliveira and Fernandes 2009, severity 1: linear red, green and blue as they are seen.
VISION = {
    'all': np.eye(3),
    'no red': [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    'no green': [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    'no blue': [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
}


def hexes(*names: str) -> list[str]:
    return ['#{:02x}{:02x}{:02x}'.format(*colour) for colour in class_colours(names)]


@pytest.mark.parametrize(
    ('names', 'colour'),
    [
        (('water', 'Open Water', 'River', 'SeaLake'), '#0072b2'),
        (('forest', 'tree canopy', 'Trees', 'woodland'), '#004d1a'),
        (('building', 'Industrial Buildings', 'houses'), '#d55e00'),
        (('road', 'forest road', 'roads'), '#333333'),
        (('impervious surfaces',), '#777777'),
        (('grass', 'low_vegetation', 'Herbaceous Vegetation', 'Pasture'), '#78c679'),
        (('field', 'Annual Crop'), '#ffe34d'),
        (('bare ground', 'barren'), '#aa7744'),
        (('snow and ice',), '#d9f0ff'),
        (('background', 'Clutter', 'other'), '#aaaaaa'),
    ],
)
def test_common_classes_have_the_colours_people_expect(names: tuple[str, ...], colour: str) -> None:
    assert [hexes(name)[0] for name in names] == [colour] * len(names)


def test_others_keep_the_palette() -> None:
    assert hexes('a', 'non-forest', 'no water') == list(PALETTE[:3])
    # What is like a colour that a name was given is left out.
    assert hexes('water', 'car', 'b', 'building')[1:3] == ['#56b4e9', '#009e73']


def test_a_second_class_of_a_kind_has_another_colour() -> None:
    first, second = hexes('Annual Crop', 'Permanent Crop')
    assert first == '#ffe34d' != second
    assert len(set(hexes(*['water'] * 255))) == 255


@pytest.mark.parametrize('vision', VISION)
def test_told_apart_by_any_vision(vision: str) -> None:
    colours = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in EXPECTED]) / 255
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    seen = (linear @ np.array(VISION[vision]).T).clip(0, 1)
    seen = np.where(seen <= 0.0031308, seen * 12.92, 1.055 * seen ** (1 / 2.4) - 0.055)
    lab = rgb_to_lab(tensor(seen)[:, :, None, None])[..., 0, 0].numpy()
    assert min(np.linalg.norm(a - b) for a, b in combinations(lab, 2)) > 18
