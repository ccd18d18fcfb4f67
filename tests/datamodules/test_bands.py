"""Bands by number, as YAML has numbers."""

from pathlib import Path
from typing import Any

import pytest
from jsonargparse import ArgumentParser
from torchgeo.datamodules import BaseDataModule

import xscale.datamodules

from ..data.labelled.data import write_photos
from ..data.masked.data import write_masked

FOLDERS = {'LabelledDataModule': write_photos, 'MaskedDataModule': write_masked}


def parsed(name: str, **settings: Any) -> Any:
    parser = ArgumentParser()
    parser.add_subclass_arguments(BaseDataModule, 'data')
    chosen = {'class_path': f'xscale.datamodules.{name}', 'init_args': settings}
    return parser.instantiate(parser.parse_object({'data': chosen})).data


@pytest.mark.parametrize('name', FOLDERS)
def test_are_chosen(name: str, tmp_path: Path) -> None:
    folder = FOLDERS[name](tmp_path)
    several = parsed(name, data=str(folder), bands=[3, 1])
    several.setup('fit')
    named = parsed(name, data=str(folder), bands=['blue', 'red'])
    named.setup('fit')
    sample = several.val_dataset[0]['image']
    assert sample.shape[0] == 2
    assert sample.equal(named.val_dataset[0]['image'])


@pytest.mark.parametrize('name', ['CrossScaleDataModule', 'FMoWDataModule'])
def test_are_understood(name: str) -> None:
    assert name in xscale.datamodules.__all__
    data = parsed(name, paths='x', bands=[1, '2', 'nir'])
    assert data.hparams['bands'] == [1, '2', 'nir']


def test_of_rasters(stack: Path) -> None:
    data = parsed('CrossScaleDataModule', paths=str(stack / 'naip'), bands=[2], tile_size=32)
    data.setup('fit')
    assert data.contract['bands'] == ['2']
