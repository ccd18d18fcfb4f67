"""Fixtures of the tests of reading rasters."""

from pathlib import Path

import pytest

from xscale.datasets import Rasters


@pytest.fixture
def sentinel2(stack: Path) -> Rasters:
    return Rasters(stack / 'sentinel2')
