"""Where tokens lie, how a place becomes a vector, and features read at places."""

import math

import pytest
import torch
from torch import Tensor

from xscale.models.position import encode_positions, grid, sample_at, sincos, token_centres
from xscale.types import View

from ..tiny import view


def by_hand(row: float, col: float, dim: int) -> Tensor:
    """Encode one place: the column's sines and cosines, then the row's."""
    values = [
        function(place / 10000 ** (4 * i / dim))
        for place in (col, row)
        for function in (math.sin, math.cos)
        for i in range(dim // 4)
    ]
    return torch.tensor(values, dtype=torch.float64)


def test_index_on_a_grid_that_is_not_square() -> None:
    table = encode_positions(view(24, 40), 8, 16, 'index')
    assert table.shape == (1, 15, 16)
    assert table.dtype == torch.float32
    for row in range(3):
        for col in range(5):
            expected = by_hand(row, col, 16).float()
            torch.testing.assert_close(table[0, row * 5 + col], expected, rtol=0, atol=1e-7)


def test_gsd_counts_metres() -> None:
    """Each image by its own ground sample distance; at 1 m it is the index."""
    one = view(24, 40, batch=2)
    wide = View(one.image, torch.tensor([1.0, 2.5]), one.origin, one.valid)
    table = encode_positions(wide, 8, 16, 'gsd')
    torch.testing.assert_close(table[:1], encode_positions(one, 8, 16, 'index'))
    torch.testing.assert_close(table[1], sincos(grid(3, 5) * 2.5, 16).float(), rtol=0, atol=0)
    assert (table[0] - table[1]).abs().max() > 0.1


def test_gsd_with_pixels_that_are_not_square() -> None:
    one = view(24, 40, batch=1)
    tall = View(one.image, torch.tensor([2.0]), one.origin, one.valid, torch.tensor([4.0]))
    assert tall.pixel.tolist() == [[1.0, 4.0]]
    expected = sincos(grid(3, 5) * torch.tensor([1.0, 4.0]).double(), 16).float()
    torch.testing.assert_close(encode_positions(tall, 8, 16, 'gsd')[0], expected)


def test_tables_made_for_inference_can_be_trained_with() -> None:
    with torch.inference_mode():
        encode_positions(view(16, 88), 8, 16, 'index')
    weight = torch.ones(16, requires_grad=True)
    (encode_positions(view(16, 88), 8, 16, 'index') + weight).square().sum().backward()
    assert weight.grad is not None


def test_token_centres() -> None:
    one = view(16, 24, batch=2, gsd=3.0, origin=(100.0, 7.0))
    centres = token_centres(one, 8)
    assert centres.shape == (2, 6, 2)
    assert centres[0, 0].tolist() == [112.0, 19.0]
    assert centres[1, 5].tolist() == [100 + 12 * 3, 7 + 20 * 3]


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_sample_reads_a_ramp(dtype: torch.dtype) -> None:
    """Features that are their own places give back the places asked for, between the centres.

    In bfloat16 too, where the eight bits of the ramp are exact, and the places must not be rounded.
    """
    one = view(64, 160, batch=3, gsd=2.0, origin=(30.0, -4.0))
    index = grid(8, 20)[None].expand(3, -1, -1)
    share = torch.rand(3, 50, 2, generator=torch.Generator().manual_seed(0))
    first, last = token_centres(one, 8)[:, :1], token_centres(one, 8)[:, -1:]
    places = first + share * (last - first)
    read, inside = sample_at(index.to(dtype), one, places, 8)
    assert inside.all()
    expected = (places - one.origin[:, None]) / 16 - 0.5
    torch.testing.assert_close(read.float(), expected, rtol=0, atol=1e-4)


def test_sample_at_the_centres_is_the_identity() -> None:
    one = view(24, 40, gsd=0.7, origin=(3.0, 9.0))
    features = torch.randn(4, 15, 6, generator=torch.Generator().manual_seed(0))
    read, inside = sample_at(features, one, token_centres(one, 8), 8)
    assert inside.all()
    torch.testing.assert_close(read, features, rtol=0, atol=1e-5)


def test_sample_says_what_is_outside() -> None:
    one = view(16, 32, batch=1, gsd=2.0, origin=(10.0, 20.0))
    down, right = 10 + 32, 20 + 64
    places = [(10.0, 20.0), (down, right), (26.0, 50.0)]
    beyond = [(9.5, 50.0), (down + 0.5, 50.0), (26.0, 19.5), (26.0, right + 0.5)]
    read, inside = sample_at(torch.ones(1, 8, 2), one, torch.tensor([places + beyond]), 8)
    assert inside[0].tolist() == [True] * 3 + [False] * 4
    assert read.isfinite().all()
