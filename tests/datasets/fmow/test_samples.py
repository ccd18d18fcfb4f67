"""What a sample of fMoW holds, and what is made of it."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader
from torchgeo.datasets import NonGeoDataset, RGBBandsMissingError

from xscale.datasets import FMoW
from xscale.datasets.fmow.classes import CLASSES
from xscale.errors import ConfigError

from ...data.fmow.data import PLACES, TIMES, bounds, gradient
from .images import near


def test_the_classes() -> None:
    assert len(CLASSES) == len(set(CLASSES)) == 62
    assert list(CLASSES) == sorted(CLASSES)
    assert (CLASSES[0], CLASSES[30], CLASSES[61]) == ('airport', 'multi-unit_residential', 'zoo')


def test_a_sample(fmow: Path) -> None:
    dataset = FMoW(fmow / 'rgb')
    assert isinstance(dataset, NonGeoDataset)
    assert len(dataset) == 7
    assert dataset.rejected == ()
    sample = dataset[4]
    found = {name: (tuple(value.shape), value.dtype) for name, value in sample.items()}
    assert found == {
        'image': ((3, 66, 98), torch.float32),
        'valid': ((1, 66, 98), torch.bool),
        'label': ((), torch.int64),
        'gsd': ((), torch.float32),
        'footprint': ((4,), torch.float64),
        'location': ((), torch.int64),
        'time': ((), torch.float64),
        'row': ((), torch.int64),
        'sensor': ((), torch.int64),
        'unreadable': ((), torch.bool),
    }
    near(sample['image'], gradient(98, 66))
    assert sample['valid'].all()
    assert dataset.classes[sample['label']] == 'fountain'
    assert float(sample['gsd']) == pytest.approx(0.468074887991)
    torch.testing.assert_close(sample['footprint'], torch.tensor(bounds('fountain_514')).double())
    assert np.datetime64(int(sample['time']), 's') == np.datetime64(TIMES[0].rstrip('Z'))
    assert dataset.images.path(int(sample['row'])).endswith('fountain_514_0_rgb.jpg')
    assert not sample['unreadable']


def test_each_image_has_its_own_gsd_and_label(fmow: Path) -> None:
    dataset = FMoW(fmow / 'rgb')
    for sample in dataset:
        place = Path(dataset.images.path(int(sample['row']))).parent.name
        assert float(sample['gsd']) == pytest.approx(PLACES[place][1])
        assert dataset.classes[sample['label']] == place.rsplit('_', 1)[0]


def test_dates_of_a_location(fmow: Path) -> None:
    dataset = FMoW(fmow / 'rgb')
    location = [int(sample['location']) for sample in dataset]
    assert location == [0, 0, 0, 1, 2, 2, 3]
    # The three dates are numbered in no order of time.
    assert dataset.sequence(0) == dataset.sequence(2) == [1, 0, 2]
    assert dataset.sequence(6) == [6]


def test_given_statistics(fmow: Path) -> None:
    assert FMoW(fmow / 'rgb').sensors[0].mean == pytest.approx((110.65, 111.13, 103.9), abs=0.01)
    given = FMoW(fmow / 'rgb', bands=['blue'], mean=[1.0], std=[2.0]).sensors[0]
    assert (given.bands, given.mean, given.std) == (('blue',), (1.0,), (2.0,))
    with pytest.raises(ConfigError, match='one number for each of the 1 bands'):
        FMoW(fmow / 'rgb', bands=['blue'], mean=[1.0, 2.0], std=[2.0, 3.0])


def test_transforms_and_workers(fmow: Path) -> None:
    dataset = FMoW(fmow / 'rgb', size=16, transforms=lambda s: {'image': -s['image']})
    plain = FMoW(fmow / 'rgb', size=16)
    assert torch.equal(dataset[0]['image'], -plain[0]['image'])
    alone, together = (list(DataLoader(plain, 3, num_workers=count)) for count in (0, 2))
    torch.testing.assert_close(alone, together, rtol=0, atol=0)
    copy = pickle.loads(pickle.dumps(plain))
    torch.testing.assert_close(copy[2], plain[2], rtol=0, atol=0)


def test_plot(fmow: Path) -> None:
    dataset = FMoW(fmow / 'rgb', size=16)
    sample = dataset[0]
    figure = dataset.plot({**sample, 'prediction': torch.tensor(61)}, suptitle='above')
    assert figure.axes[0].get_title() == 'airport, 3.9 m\npredicted: zoo'
    assert figure.get_suptitle() == 'above'
    several = FMoW(fmow / 'rgb', 'test', multilabel=True, false_detections=True)
    title = several.plot(several[0]).axes[0].get_title()
    assert title == 'zoo, false_detection, 1.1 m'
    assert not dataset.plot(sample, show_titles=False).axes[0].get_title()
    sentinel = FMoW(fmow / 'sentinel')
    shown = sentinel.plot(sentinel[0]).axes[0].images[0].get_array()
    assert shown.shape == (45, 60, 3)
    assert 0.9 < shown.max() <= 1
    with pytest.raises(RGBBandsMissingError):
        FMoW(fmow / 'sentinel', bands=['nir']).plot(sample)
