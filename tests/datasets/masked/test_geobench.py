"""Segmentation tasks of GEO-Bench: images, masks and metres of HDF5, and what is left out."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from xscale.datamodules import MaskedDataModule
from xscale.errors import ConfigError

from ...data.geobench.data import SIDE, write_task

MASK = torch.arange(SIDE**2).reshape(SIDE, SIDE) % 3


def opened(folder: Path, **settings: object) -> MaskedDataModule:
    module = MaskedDataModule(str(folder), tile_size=16, batch_size=2, **settings)  # type: ignore
    module.setup('validate')
    return module


@pytest.mark.parametrize('kind', ['SegmentationClasses', 'SemanticSegmentation'])
def test_a_task(kind: str, tmp_path: Path) -> None:
    module = opened(write_task(tmp_path / 'm-tiny', label=kind, classes=3), bands=['red', 'nir'])
    assert module.classes == ('a', 'b', 'c')
    assert {name: len(some) for name, some in module.opened().splits.items()} == {
        'train': 6,
        'val': 2,
        'test': 4,
    }
    assert module.contract['bands'] == ['B04', 'B08']
    assert module.val_dataset is not None
    sample = module.val_dataset[1]
    # Sample 7; a tile is larger than it.
    assert sample['image'][:, 0, 0].tolist() == [703, 707]
    assert sample['valid'].sum() == SIDE**2
    assert torch.equal(sample['mask'][:SIDE, :SIDE], MASK)
    assert (sample['mask'][SIDE:] == 255).all()
    assert sample['gsd'] == 10
    west, south, east, north = sample['footprint'].tolist()
    assert 14.99 < west < east < 15.01
    assert 47.84 < south < north < 47.86


def test_metres_that_are_stated_wrongly(tmp_path: Path) -> None:
    folder = write_task(tmp_path / 'm-cashew-plant', 'SpectralBand', 'SegmentationClasses')
    module = opened(folder)
    assert module.val_dataset is not None
    assert module.val_dataset[0]['gsd'] == 10
    assert 'its images are of 10 m, where the task states 0.1 m' in module.summary()


def test_labels_of_another_size_are_left_out(tmp_path: Path) -> None:
    folder = write_task(tmp_path / 'task', 'SpectralBand', 'SegmentationClasses')
    with h5py.File(folder / 'id_0000.hdf5', 'r+') as file:
        del file['label']
        file['label'] = np.zeros((SIDE, SIDE + 1), np.uint8)
    module = opened(folder)
    (rejected,) = module.opened().rejected
    assert rejected.path.endswith('id_0000.hdf5')
    assert 'a label of (8, 9) for an image of (8, 8) pixels' in rejected.reason
    for path in folder.glob('*.hdf5'):
        path.unlink()
    with pytest.raises(ConfigError, match=r'no sample that can be used: .*id_0000'):
        opened(folder)


def test_what_does_not_go_with_a_task(tmp_path: Path) -> None:
    folder = write_task(tmp_path / 'task', 'SpectralBand', 'SegmentationClasses')
    with pytest.raises(ConfigError, match=r'classes .* does not go with'):
        opened(folder, classes=['a', 'b'])
