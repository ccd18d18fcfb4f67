"""Data sets of TorchGeo as labelled images, written small in their own layout."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torchgeo.datasets import NonGeoDataset

from xscale.datasets.labelled import check_readable, open_labelled
from xscale.errors import ConfigError

from ...data.labelled.data import pixels, write_photo
from ...data.stack.data import write_raster

CLASSES = ('Forest', 'River')


def write_eurosat(root: Path) -> Path:
    """Write EuroSAT with an image of each class in each split."""
    images = root / 'ds/images/remote_sensing/otherDatasets/sentinel_2/tif'
    for number, split in enumerate(('train', 'val', 'test')):
        names = []
        for place, name in enumerate(CLASSES):
            names.append(f'{name}_{number}.jpg')
            values = pixels(10 * number + place, bands=13, top=4000)
            write_raster(images / name / f'{name}_{number}.tif', values)
        (root / f'eurosat-{split}.txt').write_text('\n'.join(names))
    return root


def write_patternnet(root: Path, each: int = 10) -> Path:
    for name in CLASSES:
        for number in range(each):
            write_photo(root / f'PatternNet/images/{name}/{number}.jpg', number)
    return root


class Multi(NonGeoDataset):
    """Images of several classes, of which the data set lists no labels."""

    def __init__(self, root: str = 'data', split: str = 'train') -> None:
        self.split = split

    def __len__(self) -> int:
        return 5

    def __getitem__(self, index: int) -> dict[str, Any]:
        label = torch.tensor([index % 2, 1, 0])
        return {'image': torch.full((4, 6, 6), float(index) / 2), 'label': label}

    def plot(self) -> None:
        """Draw nothing."""


class Masks(Multi):
    def __getitem__(self, index: int) -> dict[str, Any]:
        return {'image': torch.zeros(3, 6, 6), 'mask': torch.zeros(6, 6)}


def test_eurosat(tmp_path: Path) -> None:
    found = open_labelled('EuroSAT', root=write_eurosat(tmp_path))
    assert (found.name, found.classes, found.dtype) == ('EuroSAT', CLASSES, 'uint16')
    assert found.bands[3] == 'B04'
    assert found.bands[12] == 'B8A'
    assert {name: split.labels.tolist() for name, split in found.splits.items()} == {
        'train': [0, 1],
        'val': [0, 1],
        'test': [0, 1],
    }
    sample = found.splits['test'][1]
    expected = torch.from_numpy(pixels(21, bands=13, top=4000).astype(np.float32))
    assert torch.equal(sample['image'], expected)
    assert sample['gsd'] == 10
    assert 14.99 < sample['footprint'][0] < 15.01
    assert found.splits['test'].names[1].endswith('River_2.tif')
    assert check_readable(found).rejected == []
    some = open_labelled('torchgeo.datasets.EuroSAT', root=tmp_path, bands=['red', 'B8A'])
    assert some.bands == ('B04', 'B8A')
    assert torch.equal(some.splits['test'][1]['image'], expected[[3, 12]])
    assert some.splits['test'].fingerprint != found.splits['test'].fingerprint
    with pytest.raises(ConfigError, match='EuroSAT: no band pan'):
        open_labelled('EuroSAT', root=tmp_path, bands=['pan'])


def test_a_broken_file_is_left_out(tmp_path: Path) -> None:
    write_eurosat(tmp_path)
    write_patternnet(tmp_path)
    broken = tmp_path / 'PatternNet/images/River/3.jpg'
    broken.write_bytes(broken.read_bytes()[:-30])
    found = check_readable(open_labelled('PatternNet', root=tmp_path))
    assert [one.path for one in found.rejected] == [str(broken)]


def test_a_set_without_splits_is_split_from_the_seed(tmp_path: Path) -> None:
    write_patternnet(tmp_path)
    found = open_labelled('PatternNet', root=tmp_path)
    assert found.bands == ('red', 'green', 'blue')
    assert found.dtype == 'uint8'
    train, test = found.splits['train'], found.splits['test']
    assert torch.bincount(train.labels).tolist() == [8, 8]
    assert torch.bincount(test.labels).tolist() == [2, 2]
    assert not set(train.names) & set(test.names)
    assert all(
        found.classes[int(sample['label'])] in name
        for sample, name in zip(test, test.names, strict=True)
    )
    assert any('20% of its images of each class are tested on (seed 0)' in n for n in found.notes)
    assert any('GSD of the images is not known' in note for note in found.notes)
    again, other = (open_labelled('PatternNet', root=tmp_path, seed=seed) for seed in (0, 1))
    assert again.splits['test'].names == test.names
    assert other.splits['test'].names != test.names
    given = open_labelled('PatternNet', root=tmp_path, gsd=2)
    assert given.splits['test'][0]['gsd'] == 2
    assert not any('GSD' in note for note in given.notes)


def test_labels_that_are_not_listed() -> None:
    found = open_labelled(f'{__name__}.Multi')
    assert found.multilabel
    assert found.splits['val'].labels.tolist() == [[i % 2 == 1, True, False] for i in range(5)]
    assert found.classes == ('0', '1', '2')
    assert found.bands == ('1', '2', '3', '4')
    assert found.dtype == 'uint8'
    assert found.splits['test'].names[4] == 'test 4'
    assert check_readable(found).rejected == []


def test_what_is_not_there(tmp_path: Path) -> None:
    root = tmp_path / 'none'
    with pytest.raises(ConfigError) as error:
        open_labelled('EuroSAT', root=root)
    assert str(error.value) == (
        f'EuroSAT is not in {root} (looked from {Path.cwd()})\nGive the folder it is in (--root '
        'DIR), or fetch it with Python: from torchgeo.datasets import EuroSAT; '
        f"[EuroSAT('{root}', split, download=True) for split in ('train', 'val', 'test')]"
    )
    with pytest.raises(ConfigError, match=r"PatternNet\('.*none', download=True\)"):
        open_labelled('PatternNet', root=root)
    with pytest.raises(ConfigError, match='get it by hand'):
        open_labelled('MillionAID', root=root)


def test_a_set_that_is_not_whole(tmp_path: Path) -> None:
    write_eurosat(tmp_path)
    (tmp_path / 'eurosat-test.txt').write_text('\n')
    with pytest.raises(ConfigError, match=r'or not whole: Found no valid file for the classes'):
        open_labelled('EuroSAT', root=tmp_path)


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('EuroSatt', 'did you mean EuroSAT'),
        ('fmow', 'did you mean FMoW'),
        ('resisc45', 'did you mean RESISC45'),
        ('qwxyz', r'such as EuroSAT, UCMerced, RESISC45, PatternNet, FMoW\.'),
        ('NAIP', 'no data set that is known'),
        ('torchgeo.datasets.Nothing', 'cannot be imported'),
        ('no.such.Module', 'cannot be imported'),
        ('torchgeo.datasets.NAIP', 'is no NonGeoDataset'),
        (f'{__name__}.Masks', 'a sample holds image, mask; an image'),
    ],
)
def test_names_that_are_none(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        open_labelled(name)
