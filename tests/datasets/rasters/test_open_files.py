"""Files that break while they are read, and how many stay open."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from xscale.datasets import Rasters

from ...data.stack.data import write_raster
from .tiles import DEGREES, tile


def ruin(path: Path, how: str) -> None:
    content = path.read_bytes()
    if how == 'deleted':
        path.unlink()
    elif how == 'truncated':
        os.truncate(path, len(content) // 3)
    elif how == 'replaced':
        path.unlink()
        path.write_bytes(content[: len(content) // 3])
    elif how == 'header only':
        path.write_bytes(content[:50])
    else:
        path.unlink()
        write_raster(path, np.ones((1, 512, 512), np.uint16))


@pytest.mark.parametrize('crs', ['EPSG:32633', 'EPSG:4326'], ids=['native', 'warped'])
@pytest.mark.parametrize('open_before', [False, True])
@pytest.mark.parametrize('how', ['deleted', 'truncated', 'replaced', 'header only', 'fewer bands'])
def test_a_file_that_breaks_leaves_its_tile_empty(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], how: str, open_before: bool, crs: str
) -> None:
    pixels = np.random.default_rng(0).integers(1, 60000, (3, 512, 512)).astype(np.uint16)
    blocks = {'tiled': True, 'blockxsize': 64, 'blockysize': 64}
    for name in ('a', 'b'):
        grid = DEGREES if crs == 'EPSG:4326' else None
        write_raster(tmp_path / f'{name}.tif', pixels, crs, grid, **blocks)
    dataset = Rasters(tmp_path)
    sample = dataset[tile(dataset, 150, 10, 64, 64)]
    assert (sample['row'], sample['unreadable']) == (0, False)
    if not open_before:
        dataset = pickle.loads(pickle.dumps(dataset))
    path = tmp_path / 'a.tif'
    ruin(path, how)
    # What another file took the place of is still there for those who hold it open.
    kept = open_before and how in ('deleted', 'replaced', 'fewer bands')
    far = tile(dataset, 150, 400, 64, 64)
    for _ in range(2):
        broken = dataset[far]
        assert broken.keys() == sample.keys()
        assert broken['unreadable'] == (not kept)
        assert broken['unreadable'].dtype == torch.bool
        if not kept:
            assert not broken['valid'].any()
            assert not broken['image'].any()
            assert broken['image'].shape == sample['image'].shape
            assert 0 not in dataset._handles
    said = capsys.readouterr().err
    assert said.count(f'xscale: cannot read {path} (') == said.count('\n') == (not kept)
    fine = dataset[tile(dataset, 150, 400, 64, 64, number=1)]
    assert (fine['row'], fine['unreadable']) == (1, False)
    assert fine['valid'].any()


def test_a_file_that_comes_back_is_read_again(tmp_path: Path) -> None:
    path = write_raster(tmp_path / 'a.tif', np.arange(1, 4097, dtype=np.uint16).reshape(64, 64))
    dataset = Rasters(path)
    place = tile(dataset, 0, 0, 64, 64)
    path.rename(tmp_path / 'elsewhere')
    assert dataset[place]['unreadable']
    (tmp_path / 'elsewhere').rename(path)
    assert not dataset[place]['unreadable']
    assert dataset[place]['image'].max() == 4096


def test_few_files_stay_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('xscale.datasets.rasters.OPEN_FILES', 2)
    for number in range(5):
        write_raster(tmp_path / f'{number}.tif', np.full((20, 20), number + 1, np.uint8))
    dataset = Rasters(tmp_path)
    for number in (0, 1, 2, 3, 4, 0, 4):
        assert (dataset[tile(dataset, 0, 0, 20, 20, number)]['image'] == number + 1).all()
        assert len(dataset._handles) <= 2
