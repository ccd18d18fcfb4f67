"""Split files: what they may say, and what is refused."""

import shutil
from pathlib import Path

import pytest
import torch

from xscale.datasets.labelled import open_labelled
from xscale.errors import ConfigError, MissingPathError

from ...data.labelled.data import CLASSES, write_photo


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in CLASSES:
        for number in range(3):
            write_photo(tmp_path / 'set' / name / f'{number}.png', number)
    return tmp_path / 'set'


def write(folder: Path, *rows: str, header: str = 'path,split', name: str = 'split.csv') -> Path:
    file = folder / name
    file.write_text('\n'.join((header, *rows)) + '\n')
    return file


ROWS = ('desert/0.png,train', 'forest/0.png,Training', 'desert/1.png,test', 'forest/2.png,TEST')


@pytest.mark.parametrize('name', ['split.csv', 'splits.csv'])
def test_classes_of_folders(folder: Path, name: str) -> None:
    write(folder, *ROWS, 'forest/1.png,valid', name=name)
    found = open_labelled(folder)
    assert found.classes == CLASSES
    assert {split: one.labels.tolist() for split, one in found.splits.items()} == {
        'train': [0, 1],
        'val': [1],
        'test': [0, 1],
    }
    assert found.splits['test'].names[1] == str(folder / 'forest/2.png')


def test_a_file_from_elsewhere_counts_before_folders(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, folder / 'train')
    file = write(tmp_path, *ROWS, name='mine.csv')
    assert len(open_labelled(folder, splits=file).splits['train']) == 2
    with pytest.raises(MissingPathError):
        open_labelled(folder, splits=tmp_path / 'none.csv')


def test_labels(folder: Path) -> None:
    rows = ('desert/0.png,train,hot', 'desert/1.png,train,cold', 'forest/0.png,test,cold')
    write(folder, *rows, header='Path, Split, Label')
    found = open_labelled(folder)
    assert found.classes == ('cold', 'hot')
    assert found.splits['train'].labels.tolist() == [1, 0]


def test_several_labels(folder: Path) -> None:
    rows = ('desert/0.png,train,hot;dry', 'desert/1.png,train,dry', 'forest/0.png,test,wet; hot')
    write(folder, *rows, header='path,split,label')
    found = open_labelled(folder)
    assert found.multilabel
    assert found.classes == ('dry', 'hot', 'wet')
    assert found.splits['train'].labels.dtype == torch.bool
    assert found.splits['train'].labels.tolist() == [[True, True, False], [True, False, False]]
    assert found.splits['test'][0]['label'].tolist() == [False, True, True]


@pytest.mark.parametrize(
    ('row', 'header', 'message'),
    [
        ('desert/7.png,test', 'path,split', r"no such file(.|\n)*row 6: 'desert/7.png'"),
        ('desert/2.png,dev', 'path,split', r"no split is called so \(train.*row 6: 'dev'"),
        ('desert/0.png,test', 'path,split', 'a path that came before'),
        ('desert/0.gif,test', 'path,split', r'only \.jpg'),
        ('', 'path,part', 'has the columns path, part; path and split are needed'),
        ('', 'path,split,weight', 'no other'),
    ],
)
def test_faults(folder: Path, row: str, header: str, message: str) -> None:
    rows = ROWS if header == 'path,split' else [f'{one},1' * header.count(',') for one in ROWS]
    write(folder, *rows, row, header=header)
    with pytest.raises(ConfigError, match=f'(?s){message}'):
        open_labelled(folder)


def test_rows_without_a_class(folder: Path) -> None:
    write_photo(folder / 'loose.png')
    write(folder, *ROWS, 'loose.png,train')
    with pytest.raises(ConfigError, match=r'(?s)its class is not known.*loose\.png'):
        open_labelled(folder)
    write(folder, 'desert/0.png,train,', header='path,split,label')
    with pytest.raises(ConfigError, match='a class is needed'):
        open_labelled(folder)


def test_files_that_are_none(folder: Path) -> None:
    write(folder)
    with pytest.raises(ConfigError, match='names no image'):
        open_labelled(folder)
    (folder / 'split.csv').write_bytes(b'\xff\xfe\x00\x81')
    with pytest.raises(ConfigError, match='cannot be read as a CSV'):
        open_labelled(folder)
