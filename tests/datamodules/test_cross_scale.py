"""Batches as a model gets them, and what the data module says of itself."""

from pathlib import Path

import pytest
import torch

from xscale.datamodules import CrossScaleDataModule
from xscale.errors import ConfigError, NoRastersError
from xscale.types import Sample


def module(stack: Path, **arguments: object) -> CrossScaleDataModule:
    settings = {'paths': str(stack), 'tile_size': 64, 'batch_size': 6, 'length': 18}
    data = CrossScaleDataModule(**(settings | arguments))
    data.setup('fit')
    return data


def batches(data: CrossScaleDataModule) -> list[Sample]:
    return list(data.train_dataloader())


@pytest.mark.parametrize('workers', [0, 2])
def test_a_batch(stack: Path, workers: int) -> None:
    data = module(stack, bands=['red', 'green', 'blue'], gsd=(0.5, 40), num_workers=workers)
    loaded = batches(data)
    assert len(loaded) == 3
    expected = {
        'image': ((6, 3, 64, 64), torch.float32),
        'valid': ((6, 1, 64, 64), torch.bool),
        'gsd': ((6,), torch.float32),
        'footprint': ((6, 4), torch.float64),
        'sensor': ((6,), torch.int64),
    }
    for batch in loaded:
        found = {key: (tuple(value.shape), value.dtype) for key, value in batch.items()}
        assert found == expected
        assert batch['image'].isfinite().all()
        assert (batch['image'][~batch['valid'].expand_as(batch['image'])] == 0).all()
        assert (batch['sensor'] < len(data.contract['sensors'])).all()


def test_workers_change_nothing(stack: Path) -> None:
    one, two = (module(stack, num_workers=workers, seed=3) for workers in (0, 2))
    for a, b in zip(batches(one), batches(two), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_values_stay_in_the_files_units(stack: Path) -> None:
    data = module(stack / 'sentinel2')
    (batch, *_) = batches(data)
    assert batch['image'].max() > 3000
    assert data.aug(batch) is batch


def test_all_bands_by_default(stack: Path) -> None:
    data = module(stack)
    assert batches(data)[0]['image'].shape == (6, 4, 64, 64)
    assert {len(sensor['bands']) for sensor in data.contract['sensors']} == {4}
    assert data.contract['bands'] == data.contract['sensors'][0]['bands']


def plain(value: object) -> bool:
    """Tell whether a value is made of what ``torch.load(weights_only=True)`` gives back."""
    if isinstance(value, dict):
        return all(type(key) is str and plain(item) for key, item in value.items())
    if isinstance(value, list):
        return all(map(plain, value))
    return type(value) in (str, int, float)


def test_contract(stack: Path) -> None:
    data = module(stack, bands=['nir', 'red'], gsd=(2, 60))
    contract = data.contract
    assert plain(contract)
    assert contract['bands'] == ['nir', 'red']
    low, high = contract['gsd']
    # NAIP may grow from 2 m until 64 px fill its 200 m; Landsat until 56 m.
    assert low == 2
    assert high == pytest.approx(120 * 30 / 64)
    names = [sensor['name'] for sensor in contract['sensors']]
    assert len(names) == len(set(names)) == 4
    assert 'landsat-8-9 SR_B5,SR_B4 uint16' in names
    for sensor in contract['sensors']:
        assert len(sensor['mean']) == len(sensor['std']) == 2
        assert min(sensor['std']) > 0


def test_summary_names_what_is_used_and_left_out(
    stack: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = module(stack, bands=['red'], tile_size=160, gsd=(0.9, 12), max_nodata=0.75)
    text = data.summary()
    assert text in capsys.readouterr().out
    assert text.startswith('4 rasters, 3 batches an epoch:')
    assert '1 × naip R uint8, 1 m' in text
    assert '1 × sentinel-2 B04 uint16, 10 m' in text
    lines = {Path(line.split(': ')[0].strip()).name: line for line in text.splitlines()}
    assert 'cannot be read' in lines['empty.tif']
    assert 'no coordinate reference system' in lines['no_crs.tif']
    assert 'coarser than the 12 m asked for' in lines['LC08_20190825_30m.tif']
    assert lines['drone.tif'].endswith('less than 25% of a tile of 160×160 px of 0.9 m')
    assert 'smaller than a tile, padded' in lines['berkeley.tif']
    used = {'oslo.tif', 'berkeley.tif', 'm_3607717_sw_18_1_20160620.tif', 'T48QUE_20200223_10m.tif'}
    out = text.split('rasters left out:')[1]
    assert {path.name for path in stack.rglob('*.tif') if path.name not in out} == used


def test_nothing_is_known_before_setup(stack: Path) -> None:
    data = CrossScaleDataModule(str(stack))
    with pytest.raises(ConfigError, match='setup'):
        data.summary()
    with pytest.raises(ConfigError, match='setup'):
        _ = data.contract


def test_setup_scans_once(stack: Path) -> None:
    data = module(stack)
    dataset = data.train_dataset
    data.setup('fit')
    assert data.train_dataset is dataset


def test_nothing_usable(stack: Path) -> None:
    with pytest.raises(NoRastersError, match='4096×4096'):
        module(stack, tile_size=4096)


def test_pretraining_has_no_validation(stack: Path) -> None:
    data = CrossScaleDataModule(str(stack))
    data.setup('validate')
    assert data.val_dataloader() == data.test_dataloader() == []
