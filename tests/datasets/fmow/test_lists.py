"""Lists of images and their categories."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from xscale.datasets import FMoW
from xscale.datasets.fmow.classes import CLASSES
from xscale.errors import ConfigError, NoImagesError

from ...data.fmow.data import TIMES, bounds, write_list
from .images import reasons


def test_a_list(fmow: Path) -> None:
    dataset = FMoW(fmow / 'cut', gsd=2.5)
    assert [dataset.classes[sample['label']] for sample in dataset] == [
        *('airport', 'airport', 'fountain', 'zoo')
    ]
    assert dataset[0]['image'].shape == (3, 64, 64)
    assert dataset.images.location.tolist() == [0, 0, 1, 2]
    assert np.datetime64(int(dataset[1]['time']), 's') == np.datetime64(TIMES[1].rstrip('Z'))
    (path,) = (fmow / 'cut').glob('val*.csv')
    assert FMoW(path, gsd=1.0).images.path(0).startswith(str(fmow / 'cut' / 'fmow' / 'val'))


def test_a_list_without_metadata_needs_a_gsd(fmow: Path) -> None:
    with pytest.raises(NoImagesError, match=r'of unknown gsd.*give the gsd of all images'):
        FMoW(fmow / 'cut')


def test_a_list_by_the_order_of_its_columns(fmow: Path, tmp_path: Path) -> None:
    """Category by name or number, path from the root or from the list; and a gsd each."""
    image = fmow / 'cut' / 'fmow' / 'val' / 'zoo' / 'zoo_3' / 'zoo_3_0_rgb.jpg'
    shutil.copy(image, tmp_path / 'here.jpg')
    rows = [
        {'label': 'zoo', 'file': image, 'gsd': 0.5},
        {'label': 60, 'file': 'here.jpg', 'gsd': 2},
    ]
    dataset = FMoW(write_list(tmp_path / 'some.csv', rows))
    assert [dataset.classes[sample['label']] for sample in dataset] == ['zoo', 'wind_farm']
    assert [float(sample['gsd']) for sample in dataset] == [0.5, 2]
    assert dataset.images.location.tolist() == [0, 1]


def test_a_list_of_images_with_metadata(fmow: Path, tmp_path: Path) -> None:
    """Of the whole images, or of smaller copies: gsd, boxes and place are known."""
    image = fmow / 'rgb' / 'train' / 'zoo' / 'zoo_3' / 'zoo_3_0_rgb.jpg'
    rows = [{'category': 'park', 'image_path': image}]
    (sample,) = FMoW(write_list(tmp_path / 'train.csv', rows))
    assert CLASSES[sample['label']] == 'park'
    assert float(sample['gsd']) == pytest.approx(1.1)
    torch.testing.assert_close(sample['footprint'], torch.tensor(bounds('zoo_3')).double())


def test_what_a_list_cannot_name(fmow: Path, tmp_path: Path) -> None:
    image = fmow / 'rgb' / 'train' / 'zoo' / 'zoo_3' / 'zoo_3_0_rgb.jpg'
    for name in ('a', 'b'):
        shutil.copy(image, tmp_path / f'{name}.jpg')
    (tmp_path / 'c.png').write_bytes(b'?')
    names = ['castle', 62, 'zoo', 'zoo', 'zoo']
    files = ['a.jpg', 'b.jpg', 'lost.jpg', 'c.png', image]
    rows = [{'category': n, 'image_path': f} for n, f in zip(names, files, strict=True)]
    dataset = FMoW(write_list(tmp_path / 'x.csv', rows))
    assert len(dataset) == 1
    assert reasons(dataset) == {
        'a.jpg': "has the category 'castle', which is none of fMoW",
        'b.jpg': "has the category '62', which is none of fMoW",
        'lost.jpg': 'is not there',
        'c.png': 'is not called .jpg or .tif: only JPEG and GeoTIFF are read',
    }


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('path\nx.jpg\n', 'has the one column path; a list needs two with a header'),
        ('category,image_path\n', 'holds no image'),
        ('', 'cannot be read as a list'),
        ('a,b\n"', 'cannot be read as a list'),
    ],
)
def test_a_list_that_is_none(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / 'x.csv').write_text(text)
    with pytest.raises((ConfigError, NoImagesError), match=message):
        FMoW(tmp_path / 'x.csv')
