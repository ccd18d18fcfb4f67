"""Quarter turns and flips."""

import torch

from xscale.transforms import SYMMETRIES, turned


def test_all_of_a_square() -> None:
    """They differ, the first changes nothing, and each can be undone."""
    image = torch.arange(18.0).reshape(2, 3, 3)
    found = [turned(image, number) for number in range(SYMMETRIES)]
    assert torch.equal(found[0], image)
    assert len({tuple(one.ravel().tolist()) for one in found}) == 8
    assert found[1].tolist()[0] == [[2, 5, 8], [1, 4, 7], [0, 3, 6]]
    assert found[4].tolist()[0] == [[2, 1, 0], [5, 4, 3], [8, 7, 6]]
    for one in found:
        back = [turned(one, number) for number in range(SYMMETRIES)]
        assert any(torch.equal(image, other) for other in back)


def test_masks_turn_alike() -> None:
    image = torch.arange(16).reshape(4, 4)
    for number in range(SYMMETRIES):
        assert torch.equal(turned(image[None].float(), number)[0].long(), turned(image, number))
