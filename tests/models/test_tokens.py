"""Images as rows of patches, and back."""

import pytest
import torch

from xscale.errors import InputSizeError
from xscale.models.tokens import patchify, unpatchify

from ..tiny import seeded


def test_inverse() -> None:
    image = torch.randn(2, 5, 12, 20, generator=seeded())
    patches = patchify(image, 4)
    assert patches.shape == (2, 15, 80)
    assert torch.equal(unpatchify(patches, 4, 12, 20), image)


def test_order() -> None:
    """Patches row by row; inside a patch row, column, channel."""
    image = torch.randn(1, 3, 4, 6, generator=seeded())
    patches = patchify(image, 2)
    expected = [image[0, c, 2 + i, 4 + j] for i in range(2) for j in range(2) for c in range(3)]
    assert torch.equal(patches[0, 1 * 3 + 2], torch.stack(expected))


@pytest.mark.parametrize(
    ('size', 'near'), [((30, 32), '32×32'), ((32, 41), '32×40'), ((3, 8), '8×8')]
)
def test_size(size: tuple[int, int], near: str) -> None:
    with pytest.raises(InputSizeError, match=f'{size[0]}×{size[1]} px .* 8 px; {near} would'):
        patchify(torch.zeros(1, 3, *size), 8)
