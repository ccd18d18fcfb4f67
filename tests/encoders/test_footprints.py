"""Which images show ground that an encoder was pretrained on."""

import numpy as np
import torch

from xscale.datamodules.footprints import footprints_of
from xscale.encoders import seen_footprints

NAN = float('nan')


def boxes(*rows: tuple[float, float, float, float]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def test_seen() -> None:
    contract = {'footprints': boxes((10, 40, 11, 41), (179.9, 0, 180.1, 1)).float()}
    images = boxes(
        (10.2, 40.2, 10.3, 40.3),  # inside
        (9, 39, 12, 42),  # around
        (10.999, 40.999, 12, 42),  # a corner
        (11, 40, 12, 41),  # beside: an edge in common is no ground in common
        (11.5, 40, 12, 41),
        (NAN, NAN, NAN, NAN),
        (-179.95, 0.2, -179.94, 0.3),  # the same ground across the antimeridian
        (-179.8, 0.2, -179.7, 0.3),
        (10.5, 40.5, 10.5, 40.5),  # a point
    )
    expected = [True, True, True, False, False, False, True, False, True]
    assert seen_footprints(contract, images).tolist() == expected


def test_steps_of_float32_are_no_ground() -> None:
    """Tiles side by side, some of them trained on: their neighbours are not seen."""
    west = 179 + torch.arange(1000, dtype=torch.float64) * 1e-4
    tiles = torch.stack([west, torch.full_like(west, 60.1), west + 1e-4, west * 0 + 60.2], dim=1)
    trained = footprints_of(tiles[::2].numpy())
    assert seen_footprints({'footprints': trained}, tiles).tolist() == [True, False] * 500


def test_nothing_known() -> None:
    images = boxes((10, 40, 11, 41))
    assert not seen_footprints({}, images).any()
    assert not seen_footprints({'footprints': torch.zeros(0, 4)}, images).any()
    nowhere = torch.full((3, 4), NAN, dtype=torch.float64)
    assert seen_footprints({'footprints': images.float()}, nowhere).tolist() == [False] * 3


def test_every_pair() -> None:
    draw = np.random.default_rng(0)
    corner = draw.uniform(-10, 10, (700, 2))
    drawn = torch.from_numpy(np.hstack([corner, corner + draw.uniform(0.1, 1, (700, 2))]))
    # Many dates of one place.
    images, trained = drawn[:300], torch.cat([drawn[300:], drawn[:1].expand(500, -1)])
    low = torch.maximum(images[:, None, :2], trained[:, :2])
    high = torch.minimum(images[:, None, 2:], trained[:, 2:])
    expected = (high > low).all(-1).any(1)
    assert 20 < expected.sum() < 280
    assert torch.equal(seen_footprints({'footprints': trained.float()}, images), expected)
