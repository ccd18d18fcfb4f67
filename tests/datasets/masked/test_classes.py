"""Which value is which class."""

from pathlib import Path

import numpy as np
import pytest

from xscale.datasets.masked.classes import given_classes, make_classes
from xscale.errors import ConfigError


def numbers(classes: object, values: list[int]) -> list[int]:
    mask = np.array(values, np.int32)
    return classes.numbers(mask, 'a.tif', dict).tolist()  # type: ignore[attr-defined]


def test_names_count_from_0(tmp_path: Path) -> None:
    classes = given_classes(['ground', 'roof'], None, tmp_path)
    assert numbers(classes, [0, 1, 255]) == [0, 1, 255]


def test_names_by_value(tmp_path: Path) -> None:
    """In any order; 255 may be one."""
    classes = given_classes({7: 'water', 255: 'roof', 0: 'ground'}, 9, tmp_path)
    assert numbers(classes, [0, 7, 255, 9]) == [2, 0, 1, 255]
    assert classes is not None
    assert classes.names == ('water', 'roof', 'ground')


@pytest.mark.parametrize(
    ('text', 'names', 'values'),
    [
        ('ground\n\nroof\n', ('ground', 'roof'), (0, 1)),
        ('3: ground\n1: old: roof\n', ('ground', 'old: roof'), (3, 1)),
        ('a: b\nc\n', ('a: b', 'c'), (0, 1)),
    ],
)
def test_a_file_of_names(
    tmp_path: Path, text: str, names: tuple[str, ...], values: tuple[int, ...]
) -> None:
    (tmp_path / 'classes.txt').write_text(text)
    classes = given_classes(None, None, tmp_path)
    assert classes is not None
    assert (classes.names, classes.values, classes.ignored) == (names, values, (255,))
    assert str(tmp_path / 'classes.txt') in classes.source


def test_nobody_says(tmp_path: Path) -> None:
    assert given_classes(None, None, tmp_path) is None


def test_values_that_are_no_class() -> None:
    classes = make_classes(['ground', 'roof'], [0, 1], 9, 'by hand')
    mask = np.array([[0, 1, 4], [9, 4, 255]], np.uint8)
    with pytest.raises(ConfigError) as raised:
        classes.numbers(mask, 'm/a.tif', lambda: {0: 10, 4: 1200, 255: 3, 9: 1})
    message = str(raised.value)
    assert 'm/a.tif holds the values 4 (1,200 pixels), 255 (3 pixels), which are' in message
    assert '0 ground, 1 roof (by hand), and 9 is not labelled' in message


@pytest.mark.parametrize(
    ('given', 'ignore', 'message'),
    [
        (['ground', 'roof'], 1, r'ignore 1 is a class \(roof, by the setting classes\)'),
        (['ground'], None, r'1 classes by the setting classes \(ground\); 2 to 255 are needed'),
        (['a', 'b', 'a'], None, 'a comes twice'),
        ('roof', None, "classes 'roof': a list of names is needed"),
    ],
)
def test_classes_that_cannot_be(
    tmp_path: Path, given: list[str], ignore: int | None, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        given_classes(given, ignore, tmp_path)
