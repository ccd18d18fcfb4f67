"""fMoW as labelled images."""

import shutil
from pathlib import Path

import pytest
import torch

from xscale.datasets import FMoW
from xscale.datasets.labelled import check_readable, open_labelled
from xscale.errors import ConfigError, MissingPathError, UnusableError


@pytest.fixture
def folder(fmow: Path, tmp_path: Path) -> Path:
    """Copy the training images of fMoW-rgb, as those to validate on too."""
    for split in ('train', 'val'):
        shutil.copytree(fmow / 'rgb/train', tmp_path / 'rgb' / split)
    return tmp_path / 'rgb'


def test_its_own_labels_and_metres(folder: Path) -> None:
    found = open_labelled('FMoW', root=folder)
    theirs = FMoW(folder, 'train')
    assert found.bands == ('red', 'green', 'blue')
    assert found.dtype == 'uint8'
    assert len(found.classes) == 62
    assert list(found.splits) == ['train', 'test']
    assert any('val is tested on' in note for note in found.notes)
    train = found.splits['train']
    assert len(train) == len(theirs)
    for index in range(len(theirs)):
        sample, other = train[index], theirs[index]
        for key in ('image', 'valid', 'gsd', 'footprint', 'label'):
            assert torch.equal(sample[key], other[key]), key
        assert found.classes[int(sample['label'])] in train.names[index]
    assert len({float(sample['gsd']) for sample in train}) > 1
    blue = open_labelled('FMoW', root=folder, bands=['blue']).splits['train'][0]['image']
    assert torch.equal(blue, train[0]['image'][2:])


def test_a_broken_image(folder: Path) -> None:
    found = open_labelled('FMoW', root=folder)
    path = Path(found.splits['test'].names[1])
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(UnusableError, match=f'{path.name} is cut short'):
        found.splits['test'][1]
    assert [one.path for one in check_readable(found).rejected] == [str(path)]
    assert [one.path for one in open_labelled('FMoW', root=folder).rejected] == [str(path)]


def test_what_is_not_there(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingPathError):
        open_labelled('FMoW', root=tmp_path / 'none')
    with pytest.raises(ConfigError, match='holds of fMoW: nothing'):
        open_labelled('FMoW', root=tmp_path)
    with pytest.raises(ConfigError, match='its images say their own'):
        open_labelled('FMoW', root=folder, gsd=1)
    with pytest.raises(ConfigError, match=r'splits a\.csv does not go with FMoW'):
        open_labelled('FMoW', root=folder, splits='a.csv')
