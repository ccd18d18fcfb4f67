"""Normalisation, sensor by sensor."""

import pytest
import torch

from xscale.errors import ConfigError
from xscale.transforms import Normalize
from xscale.transforms.normalize import CLIP
from xscale.types import Sensor

SENSORS = (
    Sensor('bytes', ('red', 'green'), (100.0, 50.0), (10.0, 5.0)),
    Sensor('reflectance', ('red', 'green'), (0.2, 0.1), (0.1, 0.05)),
)


def test_each_image_by_its_own_sensor() -> None:
    image = torch.tensor([[110.0, 60.0], [0.3, 0.2], [90.0, 40.0]])[..., None, None].expand(
        3, 2, 4, 4
    )
    valid = torch.ones(3, 1, 4, 4, dtype=torch.bool)
    out = Normalize(SENSORS)(image, valid, torch.tensor([0, 1, 0]))
    expected = torch.tensor([[1.0, 2.0], [1.0, 2.0], [-1.0, -2.0]])
    torch.testing.assert_close(out, expected[..., None, None].expand_as(out))
    torch.testing.assert_close(Normalize(SENSORS)(image[1:2], valid[1:2], 1), out[1:2])
    assert Normalize(SENSORS).state_dict() == {}


def test_invalid_is_zero() -> None:
    image = torch.full((1, 2, 2, 2), 110.0)
    image[..., 0, 0] = float('nan')
    image[..., 0, 1] = -9999
    given = image.clone()
    valid = torch.tensor([[False, False], [True, True]]).reshape(1, 1, 2, 2)
    out = Normalize(SENSORS)(image, valid)
    assert torch.equal(out[..., 0, :], torch.zeros(1, 2, 2))
    assert out[..., 1, :].ne(0).all()
    assert torch.equal(image.nan_to_num(), given.nan_to_num())


def test_integers_come_out_as_float32() -> None:
    image = torch.full((1, 2, 1, 1), 110, dtype=torch.uint8)
    out = Normalize(SENSORS)(image, torch.ones(1, 1, 1, 1, dtype=torch.bool))
    assert out.dtype == torch.float32
    assert out.flatten().tolist() == [1.0, CLIP]  # the second is 12 deviations off


def test_wrong_bands() -> None:
    with pytest.raises(ConfigError, match='3 bands came, 2 are needed: red, green'):
        Normalize(SENSORS)(torch.zeros(1, 3, 2, 2), torch.ones(1, 1, 2, 2, dtype=torch.bool))


def test_sensors_of_fewer_bands_are_filled_up() -> None:
    normalize = Normalize((*SENSORS, Sensor('pan', ('pan',), (7.0,), (2.0,))))
    image = torch.tensor([[110.0, 60.0], [9.0, 0.0]])[..., None, None]
    out = normalize(image, torch.ones(2, 1, 1, 1, dtype=torch.bool), torch.tensor([0, 2]))
    assert out.flatten().tolist() == [1.0, 2.0, 1.0, 0.0]
    assert torch.equal(normalize.inverse(out, torch.tensor([0, 2])), image)
