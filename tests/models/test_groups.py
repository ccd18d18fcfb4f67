"""Groups of bands share an encoder, each with a patch embedding of its own."""

import torch
from torch import nn

from xscale.models.groups import by_group, create_embeds, narrow, widen
from xscale.models.tokens import patchify
from xscale.models.vit import embed

from ..tiny import encoder, seeded


def test_each_image_by_its_own_function() -> None:
    x = torch.arange(8.0).reshape(4, 2)
    group = torch.tensor([1, 0, 2, 1])
    functions = [lambda rows: rows, lambda rows: -rows, lambda rows: 10 * rows]
    expected = x * torch.tensor([-1.0, 1, 10, -1])[:, None]
    assert torch.equal(by_group(functions, x, group), expected)
    assert torch.equal(by_group(functions, x, None), x)


def test_a_group_without_images_takes_part_with_gradients_of_zero() -> None:
    heads = [nn.Linear(2, 3), nn.Linear(2, 3)]
    by_group(heads, torch.ones(4, 2), torch.zeros(4, dtype=torch.int64)).sum().backward()
    assert heads[1].weight.grad is not None
    assert not heads[1].weight.grad.any()
    assert heads[0].weight.grad.any()


def test_tokens_of_a_group_are_those_of_its_own_convolution() -> None:
    model = encoder()
    embeds = create_embeds(model, {'wide': 5, 'pan': 1})
    assert [name for name, _ in embeds.named_parameters()] == [
        *('wide.proj.weight', 'wide.proj.bias', 'pan.proj.weight', 'pan.proj.bias')
    ]
    image = torch.randn(4, 5, 32, 32, generator=seeded())
    group = torch.tensor([2, 0, 1, 0])
    tokens = embed(model, patchify(image, 8), embeds, group)
    own = [embeds['pan'], model.patch_embed, embeds['wide'], model.patch_embed]
    for number, (part, channels) in enumerate(zip(own, (1, 3, 5, 3), strict=True)):
        expected = part.proj(image[number : number + 1, :channels]).flatten(2).mT[0]
        torch.testing.assert_close(tokens[number], expected, rtol=1e-5, atol=1e-5)


def test_channels_are_kept_and_filled_up_in_place() -> None:
    image = torch.randn(2, 5, 16, 16, generator=seeded())
    patches = patchify(image, 8)
    assert torch.equal(narrow(patches, 3, 8), patchify(image[:, :3], 8))
    filled = image.clone()
    filled[:, 3:] = 0
    assert torch.equal(widen(narrow(patches, 3, 8), 5, 8), patchify(filled, 8))
