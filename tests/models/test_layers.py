"""Features of several blocks."""

import pytest
import torch
from torch import Tensor

from xscale.errors import InputSizeError
from xscale.models.checkpoint import Encoder
from xscale.models.layers import encode_layers
from xscale.models.layouts import view_tokens

from ..tiny import encoder, seeded

SENSOR = {'name': 'a', 'bands': ['r', 'g', 'b'], 'mean': [0.0] * 3, 'std': [1.0] * 3}


def tokens_of(whole: Encoder, image: Tensor, gsd: Tensor) -> Tensor:
    view = whole.see(image, gsd)
    return view_tokens(whole.model, view, whole.position, whole.embeds, whole.layout)


@pytest.mark.parametrize('position', ['index', 'gsd', 'table'])
def test_the_last_is_what_the_encoder_says(position: str) -> None:
    whole = Encoder(encoder(), {'sensors': [SENSOR]}, position=position).eval()  # type: ignore[arg-type]
    image = torch.randn(2, 3, 24, 40, generator=seeded())
    gsd = torch.tensor([1.0, 3.0])
    tokens, pooled = whole.encode(image, gsd)
    first, last = encode_layers(whole, image, gsd, [0, 1])
    assert last.maps.shape == first.maps.shape == (2, 32, 3, 5)
    torch.testing.assert_close(last.maps.flatten(2).mT, tokens)
    assert last.first is not None
    torch.testing.assert_close(last.first[:, 0], pooled['class'])
    # The first block's, by hand.
    prefix = whole.model.cls_token + whole.model.pos_embed[:, :1]
    embedded = torch.cat([prefix.expand(2, -1, -1), tokens_of(whole, image, gsd)], dim=1)
    expected = whole.model.norm(whole.model.blocks[0](embedded))
    torch.testing.assert_close(first.maps.flatten(2).mT, expected[:, 1:])


def test_sides_that_patches_do_not_divide() -> None:
    whole = Encoder(encoder(), {'sensors': [SENSOR]}).eval()
    with pytest.raises(InputSizeError):
        encode_layers(whole, torch.zeros(1, 3, 30, 32), 1.0, [1])
