"""The square in the middle of an image."""

import pytest
import torch

from xscale.transforms import middle_square

from ..tiny import seeded


@pytest.mark.parametrize(('height', 'width'), [(20, 28), (29, 20)])
def test_the_middle(height: int, width: int) -> None:
    image = torch.rand(2, height, width, generator=seeded())
    valid = torch.ones(1, height, width, dtype=torch.bool)
    found = middle_square({'image': image, 'valid': valid, 'gsd': torch.tensor(2.0)}, 20)
    top, left = (height - 20) // 2, (width - 20) // 2
    assert torch.equal(found['image'], image[:, top : top + 20, left : left + 20])
    assert float(found['gsd']) == 2.0
    assert set(found) == {'image', 'valid', 'gsd'}


def test_metres_of_the_pixels_that_come_out() -> None:
    """Half as many pixels are twice as large; a hole stays one."""
    image = torch.full((1, 16, 20), 7.0)
    valid = torch.ones(1, 16, 20, dtype=torch.bool)
    valid[:, :8, :10] = False
    found = middle_square({'image': image, 'valid': valid, 'gsd': torch.tensor(0.5)}, 8)
    assert float(found['gsd']) == 1.0
    assert not found['valid'][0, 0, 0]
    assert found['image'][0, 0, 0] == 0
    torch.testing.assert_close(found['image'][0, -1, -1], torch.tensor(7.0))
