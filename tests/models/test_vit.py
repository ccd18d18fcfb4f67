"""The encoder is timm's, for any patches and any size."""

from functools import partial
from typing import Any

import pytest
import timm
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor
from torch.nn import functional as F

from xscale.errors import ConfigError, UnknownNameError
from xscale.models.tokens import patchify
from xscale.models.vit import create_encoder, embed, encode, encoder_positions, patch_size
from xscale.objectives import find_objective
from xscale.types import View

from ..tiny import DECODER, encoder, seeded, view


def features(model: VisionTransformer, image: Tensor) -> Tensor:
    valid = torch.ones_like(image[:, :1], dtype=torch.bool)
    look = View(image, torch.ones(len(image)), torch.zeros(len(image), 2), valid)
    tokens = embed(model, patchify(image, patch_size(model)))
    return encode(model, tokens + encoder_positions(model, look, 'index'))


@pytest.mark.parametrize(
    'name', ['vit_tiny_patch16_224', 'test_vit', 'vit_wee_patch16_reg1_gap_256']
)
@torch.inference_mode()
def test_equals_timm(name: str) -> None:
    model = create_encoder(name, 4).eval()
    plain = timm.create_model(name, in_chans=4, num_classes=0).eval()
    plain.load_state_dict(model.state_dict())
    image = torch.randn(2, 4, *model.patch_embed.img_size, generator=seeded())
    torch.testing.assert_close(
        features(model, image), plain.forward_features(image), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize(
    'options',
    [
        {'class_token': False, 'global_pool': 'avg'},
        {'class_token': False, 'global_pool': 'avg', 'reg_tokens': 2},
        {'reg_tokens': 3},
        {'reg_tokens': 3, 'no_embed_class': True, 'pre_norm': True, 'init_values': 0.1},
    ],
    ids=['no class', 'no class, registers', 'class, registers', 'class apart'],
)
@torch.inference_mode()
def test_prefix_tokens(options: dict[str, Any]) -> None:
    model = encoder(**options).eval()
    for token in (model.cls_token, model.reg_token):
        if token is not None:
            torch.nn.init.normal_(token)
    # A row of its own for each prefix token, as learned tables have.
    model.pos_embed.add_(torch.randn(model.pos_embed.shape, generator=seeded(1)) * 0.1)
    image = torch.randn(2, 3, 32, 32, generator=seeded())
    tokens = embed(model, patchify(image, 8)) + encoder_positions(model, view(batch=2), 'table')
    torch.testing.assert_close(
        encode(model, tokens), model.forward_features(image), rtol=1e-5, atol=1e-5
    )


@torch.inference_mode()
def test_any_size() -> None:
    """Equal to a model that timm builds for that size with the sin-cos table of its grid."""
    model = encoder().eval()
    wide = encoder(img_size=(24, 48)).eval()
    wide.load_state_dict(
        {k: v for k, v in model.state_dict().items() if k != 'pos_embed'}, strict=False
    )
    image = torch.randn(2, 3, 24, 48, generator=seeded())
    torch.testing.assert_close(
        features(model, image), wide.forward_features(image), rtol=1e-5, atol=1e-5
    )


@torch.inference_mode()
def test_some_patches() -> None:
    """The embedding of a few patches is the convolution's at those."""
    model = encoder()
    image = torch.randn(2, 3, 32, 32, generator=seeded())
    some = torch.tensor([3, 0, 9])
    expected = model.patch_embed(image)[:, some]
    torch.testing.assert_close(
        embed(model, patchify(image, 8)[:, some]), expected, rtol=1e-5, atol=1e-6
    )


@torch.inference_mode()
def test_without_the_final_norm() -> None:
    model = encoder().eval()
    torch.nn.init.normal_(model.norm.weight)
    tokens = torch.randn(2, 5, 32, generator=seeded())
    raw = encode(model, tokens, normalize=False)
    torch.testing.assert_close(model.norm(raw), encode(model, tokens))
    assert not torch.allclose(raw, encode(model, tokens))


@torch.inference_mode()
def test_post_norm() -> None:
    block = create_encoder('test_vit', block='post_norm').eval().blocks[0]
    assert block.norm1.eps == 1e-5
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    x = torch.randn(2, 5, 64, generator=seeded())
    norm = partial(F.layer_norm, normalized_shape=(64,))
    x_ = norm(x + block.attn(x), weight=block.norm1.weight, bias=block.norm1.bias)
    x_ = norm(x_ + block.mlp(x_), weight=block.norm2.weight, bias=block.norm2.bias)
    torch.testing.assert_close(block(x), x_)


def test_fixed_positions_and_drop_path() -> None:
    model = create_encoder('test_vit', drop_path=0.3)
    assert not model.pos_embed.requires_grad
    assert not model.pos_embed[:, 0].any()
    assert model.blocks[-1].drop_path1.drop_prob == pytest.approx(0.3)


@pytest.mark.parametrize(
    'name',
    [
        'vit_base_r50_s16_224',
        'resnet18',
        'swin_tiny_patch4_window7_224',
        'deit_tiny_distilled_patch16_224',
        'eva02_tiny_patch14_224',
    ],
)
def test_other_architectures_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f'{name} is not a plain vision transformer; try vit_'):
        create_encoder(name)


def test_unknown_names() -> None:
    with pytest.raises(UnknownNameError, match=r"timm model 'vit_basic'; .*vit_base_patch16_224"):
        create_encoder('vit_basic')
    with pytest.raises(UnknownNameError, match='block'):
        create_encoder('test_vit', block='sandwich')
    with pytest.raises(UnknownNameError, match='backend'):
        create_encoder('test_vit', attention='flash')


@pytest.mark.parametrize('name', ['test_vit2', 'test_vit3', 'test_vit4'])
@pytest.mark.parametrize('objective', ['MAE', 'LocalMIM'])
def test_all_that_is_trained_is_read(name: str, objective: str) -> None:
    """Of models too that normalise behind their pooling, or attend to pool."""
    model = create_encoder(name)
    taps: dict[str, Any] = {'taps': [1, -1], 'scales': [1, 0.5], 'dim': 32, 'heads': 2}
    learner = find_objective(objective)(model, **(DECODER if objective == 'MAE' else taps))
    sum(learner([view(64, 64, batch=2)], generator=seeded()).values()).backward()
    trained = {key: weight for key, weight in learner.named_parameters() if weight.requires_grad}
    assert not [key for key, weight in trained.items() if weight.grad is None]
