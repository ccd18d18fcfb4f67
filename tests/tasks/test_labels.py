"""Labels and masks no model can learn from are named."""

import pytest
import torch

from xscale.errors import ConfigError
from xscale.tasks.labels import check_labels, check_masks, check_multilabels

IMAGE = torch.zeros(3, 3, 8, 8)
VALID = torch.ones(3, 1, 8, 8, dtype=torch.bool)


def test_masks_of_another_size() -> None:
    batch = {'image': IMAGE, 'mask': torch.zeros(3, 4, 8), 'filename': ['a.tif', 'b.tif', 'c.tif']}
    with pytest.raises(ConfigError, match=r'batch 7 \(a.tif, b.tif, c.tif\): masks of 4×8 px.*8×8'):
        check_masks(batch, 7, 2, 255, VALID)


def test_masks_out_of_range() -> None:
    mask = torch.zeros(3, 8, 8, dtype=torch.int64)
    mask[1, 0, 0], mask[2, 0, 0] = 9, 255
    batch = {'image': IMAGE, 'mask': mask, 'path': ['a.tif', 'b.tif', 'c.tif']}
    message = r'batch 0, samples 1 \(b.tif\): mask pixels with the values \[9\]; 0 to 1 are.*255'
    with pytest.raises(ConfigError, match=message):
        check_masks(batch, 0, 2, 255, VALID)
    with pytest.raises(ConfigError, match=r'samples 1, 2 .*\[9, 255\]'):
        check_masks(batch, 0, 2, None, VALID)


def test_what_has_no_data_is_not_labelled() -> None:
    valid = VALID.clone()
    valid[0, :, 0] = False
    batch = {'image': IMAGE, 'mask': torch.ones(3, 1, 8, 8)}
    mask = check_masks(batch, 0, 2, 255, valid)
    assert mask.dtype == torch.int64
    assert (mask[0, 0] == 255).all()
    assert (mask[0, 1:] == 1).all()
    assert (mask[1:] == 1).all()


def test_labels() -> None:
    with pytest.raises(ConfigError, match=r'batch 0, samples 2: labels with the values \[2\]'):
        check_labels({'image': IMAGE, 'label': torch.tensor([0, 1, 2])}, 0, 2, None)
    with pytest.raises(ConfigError, match='task: multilabel'):
        check_labels({'image': IMAGE, 'label': torch.ones(3, 2)}, 0, 2, None)
    with pytest.raises(ConfigError, match='batch 4 has no label, only image'):
        check_labels({'image': IMAGE}, 4, 2, None)
    label = check_labels({'image': IMAGE, 'label': torch.tensor([[0], [1], [1]])}, 0, 2, None)
    assert label.tolist() == [0, 1, 1]


def test_labels_of_several_classes() -> None:
    label = torch.tensor([[True, False]] * 3)
    found = check_multilabels({'image': IMAGE, 'label': label}, 0, 2)
    assert found.tolist() == [[1, 0]] * 3
    with pytest.raises(ConfigError, match=r'\(3, 2\) came, \(3, 4\) is needed'):
        check_multilabels({'image': IMAGE, 'label': label}, 0, 4)
