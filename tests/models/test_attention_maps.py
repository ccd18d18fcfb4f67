"""Attention of each block, whatever computed the output."""

import pytest
import timm
import torch
from torch import nn

from xscale.encoders import find_encoder
from xscale.errors import ConfigError
from xscale.models.attention import set_backend
from xscale.models.attention_maps import attention_maps, softmax_of

from ..tiny import encoder, seeded


def tokens(count: int = 17) -> torch.Tensor:
    return torch.randn(2, count, 32, generator=seeded())


@pytest.mark.parametrize('backend', ['sdpa', 'math'])
def test_blocks(backend: str) -> None:
    """Attention times the values is what each layer puts out."""
    model, image = encoder(), torch.randn(2, 3, 32, 32, generator=seeded())
    set_backend(model, backend)
    model.eval()
    put_out: list[torch.Tensor] = []
    seen: list[torch.Tensor] = []

    def keep(_: nn.Module, args: tuple[torch.Tensor], out: torch.Tensor) -> None:
        seen.append(args[0])
        put_out.append(out)

    for block in model.blocks:
        block.attn.register_forward_hook(keep)
    before = model.forward_features(image)
    seen.clear()
    put_out.clear()
    maps = attention_maps(model, lambda: model.forward_features(image), lambda one: one)
    assert len(maps) == len(model.blocks) == 2
    for block, attention, x, out in zip(model.blocks, maps, seen, put_out, strict=True):
        assert attention.shape == (2, 2, 17, 17)
        torch.testing.assert_close(attention.sum(-1), torch.ones(2, 2, 17))
        value = block.attn.qkv(x).reshape(2, 17, 3, 2, 16)[:, :, 2].transpose(1, 2)
        mixed = (attention @ value).transpose(1, 2).flatten(2)
        torch.testing.assert_close(block.attn.proj(mixed), out, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(model.forward_features(image), before, rtol=0, atol=0)


def test_bias() -> None:
    layer = encoder().blocks[0].attn
    closed = torch.full((17, 17), float('-inf')).fill_diagonal_(0.0)
    torch.testing.assert_close(
        softmax_of(layer, tokens(), closed), torch.eye(17).expand(2, 2, -1, -1)
    )


def test_hooks_go() -> None:
    """Also when the model fails; then nothing is looked at any more."""
    model = encoder()
    calls = []
    with pytest.raises(RuntimeError, match='stop'):
        attention_maps(model, lambda: (_ for _ in ()).throw(RuntimeError('stop')), calls.append)
    model.forward_features(torch.zeros(1, 3, 32, 32))
    assert calls == []


def test_of_encoders_to_compare() -> None:
    embedder = find_encoder('random:test_vit', bands=('a',), dtype='uint8')
    embedder.fit_data([1.0], [2.0])
    image, gsd = torch.rand(1, 1, 32, 48, generator=seeded()), torch.ones(1)
    shapes = attention_maps(embedder, lambda: embedder(image, gsd), lambda maps: maps.shape[-1])
    assert shapes == [7] * 6
    plain = timm.create_model('test_vit', num_classes=0).eval()
    image = torch.zeros(1, 3, 160, 160)
    assert len(attention_maps(plain, lambda: plain.forward_features(image), len)) == 6
    with pytest.raises(ConfigError, match='Linear holds no attention layers'):
        attention_maps(nn.Linear(2, 2), lambda: None, len)
