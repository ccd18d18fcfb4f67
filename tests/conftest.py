"""Fixtures that several test files share."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest

from .data.fmow.data import write as write_fmow
from .data.stack.data import write


@pytest.fixture(scope='session', autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep catalogues away from the user's own."""
    folder = tmp_path_factory.mktemp('cache')
    with patch.dict(os.environ, XSCALE_CACHE=str(folder)):
        yield folder


@pytest.fixture(scope='session')
def stack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of tiny rasters of several sensors; see ``tests/data/stack/data.py``."""
    folder = tmp_path_factory.mktemp('stack')
    write(folder)
    return folder


@pytest.fixture(scope='session')
def fmow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of tiny data in three layouts of fMoW; see ``tests/data/fmow/data.py``."""
    folder = tmp_path_factory.mktemp('fmow')
    write_fmow(folder)
    return folder


@pytest.fixture(autouse=True)
def same_environment() -> Iterator[None]:
    """Forget what a run leaves in the environment: Lightning its seed, TorchGeo how GDAL opens."""
    with patch.dict(os.environ):
        # Fixtures of a file have their runs before this.
        os.environ.pop('PL_GLOBAL_SEED', None)
        os.environ.pop('GDAL_DISABLE_READDIR_ON_OPEN', None)
        yield


@pytest.fixture(autouse=True)
def same_signals() -> Iterator[None]:
    """Whatever happens, signals are handled as before."""
    watched = (signal.SIGINT, signal.SIGTERM)
    outside = signal.getsignal(signal.SIGINT)
    # Ctrl-C is ignored where a shell starts in the background, and in a process of pytest-xdist.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    before = [signal.getsignal(number) for number in watched]
    yield
    after = [signal.getsignal(number) for number in watched]
    signal.signal(signal.SIGINT, outside)
    assert after == before
