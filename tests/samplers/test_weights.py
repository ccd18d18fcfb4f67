"""How often each raster is drawn: by area, by raster, or by groups of like GSD."""

import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from xscale.datasets import Rasters
from xscale.errors import ConfigError, UnknownNameError
from xscale.geo import gsd_groups
from xscale.samplers import CrossScaleSampler

from ..holes import write_holed
from .test_cross_scale import blank

#: Of χ² with so many degrees of freedom 99.9 % lie below.
CHI_SQUARE = {1: 10.8, 2: 13.8, 3: 16.3}


@pytest.fixture(scope='module')
def sensors(tmp_path_factory: pytest.TempPathFactory) -> Rasters:
    """Two rasters of 1 m, one of 1.05 m and one of 10 m: 64, 16, 16 and 4 tiles of 32 px."""
    folder = tmp_path_factory.mktemp('sensors')
    blank(folder / 'a.tif', 256, 256, 1, 200_000)
    blank(folder / 'b.tif', 128, 128, 1, 300_000)
    blank(folder / 'c.tif', 128, 128, 1.05, 400_000)
    blank(folder / 'd.tif', 64, 64, 10, 500_000)
    return Rasters(folder)


def counts(dataset: Rasters, draws: int = 4000, **options: object) -> NDArray[np.integer]:
    """Draw tiles and count them by raster."""
    sampler = CrossScaleSampler(dataset, size=32, batch_size=40, tries=1, **options)
    rows = [d.tile.row for b in range(draws // 40) for d in sampler.batch(0, b)]
    return np.bincount(rows, minlength=len(dataset.rows))


def agree(found: NDArray[np.integer], expected: list[float]) -> bool:
    """Tell by χ² whether counts agree with shares."""
    share = np.array(expected) / sum(expected)
    square = ((found - found.sum() * share) ** 2 / (found.sum() * share)).sum()
    return square < CHI_SQUARE[len(expected) - 1]


@pytest.mark.parametrize(
    ('options', 'shares'),
    [
        ({}, [64, 16, 16, 4]),
        ({'balance': 'area'}, [64, 16, 16, 4]),
        ({'balance': 'raster'}, [1, 1, 1, 1]),
        # Groups of 96 and 4 tiles; inside a group by area.
        ({'balance': 'gsd'}, [64, 16, 16, 4]),
        ({'balance': 'gsd', 'temperature': 2.0}, [64, 16, 16, 96 * math.sqrt(4 / 96)]),
        ({'balance': 'gsd', 'temperature': 1e9}, [64, 16, 16, 96]),
        ({'balance': 'gsd', 'temperature': math.inf}, [64, 16, 16, 96]),
        ({'balance': 'gsd', 'temperature': 0.5}, [64, 16, 16, 96 * (4 / 96) ** 2]),
    ],
)
def test_frequencies(sensors: Rasters, options: dict, shares: list[float]) -> None:
    found = counts(sensors, **options)
    assert agree(found, shares)
    # The test tells shares apart that differ by a third in one place.
    assert not agree(found, [shares[0] * 4 / 3, *shares[1:]])


def test_temperature_one_is_by_area(sensors: Rasters) -> None:
    one, other = (
        CrossScaleSampler(sensors, size=32, batch_size=1, gsd=(1, 20), balance=balance)
        for balance in ('area', 'gsd')
    )
    share = one.weights.weight / one.weights.weight.sum()
    np.testing.assert_allclose(other.weights.weight / other.weights.weight.sum(), share)


def test_missing_data_weighs_nothing(tmp_path: Path) -> None:
    valid = np.ones((128, 128), bool)
    write_holed(tmp_path / 'a.tif', valid)
    valid = valid.copy()
    valid[:64] = False
    write_holed(tmp_path / 'b.tif', valid)
    sampler = CrossScaleSampler(Rasters(tmp_path), size=32, batch_size=1)
    np.testing.assert_allclose(sampler.weights.weight, [16, 8])


def test_rasters_left_out_join_no_groups(tmp_path: Path) -> None:
    """One of 1.09 m between 1 m and 1.18 m would make one group of the three."""
    blank(tmp_path / 'a.tif', 256, 256, 1, 200_000)
    blank(tmp_path / 'b.tif', 8, 8, 1.09, 300_000)
    blank(tmp_path / 'c.tif', 64, 64, 1.18, 400_000)
    sampler = CrossScaleSampler(
        Rasters(tmp_path), size=32, batch_size=1, balance='gsd', temperature=1e9
    )
    weight = sampler.weights.weight
    np.testing.assert_allclose(weight / weight.sum(), [0.5, 0, 0.5], rtol=1e-6)


def test_groups_of_like_ground_sample_distance() -> None:
    gsd = np.array([10, 0.6, 30, 10.004, 0.62, 15, 0.66, 9.96])
    np.testing.assert_array_equal(gsd_groups(gsd), [1, 0, 3, 1, 0, 2, 0, 1])
    np.testing.assert_array_equal(gsd_groups(np.array([5.0])), [0])


def test_an_epoch_covers_the_ground_once(sensors: Rasters) -> None:
    assert len(CrossScaleSampler(sensors, size=32, batch_size=1)) == 64 + 16 + 16 + 4


@pytest.mark.parametrize(
    ('options', 'error', 'text'),
    [
        ({'balance': 'date'}, UnknownNameError, "unknown balance 'date'; choose one of: area, gsd"),
        ({'balance': 'gsd', 'temperature': 0.0}, ConfigError, 'temperature 0.0: a number above 0'),
        ({'balance': 'gsd', 'temperature': -1.0}, ConfigError, 'temperature -1.0: a number'),
        ({'balance': 'gsd', 'temperature': math.nan}, ConfigError, 'temperature nan: a number'),
        ({'temperature': 2.0}, ConfigError, 'temperature 2.0 is for balance gsd, and balance is'),
        ({'max_nodata': 1.0}, ConfigError, 'max_nodata 1.0: a share from 0'),
        ({'max_nodata': -0.1}, ConfigError, 'max_nodata -0.1: a share from 0'),
    ],
)
def test_what_cannot_be_asked_for(
    sensors: Rasters, options: dict, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        CrossScaleSampler(sensors, size=32, batch_size=1, **options)
