"""fMoW: what a sample holds, in each layout, and what is left out."""

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader
from torchgeo.datasets import NonGeoDataset, RGBBandsMissingError

from xscale import geo
from xscale.datasets import FMoW
from xscale.datasets.fmow import scan as scanning
from xscale.datasets.fmow.classes import CLASSES, STATISTICS
from xscale.errors import (
    BandsNotFoundError,
    ConfigError,
    MissingPathError,
    NoImagesError,
    UnknownNameError,
)

from ..data.fmow.data import (
    CORNERS,
    PLACES,
    STEP,
    TIMES,
    bounds,
    gradient,
    write_image,
    write_jpeg,
    write_list,
    write_tiff,
)

#: JPEG keeps values to about this.
LOSS = 4


def near(a: torch.Tensor, b: Any, within: float = LOSS) -> None:
    torch.testing.assert_close(a, torch.as_tensor(b, dtype=a.dtype), atol=within, rtol=0)


def one(tmp_path: Path, **changes: Any) -> Path:
    """Write a data set of one image and return its folder."""
    place = changes.pop('place', 'airport_0')
    write_image(tmp_path / 'train' / place.rsplit('_', 1)[0] / place, place, 0, **changes)
    return tmp_path


def reasons(dataset: FMoW) -> dict[str, str]:
    return {Path(one.path).name: one.reason for one in dataset.rejected}


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


def test_the_real_fountain_is_measured() -> None:
    """Its metadata state 0.468 m; its 977 × 663 px are a square of 339 m, in steps of degrees."""
    box = np.array([[8.58083601179, 47.4475160925, 8.58532758821, 47.4505628631], [np.nan] * 4])
    width, height = geo.box_metres(box)[0]
    assert (width, height) == pytest.approx((338.74, 338.74), abs=0.01)
    assert (width / 977, height / 663) == pytest.approx((0.347, 0.511), abs=0.0005)
    assert np.isnan(geo.box_metres(box)[1]).all()


def test_measured_pixels_are_made_square(fmow: Path) -> None:
    dataset = FMoW(fmow / 'rgb', gsd='measured')
    sample = dataset[4]
    across = STEP * 111_320 * np.cos(np.radians(47.4477))
    assert sample['image'].shape == (3, 80, 81)
    assert float(sample['gsd']) == pytest.approx(0.4205, rel=1e-3)
    # Both sides of the image measure what they do on the ground.
    assert 81 * float(sample['gsd']) == pytest.approx(98 * across, rel=0.01)
    assert 80 * float(sample['gsd']) == pytest.approx(66 * STEP * 111_180, rel=0.01)
    cols = (torch.arange(81) + 0.5) * 98 / 81 - 0.5
    rows = (torch.arange(80) + 0.5) * 66 / 80 - 0.5
    near(sample['image'][0, 40], cols)
    near(sample['image'][1, :, 40], rows)
    torch.testing.assert_close(sample['footprint'], torch.tensor(bounds('fountain_514')).double())


def test_pixels_that_are_square_already_are_left_alone(fmow: Path) -> None:
    """At the equator a degree is one along both axes but for 0.7 %."""
    sample = FMoW(fmow / 'rgb', gsd='measured')[0]
    assert sample['image'].shape == (3, 120, 160)
    assert float(sample['gsd']) == pytest.approx(STEP * 110_950, rel=1e-3)


def test_a_gsd_for_all(fmow: Path) -> None:
    assert {float(sample['gsd']) for sample in FMoW(fmow / 'rgb', gsd=2.5)} == {2.5}


@pytest.mark.parametrize('gsd', ['truth', 0, -1.0, float('nan')])
def test_no_gsd(fmow: Path, gsd: Any) -> None:
    with pytest.raises(ConfigError, match=f'gsd .{"" if gsd != "truth" else "."}'):
        FMoW(fmow / 'rgb', gsd=gsd)


def test_measured_where_nothing_is_stated_and_the_other_way_round(tmp_path: Path) -> None:
    dataset = FMoW(one(tmp_path, raw_location=None), gsd='measured')
    assert float(dataset[0]['gsd']) == pytest.approx(0.52)


def test_an_image_that_was_made_smaller(fmow: Path) -> None:
    """Its pixels grew with it, and its boxes shrank."""
    full, half = FMoW(fmow / 'rgb', 'val'), FMoW(fmow / 'rgb', 'val', images='msrgb')
    assert len(full) == len(half) == 7
    for a, b in zip(full, half, strict=True):
        assert float(b['gsd']) == pytest.approx(2 * float(a['gsd']), rel=0.001)
        assert torch.equal(a['footprint'], b['footprint'])
    np.testing.assert_allclose(half.images.box, full.images.box / 2)


def test_an_image_that_was_cut_is_left_out(tmp_path: Path) -> None:
    """Nobody knows from where, nor at what scale."""
    folder = one(tmp_path)
    path = next(folder.rglob('*.jpg'))
    write_jpeg(path.with_name('airport_0_1_rgb.jpg'), gradient(64, 64))
    shutil.copy(path.with_suffix('.json'), path.with_name('airport_0_1_rgb.json'))
    dataset = FMoW(folder)
    assert len(dataset) == 1
    (reason,) = reasons(dataset).values()
    assert reason.startswith('has 64×64 px where its metadata describe 160×120: it was cropped or')


@pytest.mark.parametrize('size', [30, 120, 300])
def test_a_whole_image_of_one_size(fmow: Path, size: int) -> None:
    """The largest square in its middle, at the gsd it then has."""
    sample = FMoW(fmow / 'rgb', size=size)[0]
    assert sample['image'].shape == (3, size, size)
    assert float(sample['gsd']) == pytest.approx(0.52 * 120 / size)
    cols = 20 + (torch.arange(size) + 0.5) * 120 / size - 0.5
    near(sample['image'][0, size // 2], cols.clamp(20, 139))
    west, south, _, north = bounds('airport_0')
    expected = [west + 20 * STEP, south, west + 140 * STEP, north]
    torch.testing.assert_close(sample['footprint'], torch.tensor(expected).double())


def test_a_box(fmow: Path) -> None:
    """A square around it: half of each side of the image, so 0.15 of the longer more."""
    sample = FMoW(fmow / 'rgb', crop='box')[0]
    side = round(80 * 1.15)
    assert sample['image'].shape == (3, side, side)
    assert float(sample['gsd']) == pytest.approx(0.52)
    near(sample['image'][0, 0, [0, -1]], [80 - 46, 80 + 46 - 1])
    near(sample['image'][1, [0, -1], 0], [60 - 46, 60 + 46 - 1])


@pytest.mark.parametrize(
    ('share', 'more'),
    [(0.05, 2.0), (0.15, 1.0), (0.25, 0.5), (0.35, 0.3), (0.45, 0.2), (0.5, 0.15), (0.9, 0.15)],
)
def test_context_as_in_the_baseline(tmp_path: Path, share: float, more: float) -> None:
    wide = round(160 * share)
    dataset = FMoW(one(tmp_path, box=((160 - wide) // 2, 58, wide, 4)), crop='box')
    # The other side adds twice its own, which is less.
    assert dataset[0]['image'].shape[-1] == max(12, round(wide * (1 + more)))


def test_context_as_asked(fmow: Path) -> None:
    """Of a box, and measured on the ground where pixels are not square."""
    for context in (0.0, 1.0):
        sample = FMoW(fmow / 'rgb', crop='box', context=context)[0]
        assert sample['image'].shape[-1] == 80 * (1 + context)
    part = FMoW(fmow / 'rgb', crop='box', context=0.0, size=32, gsd='measured').crop_of(4).part
    width, height = geo.box_metres(np.array([bounds('fountain_514')]))[0]
    assert part.width / part.height == pytest.approx((height / 66) / (width / 98))
    assert part.width / part.height == pytest.approx(1.474, abs=0.001)


def test_a_box_at_the_edge_is_moved_inside(tmp_path: Path) -> None:
    dataset = FMoW(one(tmp_path, box=(150, 0, 10, 10)), crop='box', context=1.0)
    sample = dataset[0]
    assert sample['image'].shape == (3, 20, 20)
    assert sample['valid'].all()
    near(sample['image'][0, 0, [0, -1]], [140, 159])
    near(sample['image'][1, [0, -1], 0], [0, 19])


def test_what_is_beyond_the_image_is_not_valid(tmp_path: Path) -> None:
    """A square around a box as wide as its image reaches beyond it above and below."""
    sample = FMoW(one(tmp_path, box=(0, 40, 160, 20)), crop='box', context=0.0)[0]
    assert sample['image'].shape == (3, 160, 160)
    assert sample['valid'][0, 20:140].all()
    assert not sample['valid'][0, :20].any()
    assert not sample['valid'][0, 140:].any()
    assert (sample['image'][:, :20] == 0).all()
    near(sample['image'][:, 20:140], gradient(160, 120))


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


def test_a_box_that_is_listed_twice_is_one_sample(fmow: Path) -> None:
    dataset = FMoW(fmow / 'rgb', crop='box')
    assert len(dataset) == len(dataset.images) == len(dataset.images.box)


def test_tiny_boxes_are_no_samples(tmp_path: Path) -> None:
    boxes = [{'category': 'zoo', 'box': [5, 5, 2, 40]}, {'category': 'park', 'box': [5, 5, 9, 9]}]
    (sample,) = FMoW(one(tmp_path, bounding_boxes=boxes), crop='box')
    assert CLASSES[sample['label']] == 'park'


def test_sentinel(fmow: Path) -> None:
    dataset = FMoW(fmow / 'sentinel')
    assert dataset.sensors[0].bands == tuple(STATISTICS['sentinel'])
    assert [dataset.classes[sample['label']] for sample in dataset] == ['airport'] * 2 + ['zoo']
    sample = dataset[0]
    # A degree is a little longer along the equator than towards it, by less than 1 %.
    assert sample['image'].shape == (13, 45, 60)
    assert float(sample['gsd']) == pytest.approx(9.966, abs=0.001)
    assert sample['image'].max() > 3000
    # 0 in all bands is no data.
    assert not sample['valid'][0, :5, :5].any()
    assert sample['valid'].sum() == 45 * 60 - 25
    west, south = CORNERS['airport_0']
    step = 10 / 111_320
    expected = [west, south, west + 60 * step, south + 45 * step]
    torch.testing.assert_close(sample['footprint'], torch.tensor(expected).double())
    assert np.datetime64(int(sample['time']), 's') == np.datetime64('2016-05-01T00:00:00')
    assert dataset.images.location.tolist() == [0, 0, 1]


def test_sentinel_far_from_the_equator_is_made_square(fmow: Path) -> None:
    """At 60° north a degree of longitude is half of one of latitude."""
    sample = FMoW(fmow / 'sentinel')[2]
    assert sample['image'].shape == (13, 64, 42)
    assert float(sample['gsd']) == pytest.approx(10 * 0.5**0.5, rel=0.01)


def test_bands_of_sentinel(fmow: Path) -> None:
    named = FMoW(fmow / 'sentinel', bands=['nir', 'B04', '12'])
    assert named.sensors[0].bands == ('B8', 'B4', 'B11')
    assert named.sensors[0].mean == (1762.59530783, 1136.26026392, 1732.16362238)
    whole = FMoW(fmow / 'sentinel')[0]['image']
    assert torch.equal(named[0]['image'], whole[[7, 3, 11]])
    with pytest.raises(BandsNotFoundError, match='no band thermal'):
        FMoW(fmow / 'sentinel', bands=['thermal'])


def test_sentinel_without_a_place_in_its_tiffs(tmp_path: Path) -> None:
    """The list says where they are."""
    step = 10 / 111_320
    rng = np.random.default_rng(0)
    path = tmp_path / 'val' / 'dam' / 'dam_4' / 'dam_4_1.tif'
    write_tiff(path, rng.integers(1, 99, (13, 20, 30), dtype=np.uint16), None)
    corners = f'(1 0, {1 + 30 * step} 0, {1 + 30 * step} {20 * step}, 1 {20 * step}, 1 0)'
    row = {'category': 'dam', 'location_id': 4, 'image_id': 1, 'timestamp': 'some day'}
    write_list(tmp_path / 'val.csv', [{**row, 'polygon': f'POLYGON ({corners})'}])
    (sample,) = FMoW(tmp_path, 'val')
    assert float(sample['gsd']) == pytest.approx(9.966, abs=0.001)
    assert sample['footprint'].tolist() == pytest.approx([1, 0, 1 + 30 * step, 20 * step])
    assert sample['time'].isnan()


def test_sentinel_images_that_cannot_be_used(fmow: Path, tmp_path: Path) -> None:
    shutil.copytree(fmow / 'sentinel', tmp_path / 's')
    folder = tmp_path / 's' / 'train' / 'airport' / 'airport_0'
    (folder / 'airport_0_6.tif').unlink()
    write_tiff(folder / 'airport_0_100.tif', np.zeros((1, 9, 9), np.uint8), None)
    dataset = FMoW(tmp_path / 's')
    assert len(dataset) == 1
    assert reasons(dataset) == {
        'airport_0_6.tif': 'is not there',
        'airport_0_100.tif': 'has 1 bands where 13 are needed',
    }


def test_sentinel_below_a_folder_of_its_name(fmow: Path, tmp_path: Path) -> None:
    shutil.copytree(fmow / 'sentinel' / 'val', tmp_path / 'fmow-sentinel' / 'val')
    shutil.copy(fmow / 'sentinel' / 'val.csv', tmp_path)
    assert len(FMoW(tmp_path, 'val')) == 3
    shutil.rmtree(tmp_path / 'fmow-sentinel')
    with pytest.raises(ConfigError, match=r'are looked for in .*val or .*fmow-sentinel/val'):
        FMoW(tmp_path, 'val')


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


def test_nothing_is_opened_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what is new, changed, or could not be used."""
    monkeypatch.setenv('XSCALE_CACHE', str(tmp_path / 'cache'))
    folder = tmp_path / 'data'
    here = folder / 'train' / 'zoo' / 'zoo_3'
    for date in range(3):
        write_image(here, 'zoo_3', date)
    (here / 'zoo_3_2_rgb.jpg').write_bytes(b'')
    looked: list[str] = []
    describe = scanning.describe

    def watched(path: str, *args: Any) -> Any:
        looked.append(Path(path).name)
        return describe(path, *args)

    monkeypatch.setattr(scanning, 'describe', watched)
    first = FMoW(folder)
    assert sorted(looked) == ['zoo_3_0_rgb.jpg', 'zoo_3_1_rgb.jpg', 'zoo_3_2_rgb.jpg']
    looked.clear()
    again = FMoW(folder)
    assert looked == ['zoo_3_2_rgb.jpg']
    for a, b in zip(first, again, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
    looked.clear()
    about = here / 'zoo_3_1_rgb.json'
    about.write_text(json.dumps({**json.loads(about.read_text()), 'gsd': 7.25}))
    write_image(here, 'zoo_3', 2)
    third = FMoW(folder)
    assert sorted(looked) == ['zoo_3_1_rgb.jpg', 'zoo_3_2_rgb.jpg']
    assert [float(sample['gsd']) for sample in third] == pytest.approx([1.1, 7.25, 1.1])
    (store,) = (tmp_path / 'cache').rglob('*.parquet')
    store.write_bytes(store.read_bytes()[:100])
    looked.clear()
    assert len(FMoW(folder)) == len(looked) == 3


def test_a_cache_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / 'cache').write_text('a file')
    monkeypatch.setenv('XSCALE_CACHE', str(tmp_path / 'cache'))
    assert len(FMoW(one(tmp_path / 'data'))) == 1
    assert 'what the scan found is not kept in' in capsys.readouterr().err


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


def test_places_that_nobody_tells(tmp_path: Path) -> None:
    """The dates of a location share ground, no two locations do, and none is on Earth."""
    for place, dates in (('airport_0', 2), ('zoo_3', 1)):
        for date in range(dates):
            folder = tmp_path / 'train' / place.rsplit('_', 1)[0] / place
            write_image(folder, place, date, raw_location=None)
    boxes = np.stack([sample['footprint'].numpy() for sample in FMoW(tmp_path)])
    assert (boxes[:, 1] > 90).all()
    shared = np.stack([geo.overlap(box, boxes) for box in boxes])
    assert (shared == [[1, 1, 0], [1, 1, 0], [0, 0, 1]]).all()


@pytest.mark.parametrize('text', ['', 'POLYGON', 'POINT EMPTY', 'POINT (1 2)', 7])
def test_a_place_that_is_none(tmp_path: Path, text: Any) -> None:
    (sample,) = FMoW(one(tmp_path, raw_location=text), gsd='measured')
    assert sample['footprint'][1] > 90
    assert float(sample['gsd']) == pytest.approx(0.52)


def test_across_the_antimeridian(tmp_path: Path) -> None:
    text = 'POLYGON ((179.999 1, -179.999 1, -179.999 1.002, 179.999 1.002, 179.999 1))'
    (sample,) = FMoW(one(tmp_path, raw_location=text))
    assert sample['footprint'].tolist() == pytest.approx([179.999, 1, 180.001, 1.002])


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
