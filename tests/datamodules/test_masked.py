"""Own images with masks in batches."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from xscale.datamodules import MaskedDataModule
from xscale.errors import ConfigError
from xscale.samplers import Draw
from xscale.transforms import turned
from xscale.types import Sample

from ..data.masked.data import (
    RGB,
    box,
    grid_of,
    labels,
    pixels,
    write_masked,
    write_pair,
    write_polygons,
)

DATA = Path(__file__).parents[3] / 'shared' / 'data' / 'segmentation'


def module(folder: Path, stage: str = 'fit', **settings: Any) -> MaskedDataModule:
    data = MaskedDataModule(str(folder), **{'tile_size': 16, 'batch_size': 4, **settings})
    data.setup(stage)
    return data


def batches(data: MaskedDataModule, epoch: int = 0) -> list[Sample]:
    assert data.train_sampler is not None
    data.train_sampler.set_epoch(epoch)
    return list(data.train_dataloader())


def test_a_batch(tmp_path: Path) -> None:
    """Two images of 40 × 30 px make 12 tiles an epoch."""
    data = module(write_masked(tmp_path))
    loaded = batches(data)
    assert len(loaded) == 3
    for batch in loaded:
        found = {name: (tuple(value.shape), value.dtype) for name, value in batch.items()}
        assert found == {
            'image': ((4, 3, 16, 16), torch.float32),
            'valid': ((4, 1, 16, 16), torch.bool),
            'gsd': ((4,), torch.float32),
            'footprint': ((4, 4), torch.float64),
            'mask': ((4, 16, 16), torch.int64),
        }
        assert batch['gsd'].tolist() == pytest.approx([0.5] * 4, rel=0.002)
        assert data.aug(batch) is batch
        assert set(batch['mask'].unique().tolist()) <= {0, 1, 2}


def test_image_and_mask_are_turned_together(tmp_path: Path) -> None:
    """Each tile is a window of its image, turned, and its mask the same of the mask."""
    data = module(write_masked(tmp_path))
    assert data.train_dataset is not None
    places, turns = set(), set()
    for index in range(len(data.train_dataset)):
        number = 0 if index < 6 else 1
        image, mask = torch.from_numpy(pixels(number)).float(), torch.from_numpy(labels(number))
        for epoch in (0, 1):
            sample = data.train_dataset[Draw(index, epoch)]
            found = [
                (row, col, turn)
                for row in range(15)
                for col in range(25)
                for turn in range(8)
                if torch.equal(
                    turned(image[:, row : row + 16, col : col + 16], turn), sample['image']
                )
            ]
            ((row, col, turn),) = found
            window = mask[row : row + 16, col : col + 16].long()
            assert torch.equal(turned(window, turn), sample['mask'])
            places.add((row, col))
            turns.add(turn)
    assert len(places) > 20
    assert len(turns) > 4


def test_draws_depend_on_seed_epoch_and_index_alone(tmp_path: Path) -> None:
    folder = write_masked(tmp_path)
    torch.manual_seed(3)
    one = batches(module(folder), 2)
    torch.manual_seed(4)
    two = batches(module(folder, num_workers=2), 2)
    torch.testing.assert_close(one, two, rtol=0, atol=0)
    assert not torch.equal(one[0]['image'], batches(module(folder), 3)[0]['image'])
    assert not torch.equal(one[0]['image'], batches(module(folder, seed=1), 2)[0]['image'])
    straight, flipped = module(folder, flip=False), module(folder)
    draws = [Draw(index, 0) for index in range(12)]
    for draw in draws:
        plain, found = (d.train_dataset[draw]['image'] for d in (straight, flipped))
        assert any(torch.equal(turned(plain, turn), found) for turn in range(8))


def test_goes_on_in_the_middle_of_an_epoch(tmp_path: Path) -> None:
    data = module(write_masked(tmp_path))
    whole = batches(data, 2)
    assert data.train_sampler is not None
    data.train_sampler.resume_at(2, 1)
    rest = list(data.train_dataloader())
    torch.testing.assert_close(rest, whole[1:], rtol=0, atol=0)


def test_validation_counts_each_pixel_once(tmp_path: Path) -> None:
    data = module(write_masked(tmp_path))
    masks = torch.cat([batch['mask'].ravel() for batch in data.val_dataloader()])
    expected = np.bincount(np.stack([labels(2), labels(3)]).ravel())
    assert torch.bincount(masks)[:3].tolist() == expected.tolist()
    assert int((masks < 255).sum()) == 2 * 40 * 30
    first, second = (list(data.val_dataloader()) for _ in range(2))
    torch.testing.assert_close(first, second, rtol=0, atol=0)


def test_tiles_without_labels_are_drawn_again(tmp_path: Path) -> None:
    """Of an image that is labelled in one corner, as far as some draws reach it."""
    mask = np.full((20, 64), 255, np.uint8)
    mask[:, :24] = labels(0, 24, 20)
    write_pair(tmp_path / 'train', 'a', 0, mask)
    data = module(tmp_path, val_share=0, tile_size=8, classes=['a', 'b', 'c'])
    assert data.train_dataset is not None
    count = 0
    for epoch in range(10):
        for index in range(len(data.train_dataset)):
            count += bool((data.train_dataset[Draw(index, epoch)]['mask'] < 255).any())
    assert count / (10 * len(data.train_dataset)) > 0.9
    assert data.val_dataloader() == []


def test_small_images_are_padded(tmp_path: Path) -> None:
    data = module(write_masked(tmp_path), tile_size=64, batch_size=2)
    (batch,) = batches(data)
    assert batch['valid'].sum((1, 2, 3)).tolist() == [1200, 1200]
    assert (batch['mask'][~batch['valid'][:, 0]] == 255).all()
    assert '6 images are smaller than a tile, padded' in data.summary()


def test_polygons(tmp_path: Path) -> None:
    folder = write_masked(tmp_path, ('train',), each=4)
    shapes = [box(grid_of(number), 0, 0, 20, 30) for number in range(4)]
    roofs = write_polygons(tmp_path / 'roofs.geojson', shapes, crs='EPSG:32633')
    data = module(folder, labels=str(roofs), val_share=0.5)
    assert data.classes == ('background', 'roofs')
    masks = torch.cat([batch['mask'].ravel() for batch in data.val_dataloader()])
    assert torch.bincount(masks)[:2].tolist() == [1200, 1200]


def test_contract(tmp_path: Path) -> None:
    data = module(write_masked(tmp_path), bands=['blue', 'red'], classes=['a', 'b', 'c'])
    contract = data.contract
    assert contract['bands'] == ['blue', 'red']
    assert contract['classes'] == ['a', 'b', 'c']
    assert contract['dtype'] == 'uint8'
    assert contract['gsd'] == pytest.approx([0.5, 0.5], rel=0.002)
    (sensor,) = contract['sensors']
    assert sensor['mean'] == pytest.approx(
        np.stack([pixels(0), pixels(1)]).mean((0, 2, 3))[[2, 0]], rel=0.03
    )
    assert contract['footprints'].shape == (2, 4)
    assert RGB == ('red', 'green', 'blue')


def test_a_split_that_is_missing(tmp_path: Path) -> None:
    write_masked(tmp_path, ('train',))
    with pytest.raises(ConfigError, match=r'no images in test \(train 1, val 1\); add some'):
        module(tmp_path, 'test')
    held = module(tmp_path, 'test', test_share=0.5, val_share=0)
    assert len(list(held.test_dataloader())) == 2
    with pytest.raises(ConfigError, match='call setup'):
        held.train_dataloader()


@pytest.mark.parametrize('setting', [{'val_share': -0.1}, {'test_share': 1.0}, {'tile_size': 4}])
def test_settings_that_make_no_sense(setting: dict[str, Any]) -> None:
    (name,) = setting
    with pytest.raises(ConfigError, match=name):
        MaskedDataModule('data', **setting)


@pytest.mark.skipif(not DATA.is_dir(), reason='the real images are not here')
def test_real_images() -> None:
    folder = DATA / 'oam_banepa_buildings_0.13m'
    data = module(folder, tile_size=224, classes={0: 'ground', 1: 'building'})
    batch = next(iter(data.train_dataloader()))
    assert batch['image'].shape == (4, 3, 224, 224)
    assert batch['gsd'].tolist() == pytest.approx([0.132] * 4, rel=0.01)
    assert data.val_dataset is not None
    assert len(data.val_dataset.scenes) == 6
    assert set(batch['mask'].unique().tolist()) <= {0, 1}
