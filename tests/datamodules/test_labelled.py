"""Own labelled images in batches."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from xscale.datamodules import LabelledDataModule
from xscale.errors import ConfigError
from xscale.samplers import Draw
from xscale.transforms import turned
from xscale.types import Sample

from ..data.labelled.data import CLASSES, pixels, write_photo, write_photos, write_tiffs

AID = Path(__file__).parents[3] / 'shared/data/classification/aid10_150px'


def module(folder: Path, stage: str = 'fit', **settings: Any) -> LabelledDataModule:
    data = LabelledDataModule(str(folder), **{'size': 12, 'batch_size': 4, **settings})
    data.setup(stage)
    return data


def batches(data: LabelledDataModule, epoch: int = 0) -> list[Sample]:
    assert data.train_sampler is not None
    data.train_sampler.set_epoch(epoch)
    return list(data.train_dataloader())


def test_a_batch(tmp_path: Path) -> None:
    """In the files' units; each image of training once, turned, and filled up to whole batches."""
    data = module(write_photos(tmp_path, each=6), gsd=0.5, val_share=0)
    loaded = batches(data)
    assert len(loaded) == 3
    for batch in loaded:
        found = {name: (tuple(value.shape), value.dtype) for name, value in batch.items()}
        assert found == {
            'image': ((4, 3, 12, 12), torch.float32),
            'valid': ((4, 1, 12, 12), torch.bool),
            'gsd': ((4,), torch.float32),
            'label': ((4,), torch.int64),
        }
        assert batch['gsd'].tolist() == [0.5] * 4
        assert data.aug(batch) is batch
    means = torch.cat([batch['image'].mean((2, 3)) for batch in loaded])
    expected = torch.tensor(
        [pixels(10 * c + n).mean((1, 2)).tolist() for c in (0, 1) for n in range(6)]
    )
    nearest = torch.cdist(means, expected)
    assert float(nearest.min(1).values.max()) < 1e-3
    assert sorted(nearest.argmin(1).tolist()) == list(range(12))
    labels = torch.cat([batch['label'] for batch in loaded])
    assert torch.equal(labels, nearest.argmin(1) // 6)
    assert data.val_dataloader() == []


def test_turns_depend_on_seed_epoch_and_index_alone(tmp_path: Path) -> None:
    folder = write_photos(tmp_path)
    one, again = module(folder), module(folder, num_workers=2, batch_size=3)
    torch.manual_seed(99)
    other = module(folder, seed=1, val_share=0)
    assert one.train_dataset is not None
    assert again.train_dataset is not None
    plain = [one.train_dataset[index]['image'] for index in range(len(one.train_dataset))]
    turns = set()
    for index, image in enumerate(plain):
        for epoch in range(4):
            found = one.train_dataset[Draw(index, epoch)]['image']
            assert torch.equal(found, again.train_dataset[Draw(index, epoch)]['image'])
            (number,) = [n for n in range(8) if torch.equal(turned(image, n), found)]
            turns.add(number)
    assert len(turns) > 4
    pair = batches(again, 2), batches(module(folder, batch_size=3), 2)
    torch.testing.assert_close(*pair, rtol=0, atol=0, equal_nan=True)
    first, second = (batches(other, epoch)[0]['image'] for epoch in (0, 1))
    assert not torch.equal(first, second)
    straight = module(folder, flip=False)
    assert torch.equal(straight.train_dataset[Draw(1, 5)]['image'], plain[1])


def test_a_part_of_train_is_validation(tmp_path: Path) -> None:
    """The same share of each class, the same each time, and none in both."""
    folder = write_photos(tmp_path, each=10)
    parts = []
    for seed in (0, 0, 1):
        data = module(folder, seed=seed)
        assert data.val_dataset is not None
        assert data.train_dataset is not None
        assert torch.bincount(data.val_dataset.split.labels).tolist() == [2, 2]
        train, val = data.train_dataset.split.names, data.val_dataset.split.names
        assert not set(train) & set(val)
        assert len({*train, *val}) == 20
        parts.append(val)
    assert parts[0] == parts[1] != parts[2]
    held = [batch['image'] for batch in data.val_dataloader()]
    torch.testing.assert_close(held, [batch['image'] for batch in data.val_dataloader()])
    assert 'give it (--data.gsd METRES) if it is known' in data.summary()
    assert 'no validation split: 20% of the images of train of each class' in data.summary()


def test_georeferenced_images(tmp_path: Path) -> None:
    """Metres per pixel follow the resampling, bands may be chosen, val is what the folder says."""
    data = module(write_tiffs(tmp_path), bands=['nir', 'red'], size=24)
    (batch,) = batches(data)
    assert batch['image'].shape == (4, 2, 24, 24)
    assert batch['gsd'].tolist() == [5.0] * 4
    assert batch['image'].max() > 255
    assert data.val_dataset is not None
    assert {Path(name).parts[-3] for name in data.val_dataset.split.names} == {'validation'}
    contract = data.contract
    assert contract['bands'] == ['B08', 'B04']
    assert (contract['dtype'], contract['classes']) == ('uint16', list(CLASSES))
    assert contract['gsd'] == [5.0, 5.0]
    (sensor,) = contract['sensors']
    values = np.stack([pixels(n, bands=4, top=4000)[[3, 2]] for n in range(4)])
    assert sensor['mean'] == pytest.approx(values.mean((0, 2, 3)), rel=0.03)
    assert sensor['bands'] == ['B08', 'B04']
    assert data.classes == CLASSES


def test_several_labels(tmp_path: Path) -> None:
    rows = ['path,split,label']
    for number in range(8):
        write_photo(tmp_path / f'all/{number}.png', number)
        split, label = 'train' if number < 6 else 'test', 'a;b' if number % 2 else 'b'
        rows.append(f'all/{number}.png,{split},{label}')
    (tmp_path / 'split.csv').write_text('\n'.join(rows))
    data = module(tmp_path, batch_size=5)
    assert data.train_dataset is not None
    sample = data.train_dataset[1]
    assert (sample['label'].dtype, sample['label'].shape) == (torch.bool, (2,))
    number = int(Path(data.train_dataset.split.names[1]).stem)
    assert sample['label'].tolist() == [bool(number % 2), True]
    assert batches(data)[0]['label'].shape == (5, 2)


def test_sides_chosen_unasked(tmp_path: Path) -> None:
    for split in ('train', 'test'):
        for name in CLASSES:
            for number, side in enumerate((40, 60, 300)):
                write_photo(tmp_path / split / name / f'{number}.png', number, side)
    assert module(tmp_path, size=None, val_share=0).side == 48


def test_broken_images_are_left_out(tmp_path: Path) -> None:
    (write_photos(tmp_path) / 'train/forest/1.png').write_bytes(b'')
    data = module(tmp_path, val_share=0)
    assert data.train_dataset is not None
    assert len(data.train_dataset) == 5
    assert f'1 images left out:\n  {tmp_path}/train/forest/1.png: is empty' in data.summary()


def test_test_images(tmp_path: Path) -> None:
    data = module(write_photos(tmp_path), 'test')
    (batch, rest) = data.test_dataloader()
    assert (len(batch['label']), len(rest['label'])) == (4, 2)
    assert torch.equal(batch['image'][0], torch.from_numpy(pixels(100)).float())
    with pytest.raises(ConfigError, match='call setup'):
        data.train_dataloader()


@pytest.mark.parametrize(
    ('settings', 'message'),
    [({'val_share': 1.0}, 'val_share 1.0: a share'), ({'size': 4}, 'size 4: squares of at least')],
)
def test_settings_that_make_no_sense(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        LabelledDataModule('data', **settings)


@pytest.mark.skipif(not AID.is_dir(), reason='the real images are not here')
def test_real_images() -> None:
    data = module(AID, size=None, batch_size=8)
    assert data.side == 144
    assert data.train_dataset is not None
    assert data.val_dataset is not None
    assert (len(data.train_dataset), len(data.val_dataset)) == (880, 220)
    batch = next(iter(data.train_dataloader()))
    assert batch['image'].shape == (8, 3, 144, 144)
    assert batch['gsd'].isnan().all()
