"""What maps say of pixels: values, colours, and how many classes there may be."""

import numpy as np
import pytest

from xscale.errors import ConfigError
from xscale.inference.layers import ClassLayer, ProbabilityLayer, colour_table

VALUES = np.array([[[0.2, 0.1, 0.5]], [[0.7, 0.2, 0.5]], [[0.1, 0.7, 0.0]]], np.float32)
VALID = np.array([[True, False, True]])


def test_the_most_likely_class_the_first_of_equals() -> None:
    found = ClassLayer('abc').encode(VALUES, VALID)
    assert found.dtype == np.uint8
    assert found.tolist() == [[[1, 255, 0]]]


def test_probabilities() -> None:
    found = ProbabilityLayer('abc', 'uint8').encode(VALUES, VALID)
    assert found.dtype == np.uint8
    assert found.tolist() == [[[50, 255, 125]], [[175, 255, 125]], [[25, 255, 0]]]
    floats = ProbabilityLayer('abc', 'float32').encode(VALUES, VALID)
    assert floats.dtype == np.float32
    np.testing.assert_array_equal(floats, np.where(VALID, VALUES, np.nan))


@pytest.mark.parametrize('count', [1, 2, 10, 11, 20, 21, 100, 255])
def test_each_class_has_its_colour(count: int) -> None:
    table = colour_table([f'class {number}' for number in range(count)])
    assert len(table) == count + 1
    assert len({table[number] for number in range(count)}) == count
    assert table[255] == (0, 0, 0, 0)


def test_more_classes_than_a_byte_counts() -> None:
    ClassLayer(['x'] * 255)
    with pytest.raises(ConfigError, match=r'256 classes.*--probabilities'):
        ClassLayer(['x'] * 256)
