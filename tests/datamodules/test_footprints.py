"""Where a model was trained, as its checkpoint keeps it."""

from pathlib import Path

import numpy as np
import pytest
import torch

from xscale.datamodules import CrossScaleDataModule, FMoWDataModule
from xscale.datamodules.footprints import footprints_of


def test_doubles_and_unknown_ones() -> None:
    bounds = np.array([[1, 2, 3, 4], [np.nan] * 4, [1, 2, 3, 4], [0, 0, 1, 1.0]])
    found = footprints_of(bounds)
    assert found.dtype == torch.float32
    assert found.tolist() == [[0, 0, 1, 1], [1, 2, 3, 4]]
    assert footprints_of(bounds[1:2]).shape == (0, 4)


def test_merged() -> None:
    """Few enough, and each box lies within one of them."""
    corner = np.random.default_rng(0).uniform(0, 3, (5000, 2))
    bounds = np.hstack([corner, corner + 0.004])
    merged = footprints_of(bounds, most=2000).double().numpy()
    assert len(merged) <= 2000
    sides = merged[:, 2:] - merged[:, :2]
    assert (sides < 0.2001).all()
    inside = (merged[:, None, :2] <= bounds[:, :2] + 1e-6) & (
        merged[:, None, 2:] >= bounds[:, 2:] - 1e-6
    )
    assert inside.all(-1).any(0).all()
    # As many as it takes, at worst ever larger squares.
    assert len(footprints_of(bounds, most=20)) <= 20


def test_of_folders(stack: Path) -> None:
    """Those of the rasters that training draws from."""
    data = CrossScaleDataModule(str(stack), bands=['red'], tile_size=64, batch_size=2)
    data.setup('fit')
    assert data.train_dataset is not None
    assert data.train_sampler is not None
    used = data.train_sampler.weights.weight > 0
    bounds = data.train_dataset.rows.bounds[used]
    found = data.contract['footprints']
    assert found.shape == (len(np.unique(bounds, axis=0)), 4)
    np.testing.assert_allclose(np.sort(found, 0), np.sort(np.unique(bounds, axis=0), 0), rtol=1e-6)


def test_of_fmow(fmow: Path) -> None:
    data = FMoWDataModule(str(fmow / 'rgb'), tile_size=64, batch_size=2)
    data.setup('fit')
    assert data.train_dataset is not None
    bounds = data.train_dataset.images.bounds
    known = bounds[np.isfinite(bounds).all(1)]
    found = data.contract['footprints']
    assert len(found)
    assert found.min(0).values.tolist() == pytest.approx(known.min(0).tolist(), rel=1e-6)
