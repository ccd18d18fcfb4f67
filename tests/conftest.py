"""Fixtures that several test files share."""

from pathlib import Path

import pytest

from .data.stack.data import write


@pytest.fixture(scope='session')
def stack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of tiny rasters of several sensors; see ``tests/data/stack/data.py``."""
    folder = tmp_path_factory.mktemp('stack')
    write(folder)
    return folder
