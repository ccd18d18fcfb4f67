"""Tasks of GEO-Bench: labels, bands, places, and what is refused."""

import json
import pickle
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from xscale.datasets.labelled import check_readable, open_labelled
from xscale.errors import ConfigError

from ...data.geobench.data import SIDE, build, geobench, write_sample, write_task
from .test_unpickle import Calls


def edit(path: Path, **changes: Any) -> None:
    """Change what the first sample says of itself."""
    with h5py.File(path, 'r+') as file:
        file.attrs['pickle'] = str(pickle.dumps(changes))


def test_a_task(tmp_path: Path) -> None:
    found = open_labelled(write_task(tmp_path / 'm-tiny'))
    assert 'geobench' not in sys.modules
    assert (found.name, found.classes, found.multilabel) == ('m-tiny', ('a', 'b'), False)
    assert found.bands[:4] == ('B01', 'B02', 'B03', 'B04')
    assert found.bands[8] == 'B8A'
    assert len(found.bands) == 13
    assert found.dtype == 'float32'
    assert {name: len(split) for name, split in found.splits.items()} == {
        'train': 6,
        'val': 2,
        'test': 4,
    }
    test = found.splits['test']
    assert test.labels.tolist() == [0, 1, 0, 1]
    assert test.names[0] == str(tmp_path / 'm-tiny/id_0008.hdf5')
    sample = test[1]
    assert sample['image'].shape == (13, SIDE, SIDE)
    assert sample['image'][:, 0, 0].tolist() == [900 + band for band in range(13)]
    assert sample['valid'].all()
    assert sample['gsd'] == 10
    west, south, east, north = sample['footprint'].tolist()
    assert 14.99 < west < east < 15.01
    assert 47.84 < south < north < 47.86
    assert check_readable(found).rejected == []


def test_bands(tmp_path: Path) -> None:
    write_task(tmp_path / 'task')
    for wanted in (['red', 'nir'], ['B04', 'B8'], ['04 - Red', '08'], ['4', '8']):
        found = open_labelled(tmp_path / 'task', bands=wanted)
        assert found.bands == ('B04', 'B08')
        assert found.splits['train'][0]['image'][:, 0, 0].tolist() == [3, 7]
    with pytest.raises(ConfigError, match='task: no band lwir: its bands are B01'):
        open_labelled(tmp_path / 'task', bands=['red', 'lwir'])
    with pytest.raises(ConfigError, match='are one band'):
        open_labelled(tmp_path / 'task', bands=['red', 'B04'])


@pytest.mark.parametrize(
    ('sensor', 'names', 'gsd'),
    [
        ('Landsat8', ('blue', 'green', 'red', 'nir'), 15),
        ('SpectralBand', ('red', 'green', 'blue'), 0.1),
    ],
)
def test_other_sensors(tmp_path: Path, sensor: str, names: tuple[str, ...], gsd: float) -> None:
    found = open_labelled(write_task(tmp_path / 'task', sensor, placed=False, dtype='uint16'))
    assert found.bands == names
    assert found.dtype == 'uint16'
    sample = found.splits['train'][0]
    assert sample['gsd'] == torch.tensor(gsd)
    assert sample['footprint'].isnan().all()
    chosen = open_labelled(tmp_path / 'task', bands=['red'])
    assert chosen.splits['train'][0]['image'][0, 0, 0] == names.index('red')


def test_several_labels(tmp_path: Path) -> None:
    found = open_labelled(write_task(tmp_path / 't', label='MultiLabelClassification', classes=3))
    assert found.multilabel
    assert found.splits['train'].labels.dtype == torch.bool
    assert found.splits['train'].labels[:2].tolist() == [[True, False, True], [False, True, False]]


@pytest.mark.parametrize(
    ('task', 'wanted', 'channels'),
    [
        ('m-eurosat', ('B8A', 'B12', 'B11'), [12, 11, 10]),
        ('m-brick-kiln', ('B8A', 'B12', 'B11', 'TCI_R'), [6, 9, 8, 10]),
    ],
)
def test_names_that_were_published_wrong(
    tmp_path: Path, task: str, wanted: tuple[str, ...], channels: list[int]
) -> None:
    write_task(tmp_path / task)
    found = open_labelled(tmp_path / task, bands=wanted)
    assert found.splits['train'][0]['image'][:, 0, 0].tolist() == channels
    assert any('published with wrong names' in note for note in found.notes)
    if task == 'm-brick-kiln':
        with pytest.raises(ConfigError, match='no band B09'):
            open_labelled(tmp_path / task, bands=['B09'])


@pytest.mark.parametrize('label', ['SemanticSegmentation', 'Regression'])
def test_other_tasks_are_refused(tmp_path: Path, label: str) -> None:
    write_task(tmp_path / 'task', label=label)
    with pytest.raises(ConfigError, match=f'is a task of {label}'):
        open_labelled(tmp_path / 'task')


def test_a_hostile_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    task = write_task(tmp_path / 'task')
    (task / 'task_specs.pkl').write_bytes(pickle.dumps(Calls(open, 'ran', 'w')))
    with pytest.raises(ConfigError, match=r'task_specs\.pkl holds a pickle that is not read.*open'):
        open_labelled(task)
    assert not Path('ran').exists()


def test_hostile_and_broken_samples_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    task = write_task(tmp_path / 'task', 'SpectralBand')
    files = sorted(task.glob('*.hdf5'))
    edit(files[0], label=Calls(open, 'ran', 'w'))
    files[1].write_bytes(files[1].read_bytes()[:500])
    files[8].unlink()
    edit(files[9], label=7)
    found = open_labelled(task)
    reasons = {Path(one.path).name: one.reason for one in found.rejected}
    assert list(reasons) == ['id_0000.hdf5', 'id_0001.hdf5', 'id_0008.hdf5', 'id_0009.hdf5']
    assert 'is no part of GEO-Bench' in reasons['id_0000.hdf5']
    assert reasons['id_0001.hdf5'].startswith('cannot be read')
    assert reasons['id_0008.hdf5'] == 'is not there'
    assert 'does not fit the 2 classes' in reasons['id_0009.hdf5']
    assert not Path('ran').exists()
    assert len(found.splits['train']) == 4


def test_bands_in_other_files_are_not_opened(tmp_path: Path) -> None:
    task = write_task(tmp_path / 'task', 'SpectralBand')
    files = sorted(task.glob('*.hdf5'))
    with h5py.File(files[2], 'r+') as file:
        del file['Red']
        file['Red'] = h5py.ExternalLink(str(files[3]), 'Red')
    with h5py.File(files[4], 'r+') as file:
        del file['Green']
        raw = [(str(files[3]), 0, SIDE * SIDE * 4)]
        file.create_dataset('Green', (SIDE, SIDE), 'float32', external=raw)
    with h5py.File(files[5], 'r+') as file:
        del file['Blue']
        file.create_dataset('Blue', (100_000, 100_000), 'float32', chunks=(100, 100))
    found = check_readable(open_labelled(task))
    reasons = {Path(one.path).name: one.reason for one in found.rejected}
    assert 'is a link, which is not followed' in reasons['id_0002.hdf5']
    assert 'lies in another file' in reasons['id_0004.hdf5']
    assert 'promises 40 GB' in reasons['id_0005.hdf5']


def test_a_band_by_way_of_a_link_is_not_opened(tmp_path: Path) -> None:
    task = write_task(tmp_path / 'task', 'SpectralBand')
    files = sorted(task.glob('*.hdf5'))
    with geobench() as g:
        about = {'band_info': build(g.SpectralBand, name='Red')}
        edit(files[2], label=0, bands_order=['way/Red', 'Green', 'Blue'], **{'way/Red': about})
    with h5py.File(files[2], 'r+') as file:
        del file['Red']
        file['way'] = h5py.ExternalLink(str(files[3]), '/')
        assert file['way/Red'].shape == (SIDE, SIDE)
    assert [one.reason for one in open_labelled(task).rejected] == [
        'its band Red is at a path, which is not followed'
    ]


def test_coarser_bands_are_brought_to_the_finest(tmp_path: Path) -> None:
    task = write_task(tmp_path / 'task', 'SpectralBand')
    path = task / 'id_0000.hdf5'
    bands = {
        name: np.full((side, side), side) for name, side in (('Red', 4), ('Green', 8), ('Blue', 8))
    }
    about = {'Red': {'spatial_resolution': 20.0}, 'Green': {'spatial_resolution': 10.0}}
    write_sample(path, bands, 0, about)
    sample = open_labelled(task).splits['train'][0]
    assert sample['image'].shape == (3, 8, 8)
    assert sample['image'][:, 3, 3].tolist() == [4, 8, 8]
    assert sample['gsd'] == 10


def test_several_dates(tmp_path: Path) -> None:
    task = write_task(tmp_path / 'task', 'SpectralBand')
    values = {f'Red_2020-0{month}-01': np.zeros((4, 4)) for month in (1, 2)}
    with geobench() as g:
        info = {'band_info': build(g.SpectralBand, name='Red')}
        write_sample(task / 'id_0000.hdf5', values, 0, dict.fromkeys(values, info))
    found = open_labelled(task)
    assert [one.reason for one in found.rejected] == [
        'has the band Red of several dates; one is needed'
    ]


def test_partitions(tmp_path: Path) -> None:
    task = write_task(tmp_path / 'task', 'SpectralBand')
    partition = task / 'default_partition.json'
    partition.write_text(json.dumps({'train': ['../secret']}))
    with pytest.raises(ConfigError, match='is not in the folder of the task'):
        open_labelled(task)
    partition.write_text(json.dumps({'train': ['id_0000', 'id_0001']}))
    with pytest.raises(ConfigError, match='no image in test'):
        open_labelled(task)
    partition.write_text('[')
    with pytest.raises(ConfigError, match='cannot be read as a partition'):
        open_labelled(task)
    partition.unlink()
    with pytest.raises(ConfigError, match='cannot be read as a partition'):
        open_labelled(task)


def test_without_h5py(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = write_task(tmp_path / 'task', 'SpectralBand')
    monkeypatch.setitem(sys.modules, 'h5py', None)
    with pytest.raises(ConfigError, match='pip install h5py'):
        open_labelled(task)


def test_settings_that_do_nothing(tmp_path: Path) -> None:
    task = write_task(tmp_path / 'task', 'SpectralBand')
    with pytest.raises(ConfigError, match=r'splits x\.csv does not go with'):
        open_labelled(task, splits='x.csv')
