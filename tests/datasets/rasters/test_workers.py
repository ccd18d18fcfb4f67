"""Data sets in workers: pickled small, and read as in the parent."""

import pickle
from pathlib import Path

import torch
from torch.utils.data import DataLoader

from xscale.datasets import Rasters, TileSlice

from ...holes import collar, write_holed
from .tiles import tile


def test_slices_and_datasets_survive_pickling(sentinel2: Rasters) -> None:
    place = tile(sentinel2, 30, 20, 70.5, 64)
    again = pickle.loads(pickle.dumps(place))
    assert isinstance(again, TileSlice)
    assert (again, again.tile, again.gsd) == (place, place.tile, place.gsd)
    sample = sentinel2[place]
    copy = pickle.loads(pickle.dumps(sentinel2))
    torch.testing.assert_close(copy[again], sample, rtol=0, atol=0)


def test_workers_after_the_parent_has_read(stack: Path) -> None:
    dataset = Rasters([stack / 'sentinel2', stack / 'naip', stack / 'degrees'])
    places = [tile(dataset, 3 * i, 5, 64, 64, i % 3) for i in range(18)]
    expected = [dataset[place] for place in places]
    loader = DataLoader(dataset, batch_size=3, sampler=places, num_workers=2)
    batches = [batch for _ in range(2) for batch in loader]
    for number, batch in enumerate(batches):
        for offset in range(3):
            sample = {key: value[offset] for key, value in batch.items()}
            torch.testing.assert_close(sample, expected[(3 * number + offset) % 18], rtol=0, atol=0)


def test_a_pickled_copy_carries_the_table_alone(tmp_path: Path) -> None:
    """What is made of it when asked for is made again in the worker."""
    for number in range(50):
        write_holed(tmp_path / f'{number}.tif', collar(40, 40))
    dataset = Rasters(tmp_path)
    fresh = len(pickle.dumps(dataset))
    rows = [dataset.rows[number] for number in range(50)]
    dataset.rows.bounds, dataset.rows.times, dataset.rows.validity(0)
    assert len(pickle.dumps(dataset.rows)) <= fresh
    copy = pickle.loads(pickle.dumps(dataset))
    assert [copy.rows[number] for number in range(50)] == rows
    assert copy.rows.table.equals(dataset.rows.table)
