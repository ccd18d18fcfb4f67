"""Labels: those that came later, false detections, and several of an image."""

import shutil
from pathlib import Path

import pytest
import torch

from xscale.datasets import FMoW
from xscale.errors import ConfigError, NoImagesError

from ...data.fmow.data import bounds
from .images import one


def test_labels_that_came_later(fmow: Path) -> None:
    """The images of test are labelled in another folder, by a mapping."""
    dataset = FMoW(fmow / 'rgb', 'test')
    assert [dataset.classes[sample['label']] for sample in dataset] == ['zoo', 'zoo']
    assert dataset.images.path(0).endswith('test/0011978/0011978_0_rgb.jpg')
    assert dataset.images.location.tolist() == [0, 0]
    torch.testing.assert_close(dataset[0]['footprint'], torch.tensor(bounds('zoo_3')).double())


def test_without_those_labels(fmow: Path, tmp_path: Path) -> None:
    shutil.copytree(fmow / 'rgb' / 'test', tmp_path / 'test')
    with pytest.raises(NoImagesError, match='no category in its metadata; of test and seq they'):
        FMoW(tmp_path, 'test')


def test_false_detections(fmow: Path) -> None:
    plain = FMoW(fmow / 'rgb', 'test', crop='box')
    every = FMoW(fmow / 'rgb', 'test', crop='box', false_detections=True)
    assert (len(plain.classes), len(every.classes)) == (62, 63)
    assert [plain.classes[sample['label']] for sample in plain] == ['zoo'] * 2
    named = [every.classes[sample['label']] for sample in every]
    assert named == ['zoo', 'false_detection'] * 2
    assert every[0]['image'].shape != every[1]['image'].shape


def test_an_image_of_nothing_but_a_false_detection(tmp_path: Path) -> None:
    wrong = {'ID': 1, 'category': 'false_detection', 'box': [1, 2, 30, 40]}
    folder = one(tmp_path, bounding_boxes=wrong)
    for crop in ('image', 'box'):
        assert FMoW(folder, crop=crop, false_detections=True)[0]['label'] == 62
    with pytest.raises(ConfigError, match='only false detections; set false_detections: true'):
        FMoW(folder)
    with pytest.raises(ConfigError, match='no box of a known category; try crop: image'):
        FMoW(folder, crop='box')


def test_labels_of_several_classes(fmow: Path) -> None:
    dataset = FMoW(fmow / 'rgb', 'test', multilabel=True, false_detections=True)
    label = dataset[0]['label']
    assert label.dtype == torch.int64
    assert label.nonzero().ravel().tolist() == [61, 62]
    plain = FMoW(fmow / 'rgb', 'test', multilabel=True)[0]['label']
    assert plain.shape == (62,)
    assert plain.nonzero().ravel().tolist() == [61]
    with pytest.raises(ConfigError, match='one of an image'):
        FMoW(fmow / 'rgb', multilabel=True, crop='box')
