"""Batches brought to the units of files."""

from typing import Any

import kornia.augmentation as K
import pytest
import torch
from torch import nn

from xscale.errors import ConfigError
from xscale.tasks.feed import Feed, choose_order, doubt, in_units_of, normalization_of
from xscale.transforms import Normalize
from xscale.types import Sensor

from ..tiny import seeded

SENSOR = Sensor('a', ('red', 'green', 'blue'), (10.0, 20.0, 30.0), (1.0, 2.0, 3.0))


class Module:
    """A data module with nothing but augmentations."""

    def __init__(self, **augs: Any) -> None:
        self.__dict__ |= augs


def standard(*steps: nn.Module) -> nn.Module:
    return K.AugmentationSequential(*steps, data_keys=None, keepdim=True)


@pytest.mark.parametrize(
    ('module', 'expected'),
    [
        (None, None),
        (Module(aug=nn.Identity()), None),
        (Module(aug=lambda batch: batch), None),
        (
            Module(aug=standard(K.Normalize(torch.tensor(0.0), torch.tensor(255.0)))),
            ([0.0], [255.0]),
        ),
        (
            Module(
                aug=nn.Identity(),
                train_aug=standard(
                    K.Normalize(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0])),
                    K.RandomHorizontalFlip(),
                ),
            ),
            ([1.0, 2.0], [3.0, 4.0]),
        ),
        (
            Module(aug=nn.Sequential(Normalize([SENSOR]))),
            ([10.0, 20.0, 30.0], [1.0, 2.0, 3.0]),
        ),
    ],
)
def test_normalisation_is_found(module: Any, expected: Any) -> None:
    assert normalization_of(module) == expected


@pytest.mark.parametrize(('mean', 'std'), [([2.0], [4.0]), ([1.0, 2.0, 3.0, 4.0], [5.0] * 4)])
def test_what_a_data_module_did_is_undone(mean: list[float], std: list[float]) -> None:
    """Before bands are chosen, whose statistics the sensor then has."""
    image = 9 * torch.randn(2, 4, 5, 5, generator=seeded())
    aug = standard(K.Normalize(torch.tensor(mean), torch.tensor(std)))
    feed = Feed((mean, std), choose_order(['nir', 'blue', 'green', 'red'], SENSOR))
    found = feed(aug({'image': image})['image'])
    torch.testing.assert_close(found, image[:, [3, 2, 1]])
    sensor = feed.sensor(SENSOR.bands)
    assert sensor is not None
    assert sensor.mean == ((4.0, 3.0, 2.0) if len(mean) > 1 else (2.0,) * 3)


def test_the_first_bands_of_more_are_chosen() -> None:
    image = torch.randn(2, 4, 5, 5, generator=seeded())
    feed = Feed(None, choose_order(['red', 'green', 'blue', 'nir'], SENSOR))
    assert torch.equal(feed(image), image[:, :3])


def test_fewer_bands_than_were_named() -> None:
    feed = Feed(None, [3, 2, 1])
    with pytest.raises(ConfigError, match=r'3 bands came, and band 4.*name the bands'):
        feed(torch.zeros(1, 3, 4, 4))


def test_bytes_for_weights_of_0_to_1() -> None:
    unit = Sensor('unit', ('r',), (0.4,), (0.2,))
    assert in_units_of(unit, 'uint8').mean == pytest.approx((102.0,))
    assert in_units_of(unit, 'uint16') is unit
    assert in_units_of(SENSOR, 'uint8') is SENSOR


def test_doubt_looks_at_what_holds_data() -> None:
    mean, std = (torch.tensor(v)[:, None, None] for v in (SENSOR.mean, SENSOR.std))
    image = mean + std * torch.randn(2, 3, 16, 16, generator=seeded())
    valid = torch.ones(2, 1, 16, 16, dtype=torch.bool)
    valid[:, :, 8:] = False
    image[:, :, 8:] = 60000
    assert doubt(image, valid, SENSOR, own=False) is None
    assert doubt(image, valid, SENSOR, own=True) is None
    everywhere = torch.ones_like(valid)
    assert 'cannot be in the units of a' in str(doubt(image, everywhere, SENSOR, own=False))
    assert 'normalize: contract' in str(doubt(image, everywhere, SENSOR, own=True))
