"""Images in memory are those that were read, to the bit."""

import pytest
import torch
from torch import Tensor

from xscale.evaluation.features import Squares
from xscale.evaluation.kept import Kept, keep_squares
from xscale.types import Sample

from ..tiny import seeded


class Images:
    """Images that count how often they are read."""

    def __init__(self, values: Tensor, valid: Tensor | None = None) -> None:
        self.values, self.valid, self.reads = values, valid, 0

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: int) -> Sample:
        self.reads += 1
        image = self.values[index]
        valid = torch.ones(1, *image.shape[-2:], dtype=torch.bool)
        valid = valid if self.valid is None else self.valid[index]
        return {'image': image * valid, 'valid': valid, 'gsd': torch.tensor(0.5 + index)}


NOISE = torch.rand(3, 2, 12, 16, generator=seeded())
#: Values, and the bytes that one of them takes.
CASES = {
    'bytes': ((255 * NOISE).round(), 1),
    'reflectance': ((10_000 * NOISE).round(), 2),
    'negative': ((-300 * NOISE).round(), 2),
    'beyond': ((60_000 * NOISE).round(), 4),
    'fractions': (NOISE, 4),
    'not finite': (torch.where(NOISE < 0.1, torch.nan, (255 * NOISE).round()), 4),
}


@pytest.mark.parametrize('case', CASES)
@pytest.mark.parametrize('side', [12, 8])
def test_to_the_bit_and_read_once(case: str, side: int) -> None:
    values, size = CASES[case]
    images = Images(values, torch.rand(3, 1, 12, 16, generator=seeded(1)) < 0.9)
    expected = [Squares(images, side)[index] for index in range(3)]
    images.reads = 0
    kept = keep_squares(images, side, 10**6)
    assert isinstance(kept, Kept)
    for _ in range(2):
        for index, sample in enumerate(expected):
            assert kept[index].keys() == sample.keys()
            for name, tensor in sample.items():
                torch.testing.assert_close(
                    kept[index][name], tensor, rtol=0, atol=0, equal_nan=True
                )
    assert images.reads == 3
    if side == 12:
        assert kept.samples[0]['image'].untyped_storage().nbytes() == 2 * 12 * 12 * size


def test_where_there_is_no_room() -> None:
    images = Images((255 * NOISE).round())
    # Each takes 288 bytes of pixels, 1 that says they are all valid, and 4 of its GSD.
    assert isinstance(keep_squares(images, 12, 3 * 293), Kept)
    squares = keep_squares(images, 12, 3 * 293 - 1)
    assert isinstance(squares, Squares)
    assert torch.equal(squares[2]['image'], Kept([Squares(images, 12)[2]])[0]['image'])
