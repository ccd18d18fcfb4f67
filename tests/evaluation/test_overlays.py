"""Maps of classes as pictures."""

import numpy as np
from matplotlib.colors import to_rgb

from xscale.class_colours import PALETTE
from xscale.evaluation.overlays import FALSE_ALARM, HIT, MISS, SHARE, judged, over
from xscale.evaluation.segmentation import UNLABELLED

GREY = np.full((1, 5, 3), 0.5, np.float32)


def blended(colour: str) -> list[float]:
    return [round((1 - SHARE) * 0.5 + SHARE * part, 4) for part in to_rgb(colour)]


def rows(picture: np.ndarray) -> list[list[float]]:
    return [[round(float(part), 4) for part in pixel] for pixel in picture[0]]


def test_two_classes_show_errors() -> None:
    """What is right of the first class, and what is not labelled, stays as it is."""
    mask = np.array([[1, 1, 0, 0, UNLABELLED]])
    found = rows(judged(GREY, mask, np.array([[1, 0, 1, 0, 1]]), 'ab'))
    assert found == [blended(HIT), blended(MISS), blended(FALSE_ALARM), [0.5] * 3, [0.5] * 3]


def test_more_classes_show_themselves() -> None:
    mask = np.array([[0, 1, 2, 2, UNLABELLED]])
    colours = [blended(PALETTE[number]) for number in (0, 1, 2, 2)]
    assert rows(over(GREY, mask, 'abc')) == [*colours, [0.5] * 3]
    assert rows(judged(GREY, mask, np.zeros((1, 5), int), 'abc')) == [colours[0]] * 4 + [[0.5] * 3]
