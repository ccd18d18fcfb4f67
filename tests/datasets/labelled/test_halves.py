"""A data set without splits, split from a seed."""

import numpy as np
import pytest
import torch
from torch import Tensor

from xscale.datasets.ground import Place
from xscale.datasets.labelled.halves import train_and_test
from xscale.datasets.labelled.split import NOWHERE, Picture, Split


class Blank:
    """Images that tell their number."""

    identity = 'blank'

    def read(self, number: int) -> Picture:
        return Picture(np.full((1, 1, 1), number, np.float32), np.ones((1, 1), bool), 1, NOWHERE)

    def look(self, number: int) -> Place:
        return Place()


def split(labels: Tensor) -> Split:
    return Split(Blank(), labels, [f'image {number}' for number in range(len(labels))])


def test_each_class_is_split_alike() -> None:
    notes: list[str] = []
    found = train_and_test(split(torch.arange(100) % 10 // 7), 3, notes)
    assert torch.bincount(found['train'].labels).tolist() == [56, 24]
    assert torch.bincount(found['test'].labels).tolist() == [14, 6]
    numbers = [int(one['image']) for half in found.values() for one in half]
    assert sorted(numbers) == list(range(100))
    assert [f'image {number}' for number in numbers[80:]] == found['test'].names
    assert notes == ['it has no splits: 20% of its images of each class are tested on (seed 3)']


@pytest.mark.parametrize(
    'labels', [torch.tensor([0] * 9 + [1]), torch.arange(6) // 2, torch.ones(10, 3).bool()]
)
def test_what_cannot_be_split_alike_is_split_at_random(labels: Tensor) -> None:
    torch.manual_seed(0)
    notes: list[str] = []
    found = train_and_test(split(labels), 0, notes)
    torch.manual_seed(1)
    again = train_and_test(split(labels), 0, [])
    assert 'at random' in notes[0]
    assert len(found['test']) == 2
    assert again['test'].names == found['test'].names


def test_one_image_is_not_split() -> None:
    assert list(train_and_test(split(torch.zeros(1, dtype=torch.int64)), 0, [])) == ['train']
