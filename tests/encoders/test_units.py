"""Bands and values of the data against those an encoder was trained on."""

import pytest
import torch

from xscale.encoders import check_values, choose_sensor
from xscale.encoders.bands import match_bands
from xscale.encoders.intake import Intake
from xscale.errors import ConfigError, UnknownNameError
from xscale.types import Sensor

RGB = ('red', 'green', 'blue')
BYTES = Sensor('aerial', RGB, (100.0, 105.0, 95.0), (50.0, 48.0, 49.0))
UNIT = Sensor('ImageNet, 0..1', RGB, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
REFLECTANCE = Sensor('sentinel-2', ('B04', 'B03', 'B02'), (1100.0, 1050.0, 950.0), (600.0,) * 3)
SCALED = Sensor('reflectance / 10000', ('B04', 'B03', 'B02'), (0.0,) * 3, (10000.0,) * 3)


@pytest.mark.parametrize(
    ('have', 'need', 'order'),
    [
        (RGB, RGB, [0, 1, 2]),
        (('blue', 'green', 'red'), RGB, [2, 1, 0]),
        (('R', 'G', 'B', 'N'), ('nir', 'red'), [3, 0]),
        (RGB, ('B04', 'B03', 'B02'), [0, 1, 2]),
        (('B01', 'B02', 'B03', 'B04', 'B08', 'B8A'), RGB, [3, 2, 1]),
        (('B2', 'B8A'), ('B08A', 'b02'), [1, 0]),
        (('rededge071', 'nir'), ('RedEdge071',), [0]),
        # Landsat 4–7 counts its visible bands from B1, so numbers alone say nothing.
        (('B1', 'B2', 'B3', 'B4', 'B5', 'B6', 'B7'), RGB, None),
        (('1', '2', '3'), RGB, [0, 1, 2]),
        (RGB, ('1', '2', '3'), [0, 1, 2]),
        (('1', '2', '3', '4'), RGB, None),
        (('red', 'red', 'green', 'blue'), RGB, None),
        (('red', 'green'), RGB, None),
        (('VV', 'VH'), RGB[:2], None),
    ],
)
def test_bands(have: tuple[str, ...], need: tuple[str, ...], order: list[int] | None) -> None:
    assert match_bands(have, need) == order


def test_choose_sensor() -> None:
    sensors = [REFLECTANCE, BYTES, UNIT]
    assert choose_sensor(sensors, RGB, (90, 95, 85), (55, 50, 40)) == 1
    assert choose_sensor(sensors, RGB, (0.4, 0.4, 0.3), (0.2, 0.2, 0.2)) == 2
    assert choose_sensor(sensors, RGB, (1500, 1400, 1300), (900, 900, 800)) == 0
    # The order of the bands is the sensor's: blue is much darker than red here.
    odd = Sensor('odd', RGB, (100.0, 50.0, 10.0), (10.0, 10.0, 10.0))
    even = Sensor('even', RGB, (10.0, 50.0, 100.0), (10.0, 10.0, 10.0))
    assert choose_sensor([even, odd], RGB[::-1], (10, 50, 100), (10, 10, 10)) == 1
    with pytest.raises(ConfigError, match='bands VV, VH; the encoder was trained on B04, B03, B02'):
        choose_sensor(sensors, ('VV', 'VH'), (0, 0), (1, 1))


@pytest.mark.parametrize('sensor', [BYTES, UNIT, REFLECTANCE])
def test_values_that_fit(sensor: Sensor) -> None:
    assert check_values(sensor.mean, sensor.std, sensor) is None
    brighter = [m + 2 * s for m, s in zip(sensor.mean, sensor.std, strict=True)]
    assert check_values(brighter, [s / 4 for s in sensor.std], sensor) is None
    # One band that differs is a band, not another unit.
    assert check_values((1e4 * sensor.mean[0], *sensor.mean[1:]), sensor.std, sensor) is None


@pytest.mark.parametrize(
    ('data', 'sensor', 'cause'),
    [
        (UNIT, BYTES, 'look like values of 0..1, and it like bytes, 0..255'),
        (BYTES, UNIT, 'look like bytes, 0..255, and it like values of 0..1'),
        (BYTES, REFLECTANCE, 'look like bytes, 0..255, and it like reflectance'),
        (REFLECTANCE, BYTES, 'look like reflectance'),
        (REFLECTANCE, UNIT, 'look like reflectance'),
        (UNIT, SCALED, 'look like values of 0..1'),
        (BYTES, SCALED, 'look like bytes'),
    ],
)
def test_values_of_other_units(data: Sensor, sensor: Sensor, cause: str) -> None:
    warning = check_values(data.mean, data.std, sensor)
    assert warning is not None
    assert cause in warning
    assert sensor.name in warning
    assert 'scores at chance' in warning


def test_values_of_a_fixed_scale() -> None:
    assert check_values(REFLECTANCE.mean, REFLECTANCE.std, SCALED) is None
    assert check_values((300,) * 3, (100,) * 3, SCALED) is None


def test_intake_of_bytes() -> None:
    """Bytes are known to be 0..255; other values are not guessed, but warned of."""
    bytes_, image = Intake([UNIT], RGB, 'uint8'), torch.full((1, 3, 2, 2), 51.0)
    assert bytes_.fit(BYTES.mean, BYTES.std) == []
    torch.testing.assert_close(bytes_(image), torch.full((1, 3, 2, 2), 0.2))
    assert bytes_.notes == ['values are divided by 255, for it was trained on 0..1']
    words = Intake([UNIT], RGB, 'uint16')
    (warning,) = words.fit(REFLECTANCE.mean, REFLECTANCE.std)
    assert 'reflectance' in warning
    assert torch.equal(words(image), image)
    assert words.notes == []
    assert str(words) != str(bytes_)
    # Bytes for a sensor of bytes stay.
    assert torch.equal(Intake([BYTES], RGB, 'uint8')(image), image)


def test_intake_chooses() -> None:
    """Of several sensors the one with the data's values, or the one that is named."""
    sensors = [REFLECTANCE, UNIT, BYTES]
    intake = Intake(sensors, RGB, 'float32')
    with pytest.raises(ConfigError, match=r"'sentinel-2', 'ImageNet, 0\.\.1', 'aerial'; name one"):
        intake(torch.zeros(1, 3, 2, 2))
    assert intake.fit((1000, 1000, 900), (500, 500, 500)) == []
    assert intake.sensor is REFLECTANCE
    assert intake.notes == ['the data are taken for sentinel-2']
    # Bytes are near a sensor of 0..1 once they are divided.
    near = Intake([REFLECTANCE, UNIT], RGB, 'uint8')
    assert near.fit((120, 115, 105), (58, 57, 57)) == []
    assert (near.sensor, near.divisor) == (UNIT, 255.0)
    named = Intake(sensors, RGB, 'float32', sensor='aerial')
    assert named.sensor is BYTES
    assert len(named.fit(REFLECTANCE.mean, REFLECTANCE.std)) == 1
    with pytest.raises(UnknownNameError, match='landsat'):
        Intake(sensors, RGB, 'uint8', sensor='landsat')
    with pytest.raises(ConfigError, match='2 means and 3 deviations came for 3 bands'):
        named.fit((1, 2), (1, 2, 3))


def test_intake_picks_bands() -> None:
    bands = ('B02', 'B03', 'B04', 'B08')
    intake = Intake([BYTES], bands, 'uint8')
    image = torch.arange(4.0)[None, :, None, None].expand(1, 4, 2, 2)
    assert intake(image)[0, :, 0, 0].tolist() == [2, 1, 0]
    assert intake.notes == ['of the bands B02, B03, B04, B08 it sees B04, B03, B02']
    # Statistics are of the data's bands, in their order.
    assert intake.fit((95, 105, 100, 9999), (49, 48, 50, 9)) == []
    with pytest.raises(ConfigError, match=r'bands VV, VH; .* trained on red, green, blue'):
        Intake([BYTES], ('VV', 'VH'), 'float32')
    assert Intake([BYTES], ('1', '2', '3'), 'uint8').notes == [
        'bands 1, 2, 3 are taken for red, green, blue'
    ]
