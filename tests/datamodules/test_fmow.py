"""fMoW in batches, for pretraining and for classification."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from xscale.datamodules import FMoWDataModule
from xscale.errors import ConfigError, UnknownNameError, UnreadableError
from xscale.objectives.terms import nt_xent, overlap_rate
from xscale.types import Sample

from ..data.fmow.data import PLACES, write_image


def module(folder: Path, stage: str = 'fit', **settings: Any) -> FMoWDataModule:
    data = FMoWDataModule(str(folder), **{'tile_size': 32, 'batch_size': 4, **settings})
    data.setup(stage)
    return data


def batches(data: FMoWDataModule) -> list[Sample]:
    return list(data.train_dataloader())


def test_a_batch_for_pretraining(fmow: Path) -> None:
    data = module(fmow / 'rgb', length=16)
    loaded = batches(data)
    assert len(loaded) == 4
    for batch in loaded:
        found = {name: (tuple(value.shape), value.dtype) for name, value in batch.items()}
        assert found == {
            'image': ((4, 3, 32, 32), torch.float32),
            'valid': ((4, 1, 32, 32), torch.bool),
            'label': ((4,), torch.int64),
            'gsd': ((4,), torch.float32),
            'footprint': ((4, 4), torch.float64),
            'location': ((4,), torch.int64),
            'time': ((4,), torch.float64),
            'row': ((4,), torch.int64),
            'sensor': ((4,), torch.int64),
            'unreadable': ((4,), torch.bool),
        }
        places = [Path(data.files(row[None])[0]).parent.name for row in batch['row']]
        assert batch['gsd'].tolist() == pytest.approx([PLACES[place][1] for place in places])
        assert data.aug(batch) is batch
        assert batch['image'].max() > 50


def test_workers_change_nothing(fmow: Path) -> None:
    one, two = (batches(module(fmow / 'rgb', length=12, num_workers=n)) for n in (0, 2))
    torch.testing.assert_close(one, two, rtol=0, atol=0)


def test_contract(fmow: Path) -> None:
    contract = module(fmow / 'rgb', bands=['red', 'green', 'blue']).contract
    assert contract['bands'] == ['red', 'green', 'blue']
    assert contract['gsd'] == pytest.approx([0.45, 1.1])
    (sensor,) = contract['sensors']
    assert (sensor['name'], sensor['bands']) == ('fmow-rgb', ['red', 'green', 'blue'])
    assert sensor['mean'] == pytest.approx([110.652, 111.125, 103.897], abs=1e-3)
    assert sensor['std'] == pytest.approx([50.563, 49.088, 49.609], abs=1e-3)
    given = module(fmow / 'sentinel', bands=['nir'], mean=[1.0], std=[2.0]).contract
    assert given['bands'] == ['nir']
    assert given['sensors'] == [
        {'name': 'fmow-sentinel', 'bands': ['B8'], 'mean': [1.0], 'std': [2.0], 'group': ''}
    ]


def test_validation_of_pretraining(fmow: Path) -> None:
    """The same tiles of val each time; none where there is no val, or none is asked for."""
    data = module(fmow / 'rgb', val_batches=3)
    first, second = (list(data.val_dataloader()) for _ in range(2))
    assert len(first) == 3
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    assert '/val/' in data.val_dataset.images.path(0)
    assert module(fmow / 'rgb', val_batches=0).val_dataloader() == []
    (path,) = (fmow / 'cut').glob('train*.csv')
    assert module(path, gsd=1.0).val_dataloader() == []
    held = module(path, gsd=1.0, val_paths=str(fmow / 'cut'))
    assert len(held.val_dataset) == 4


def test_pretraining_without_val(fmow: Path, tmp_path: Path) -> None:
    (tmp_path / 'train').symlink_to(fmow / 'rgb' / 'train')
    assert module(tmp_path).val_dataloader() == []
    with pytest.raises(ConfigError, match='neither a folder val nor a list'):
        module(tmp_path, val_paths=str(tmp_path))


def test_summary(fmow: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(fmow / 'rgb', tmp_path / 'rgb')
    for number in range(11):
        folder = tmp_path / 'rgb' / 'train' / 'zoo' / f'zoo_{number}'
        write_image(folder, 'zoo_3', number, gsd=None)
    data = module(tmp_path / 'rgb', tile_size=70)
    text = data.summary()
    assert text in capsys.readouterr().out
    lines = text.splitlines()
    assert lines[0] == '7 images of 4 locations, 0.45 to 1.1 m, 2 batches an epoch'
    assert lines[1] == '  2 are smaller than a tile, padded'
    assert lines[2] == 'validation: 7 images'
    assert lines[3] == '11 images left out:'
    assert lines[4].endswith('zoo_3_0_rgb.jpg: its metadata zoo_3_0_rgb.json says no gsd')
    assert lines[-1] == '  … and 1 more'
    assert len(lines) == 15


def test_dates_of_a_place_are_no_negatives(fmow: Path) -> None:
    """The two squares of a location overlap here, and two locations never do."""
    for folder, gsd in ((fmow / 'rgb', 'stated'), (fmow / 'cut', 2.0)):
        data = module(folder, gsd=gsd, batch_size=4, tile_size=150, length=4)
        (batch,) = batches(data)
        shared = batch['location'][:, None] == batch['location'][None]
        assert 4 < shared.sum() < 16
        views = torch.randn(2, 4, 8, generator=torch.Generator().manual_seed(0))
        keys = torch.nn.functional.normalize(views, dim=-1).flatten(0, 1)
        logits = (keys @ keys.T / 0.5).masked_fill(shared.repeat(2, 2), -torch.inf)
        positive = (keys[:4] * keys[4:]).sum(1).repeat(2) / 0.5
        found = nt_xent(*views, footprint=batch['footprint'])
        torch.testing.assert_close(found, (logits.logsumexp(1) - positive).mean())
        assert not torch.isclose(found, nt_xent(*views))
        assert overlap_rate(batch['footprint']) == (shared.sum(1) > 1).float().mean()


def test_images_that_break_later_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for place in ('zoo_3', 'airport_0'):
        for split in ('train', 'val'):
            write_image(tmp_path / split / place.rsplit('_', 1)[0] / place, place, 0)
    data = module(tmp_path, batch_size=2, max_unreadable=0, val_batches=1)
    (lost,) = (tmp_path / 'train').rglob('zoo*.jpg')
    lost.unlink()
    (batch,) = batches(data)
    assert batch['unreadable'].sum() == 1
    with pytest.raises(UnreadableError, match=r'zoo_3_0_rgb\.jpg'):
        data.on_before_batch_transfer(batch, 0)
    assert f'cannot read {lost} (is not there)' in capsys.readouterr().err
    strict = module(tmp_path, batch_size=2, task='classification')
    assert strict.counted().limit == 0


def test_batches_for_classification(fmow: Path) -> None:
    """All samples of one size, normalised; invalid pixels are the mean."""
    data = module(fmow / 'rgb', task='classification', tile_size=48)
    raw = [sample for batch in data.val_dataloader() for sample in batch['label']]
    assert len(raw) == 7
    (batch,) = batches(data)
    assert batch['image'].shape == (4, 3, 48, 48)
    assert data.train_sampler is None
    normal = data.aug({**batch, 'valid': batch['valid'] & (batch['image'][:, :1] > 40)})
    expected = (batch['image'] - data.mean[:, None, None]) / data.std[:, None, None]
    seen = (batch['image'][:, :1] > 40).expand(-1, 3, -1, -1)
    torch.testing.assert_close(normal['image'][seen], expected[seen])
    assert (normal['image'][~seen] == 0).all()
    assert torch.equal(normal['gsd'], batch['gsd'])


def test_test_data(fmow: Path) -> None:
    data = module(fmow / 'rgb', 'test', task='classification')
    (batch,) = data.test_dataloader()
    assert batch['label'].tolist() == [61, 61]
    assert data.train_dataset is None
    data.aug(batch)


def test_settings_that_do_not_fit(fmow: Path) -> None:
    with pytest.raises(UnknownNameError, match="unknown task 'sleep'"):
        FMoWDataModule(task='sleep')
    with pytest.raises(ConfigError, match=r'call setup\("fit"\) first'):
        _ = FMoWDataModule().contract
    (path,) = (fmow / 'cut').glob('train*.csv')
    with pytest.raises(ConfigError, match='lists the training images only; give val_paths'):
        module(path, gsd=1.0, task='classification')
