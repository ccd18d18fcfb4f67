"""What cannot be used: paths, metadata and images, each with its reason."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from xscale.datasets import FMoW
from xscale.errors import ConfigError, MissingPathError, NoImagesError, UnknownNameError

from ...data.fmow.data import gradient, write_jpeg
from .images import one, reasons


def test_paths_that_hold_no_split(fmow: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingPathError):
        FMoW(tmp_path / 'nowhere')
    with pytest.raises(ConfigError, match=r'neither a folder seq nor a list seq\*.csv, but test,'):
        FMoW(fmow / 'rgb', 'seq')
    with pytest.raises(ConfigError, match='but nothing; give the folder'):
        FMoW(tmp_path)
    (tmp_path / 'train').mkdir()
    with pytest.raises(NoImagesError, match='train holds no image'):
        FMoW(tmp_path)
    for name in ('a', 'b'):
        (tmp_path / f'train_{name}.csv').write_text('a,b\n')
    with pytest.raises(ConfigError, match=r'several lists of train: train_a\.csv, train_b\.csv'):
        FMoW(tmp_path)
    with pytest.raises(UnknownNameError, match="unknown images 'full'; choose one of: msrgb, rgb"):
        FMoW(fmow / 'rgb', images='full')
    with pytest.raises(ConfigError, match='crop tree, multilabel False'):
        FMoW(fmow / 'rgb', crop='tree')
    (tmp_path / 'test').mkdir()
    (tmp_path / 'test_gt_mapping.json').write_text('[3]')
    with pytest.raises(ConfigError, match='is no mapping of folders to labels'):
        FMoW(tmp_path, 'test')


@pytest.mark.parametrize(
    ('changes', 'reason'),
    [
        ({'gsd': None}, 'says no gsd'),
        ({'gsd': 0}, '0 where a number above 0 is needed'),
        ({'gsd': 'fine'}, "is not that of fMoW: could not convert string to float: 'fine'"),
        ({'img_width': None}, 'says no img_width'),
        ({'bounding_boxes': [{'ID': 1}]}, 'says no box'),
        ({'bounding_boxes': [{'box': [1, 2, 3]}]}, 'where [x, y, width, height] is needed'),
        ({'bounding_boxes': [7]}, 'is not that of fMoW'),
        ({'bounding_boxes': []}, 'has no category in its metadata'),
        ({'bounding_boxes': {'category': 'castle', 'box': [1, 1, 9, 9]}}, "category 'castle'"),
    ],
)
def test_metadata_that_do_not_do(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(NoImagesError) as error:
        FMoW(one(tmp_path, **changes))
    assert reason in str(error.value)


@pytest.mark.parametrize('text', ['{', '[]', '3', '[' * 100_000, '\xff'])
def test_metadata_that_are_none(tmp_path: Path, text: str) -> None:
    folder = one(tmp_path)
    next(folder.rglob('*.json')).write_text(text, encoding='latin-1')
    with pytest.raises(NoImagesError, match=r'its metadata airport_0_0_rgb\.json'):
        FMoW(folder)


def test_images_that_cannot_be_used(fmow: Path, tmp_path: Path) -> None:
    shutil.copytree(fmow / 'rgb' / 'train', tmp_path / 'train')
    files = sorted(tmp_path.rglob('*.jpg'))
    files[0].write_bytes(b'')
    files[1].write_bytes(b'<html>' + bytes(100))
    files[2].write_bytes(files[2].read_bytes()[:-200])
    write_jpeg(files[3], gradient(90, 130)[:1])
    files[4].with_suffix('.json').unlink()
    files[5].unlink()
    dataset = FMoW(tmp_path)
    assert [path.name for path in files[6:]] == ['zoo_3_0_rgb.jpg']
    assert len(dataset) == 1
    found = reasons(dataset)
    assert [found[path.name] for path in files[:4]] == [
        'is empty',
        'is no JPEG: it does not begin as one does',
        'is cut short: the end of the JPEG is missing',
        'has 1 bands where 3 are needed',
    ]
    assert found[files[4].name].startswith('its metadata is not there: ')
    assert found[files[5].name] == 'is not there, but its metadata is'


def test_an_image_that_breaks_later(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its sample says so, and is empty; the reason is said once."""
    dataset = FMoW(one(tmp_path), size=16)
    dataset[0]
    path = next(tmp_path.rglob('*.jpg'))
    path.write_bytes(path.read_bytes()[:900])
    for _ in range(2):
        sample = dataset[0]
        assert sample['unreadable']
        assert not sample['valid'].any()
        assert not sample['image'].any()
    assert capsys.readouterr().err.count(f'cannot read {path} (is cut short') == 1
