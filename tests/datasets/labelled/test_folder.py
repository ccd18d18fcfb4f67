"""Folders of labelled images: what is found, what a sample holds, what is refused."""

import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from xscale.datasets.labelled import check_readable, open_labelled
from xscale.errors import ConfigError, MissingPathError, UnusableError

from ...data.labelled.data import CLASSES, pixels, write_photo, write_photos, write_tiffs
from ...data.stack.data import write_raster

AID = Path(__file__).parents[4] / 'shared/data/classification/aid10_150px'


def test_photos(tmp_path: Path) -> None:
    found = open_labelled(write_photos(tmp_path / 'sites'))
    assert (found.name, found.classes, found.bands) == ('sites', CLASSES, ('red', 'green', 'blue'))
    assert (found.dtype, found.multilabel, found.rejected) == ('uint8', False, [])
    assert list(found.splits) == ['train', 'test']
    train = found.splits['train']
    assert train.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert train.labels.dtype == torch.int64
    assert train.names[3] == str(tmp_path / 'sites/train/forest/0.png')
    sample = train[4]
    assert torch.equal(sample['image'], torch.from_numpy(pixels(11).astype(np.float32)))
    assert sample['valid'].shape == (1, 12, 12)
    assert sample['valid'].all()
    assert sample['gsd'].dtype == torch.float32
    assert sample['gsd'].isnan()
    assert sample['footprint'].dtype == torch.float64
    assert sample['footprint'].isnan().all()
    assert sample['label'] == 1
    assert any('12 of 12 images are JPEG or PNG' in note for note in found.notes)


def test_tiffs(tmp_path: Path) -> None:
    found = open_labelled(write_tiffs(tmp_path))
    assert list(found.splits) == ['train', 'val', 'test']
    assert (found.bands, found.dtype) == (('B02', 'B03', 'B04', 'B08'), 'uint16')
    assert found.notes == []
    first, second = found.splits['train'][0], found.splits['train'][1]
    assert torch.equal(first['image'], torch.from_numpy(pixels(0, 12, 4, 4000).astype(np.float32)))
    assert first['gsd'] == 10
    west, south, east, north = first['footprint'].tolist()
    assert 14.99 < west < east < 15.01
    assert 47.84 < south < north < 47.86
    assert second['footprint'][0] > east


def test_bands_are_chosen_by_any_name(tmp_path: Path) -> None:
    write_tiffs(tmp_path)
    whole = open_labelled(tmp_path).splits['test'][0]['image']
    for bands in (['red', 'nir'], ['B4', 'B8'], ['3', '4']):
        found = open_labelled(tmp_path, bands=bands)
        assert found.bands == ('B04', 'B08')
        assert torch.equal(found.splits['test'][0]['image'], whole[[2, 3]])
    photos = open_labelled(write_photos(tmp_path / 'photos'), bands=['blue', 'red'])
    assert photos.bands == ('blue', 'red')
    expected = torch.from_numpy(pixels(0).astype(np.float32)[[2, 0]])
    assert torch.equal(photos.splits['train'][0]['image'], expected)


def test_a_band_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r'\.TIF: no band swir16: its bands are B02, .*--bands'):
        open_labelled(write_tiffs(tmp_path), bands=['red', 'swir16'])
    with pytest.raises(ConfigError, match='no band nir: its bands are red, green, blue'):
        open_labelled(write_photos(tmp_path / 'photos'), bands=['nir'])
    with pytest.raises(ConfigError, match='a list of names is needed'):
        open_labelled(tmp_path, bands='red')


def test_a_given_gsd_counts_where_files_do_not_say(tmp_path: Path) -> None:
    photos = open_labelled(write_photos(tmp_path / 'photos'), gsd=0.5)
    assert photos.splits['test'][0]['gsd'] == 0.5
    assert any('0.5 m is taken' in note for note in photos.notes)
    assert open_labelled(write_tiffs(tmp_path / 'tiffs'), gsd=0.5).splits['test'][0]['gsd'] == 10
    with pytest.raises(ConfigError, match='gsd 0: metres per pixel are needed'):
        open_labelled(tmp_path / 'photos', gsd=0)


def test_a_fingerprint_tells_files_order_and_bands(tmp_path: Path) -> None:
    write_photos(tmp_path)

    def print_of(**options: object) -> str:
        return open_labelled(tmp_path, **options).splits['test'].fingerprint

    first = print_of()
    assert first == print_of()
    assert int(first, 16) > 0
    assert len({first, print_of(bands=['red']), print_of(bands=['green']), print_of(gsd=1)}) == 4
    split = open_labelled(tmp_path).splits['test']
    assert split.keep([1, 0, 2, 3, 4, 5]).fingerprint != first
    os.utime(tmp_path / 'test/desert/0.png', ns=(1, 1))
    assert print_of() != first


def test_what_is_passed_over_is_told(tmp_path: Path) -> None:
    write_photos(tmp_path)
    (tmp_path / 'train/desert/Thumbs.db').touch()
    (tmp_path / 'train/desert/._0.png').touch()
    (tmp_path / 'train/desert/more').mkdir()
    (tmp_path / 'train/lake').mkdir()
    found = open_labelled(tmp_path)
    assert len(found.splits['train']) == 6
    assert any('1 .db, 1 folders' in note for note in found.notes)
    assert any('without an image: train/lake' in note for note in found.notes)
    assert 'lake' not in found.classes


def test_samples_load_in_workers(tmp_path: Path) -> None:
    split = open_labelled(write_tiffs(tmp_path)).splits['train']
    loaded = next(iter(DataLoader(split, batch_size=4, num_workers=1)))
    assert loaded['image'].shape == (4, 4, 12, 12)
    assert torch.equal(pickle.loads(pickle.dumps(split))[0]['image'], split[0]['image'])
    Path(split.names[1]).write_bytes(b'')
    with pytest.raises(UnusableError, match=r'desert/1\.TIF is empty'):
        next(iter(DataLoader(split, batch_size=4, num_workers=1)))


def test_broken_images_are_named_and_left_out(tmp_path: Path) -> None:
    write_photos(tmp_path, suffix='.jpg', each=4)
    cut, empty, web = (tmp_path / f'train/desert/{n}.jpg' for n in (0, 1, 2))
    cut.write_bytes(cut.read_bytes()[:-40])
    empty.write_bytes(b'')
    web.write_text('<html>please log in</html>')
    found = open_labelled(tmp_path)
    assert len(found.splits['train']) == 8
    with pytest.raises(UnusableError, match=r'desert/0\.jpg is cut short.*bring it back'):
        found.splits['train'][0]
    left = check_readable(found)
    assert left is found
    reasons = {Path(one.path): one.reason for one in found.rejected}
    assert reasons == {
        cut: 'is cut short: the end of the JPEG is missing',
        empty: 'is empty',
        web: 'is no JPEG: it does not begin as one does',
    }
    assert found.splits['train'].labels.tolist() == [0, 1, 1, 1, 1]
    assert torch.equal(found.splits['train'][0]['label'], torch.tensor(0))
    assert all(sample['image'].isfinite().all() for sample in found.splits['train'])


def test_other_files_than_most_are_left_out(tmp_path: Path) -> None:
    write_tiffs(tmp_path, each=4)
    write_tiffs(tmp_path / 'odd', each=1, bands=3)
    shutil.move(tmp_path / 'odd/test/desert/0.TIF', tmp_path / 'training/desert/0.TIF')
    write_photo(tmp_path / 'training/forest/9.jpg')
    shutil.rmtree(tmp_path / 'odd')
    found = check_readable(open_labelled(tmp_path))
    assert found.bands == ('B02', 'B03', 'B04', 'B08')
    assert [Path(one.path).name for one in found.rejected] == ['0.TIF', '9.jpg']
    assert 'has the bands B02, B03, B04 where most have' in found.rejected[0].reason


def test_chosen_bands_may_be_spelled_otherwise(tmp_path: Path) -> None:
    write_tiffs(tmp_path)
    values = pixels(9, bands=2, top=4000)
    write_raster(tmp_path / 'test/forest/9.tif', values, names=('Red', 'Blue'))
    assert len(check_readable(open_labelled(tmp_path)).rejected) == 1
    found = check_readable(open_labelled(tmp_path, bands=['blue', 'red']))
    assert found.rejected == []
    assert found.bands == ('B02', 'B04')
    expected = torch.from_numpy(values[[1, 0]].astype(np.float32))
    assert torch.equal(found.splits['test'][4]['image'], expected)
    write_raster(tmp_path / 'test/forest/8.tif', values.astype(np.float32), names=('Red', 'Blue'))
    found = check_readable(open_labelled(tmp_path, bands=['blue', 'red']))
    assert [one.reason for one in found.rejected] == ['holds float32 where most hold uint16']


def test_nothing_is_left(tmp_path: Path) -> None:
    write_photos(tmp_path)
    for number in range(3):
        (tmp_path / f'train/desert/{number}.png').write_bytes(b'')
    found = open_labelled(tmp_path)
    with pytest.raises(ConfigError, match=r'all of one class \(forest\)(.|\n)*0\.png: is empty'):
        check_readable(found)


def test_every_image_is_broken(tmp_path: Path) -> None:
    write_photos(tmp_path)
    for path in tmp_path.rglob('*.png'):
        path.write_bytes(b'')
    with pytest.raises(ConfigError, match=r'none of 12 images .* can be read, such as .*is empty'):
        open_labelled(tmp_path)


@pytest.mark.parametrize(
    ('gone', 'message'),
    [
        (['train/forest', 'test/forest'], r'all of one class \(desert\)'),
        (['test'], 'no image in test'),
        (['train/desert', 'train/forest'], r'no image in train \(train 0, test 6\)'),
        (['train', 'test'], r'holds nothing, but no splits.*train/<class>/.*split\.csv'),
    ],
)
def test_what_cannot_be_evaluated(tmp_path: Path, gone: list[str], message: str) -> None:
    write_photos(tmp_path)
    for name in gone:
        shutil.rmtree(tmp_path / name)
        if '/' in name:
            (tmp_path / name).mkdir()
    with pytest.raises(ConfigError, match=message):
        open_labelled(tmp_path)


def test_a_class_to_test_on_alone(tmp_path: Path) -> None:
    write_photo(write_photos(tmp_path) / 'test/lake/0.png')
    with pytest.raises(ConfigError, match='test holds classes of which train holds no image: lake'):
        open_labelled(tmp_path)


def test_two_folders_of_one_split(tmp_path: Path) -> None:
    write_photos(tmp_path)
    shutil.copytree(tmp_path / 'test', tmp_path / 'Training')
    with pytest.raises(ConfigError, match='several folders of train: Training, train'):
        open_labelled(tmp_path)


def test_the_folder_above_or_below_is_meant(tmp_path: Path) -> None:
    write_photos(tmp_path / 'set')
    with pytest.raises(ConfigError, match=rf'no splits \(is {tmp_path}/set meant, of which'):
        open_labelled(tmp_path / 'set/train')
    with pytest.raises(ConfigError, match=rf'no splits \(is {tmp_path}/set meant\?\)'):
        open_labelled(tmp_path)


def test_a_split_file_beside_folders_of_splits(tmp_path: Path) -> None:
    write_photos(tmp_path)
    (tmp_path / 'split.csv').write_text('path,split\ntrain/desert/0.png,train\n')
    found = open_labelled(tmp_path)
    assert len(found.splits['train']) == 6
    assert any('split.csv is not read' in note for note in found.notes)


def test_paths_that_lead_nowhere(tmp_path: Path) -> None:
    with pytest.raises(MissingPathError):
        open_labelled(tmp_path / 'nothing')
    with pytest.raises(MissingPathError):
        open_labelled('./nothing')
    with pytest.raises(ConfigError, match='is a file'):
        open_labelled(write_photo(tmp_path / 'one.png'))
    with pytest.raises(ConfigError, match='root data does not go with'):
        open_labelled(write_photos(tmp_path / 'photos'), root='data')


@pytest.mark.skipif(not AID.is_dir(), reason='the real images are not here')
def test_real_images() -> None:
    found = check_readable(open_labelled(AID))
    assert {name: len(split) for name, split in found.splits.items()} == {
        'train': 1100,
        'test': 900,
    }
    assert len(found.classes) == 10
    assert found.rejected == []
    sample = found.splits['test'][899]
    assert sample['image'].shape == (3, 150, 150)
    assert found.classes[int(sample['label'])] in found.splits['test'].names[899]
