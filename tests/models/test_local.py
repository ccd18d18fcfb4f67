"""Weights to start from whose attention is on the patches nearby."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xscale.errors import ConfigError, UnknownNameError
from xscale.models.attention import Attention
from xscale.models.groups import create_embeds
from xscale.models.masking import masks_from_noise
from xscale.models.position import grid, position_channels, sincos
from xscale.models.vit import create_encoder
from xscale.objectives import MAE
from xscale.types import View

from ..tiny import DECODER, encoder, seeded, view

#: Patches a side of the views here.
SIDE = 8


def attention_of(module: nn.Module) -> list[Tensor]:
    """Collect what each layer attends to in the next forward: (B, N, N), the mean of the heads."""
    seen: list[Tensor] = []

    def look(layer: nn.Module, inputs: tuple[Tensor], _: Tensor) -> None:
        assert isinstance(layer, Attention)
        qkv = layer.qkv(inputs[0]).unflatten(-1, (3, layer.num_heads, layer.head_dim))
        query, key, _value = qkv.permute(2, 0, 3, 1, 4)
        scores = query @ key.mT * layer.head_dim**-0.5
        seen.append(scores.softmax(-1).mean(1)[:, 1:, 1:])

    for layer in module.modules():
        if isinstance(layer, Attention):
            layer.register_forward_hook(look)
    return seen


def by_distance(weights: Tensor, queries: Tensor, keys: Tensor) -> list[float]:
    """Average the weights of keys that lie 1, 2, 3 and 5 patches from the query."""
    places = grid(SIDE, SIDE).float()
    distance = torch.cdist(places, places).round(decimals=3)
    pairs = queries[:, :, None] & keys[:, None]
    return [float(weights[pairs & (distance == d)].mean()) for d in (1, 2, 3, 5)]


@pytest.mark.parametrize('block', ['pre_norm', 'post_norm'])
@pytest.mark.parametrize(('model', 'dim', 'heads'), [('tiny', 192, 6), ('small', 512, 16)])
@torch.inference_mode()
def test_hidden_patches_look_at_those_nearby(model: str, dim: int, heads: int, block: str) -> None:
    torch.manual_seed(0)
    views = [view(16 * SIDE, 16 * SIDE)]
    found = {}
    for init in ('xavier', 'local'):
        net = create_encoder(f'vit_{model}_patch16_224', block=block, init=init)
        sizes = {'decoder_dim': dim, 'decoder_heads': heads, 'decoder_depth': 4}
        mae = MAE(net, block=block, init=init, **sizes)
        masks = mae.draw_masks(views, seeded())
        seen = attention_of(mae.decoder)
        mae.reconstruct(views, masks)
        hidden = masks[0].masked
        found[init] = [by_distance(weights, hidden, ~hidden) for weights in seen]
    for near, second, third, fifth in found['local']:
        assert near > second > third > fifth
    assert found['local'][0][0] > 2 * found['local'][0][1]
    # Those that are hidden too take no attention from them.
    assert found['local'][0][0] > 4 / SIDE**2
    assert all(near < 1.2 * fifth for near, _, _, fifth in found['xavier'])


@torch.inference_mode()
def test_visible_patches_look_at_those_nearby() -> None:
    torch.manual_seed(0)
    net = create_encoder('vit_tiny_patch16_224', init='local')
    seen = attention_of(net)
    everything = masks_from_noise(torch.arange(SIDE**2).float().expand(4, -1), 0.0)
    MAE(net).reconstruct([view(16 * SIDE, 16 * SIDE)], [everything], 'latent')
    assert len(seen) == 12
    for weights in seen:
        near, second, third, fifth = by_distance(weights, ~everything.masked, ~everything.masked)
        assert near > second > third > fifth


def smooth(seed: int, batch: int) -> View:
    """Draw images that change slowly from patch to patch."""
    coarse = torch.randn(batch, 3, 4, 4, generator=seeded(seed))
    image = F.interpolate(coarse, (16 * SIDE, 16 * SIDE), mode='bicubic')
    valid = torch.ones_like(image[:, :1], dtype=torch.bool)
    return View(image, torch.ones(batch), torch.zeros(batch, 2), valid)


def trained(init: str) -> float:
    """Train for a few steps, and return the loss on images that were not trained on."""
    torch.manual_seed(0)
    mae = MAE(create_encoder('test_vit', init=init), init=init, **DECODER | {'decoder_dim': 64})
    optimizer = torch.optim.AdamW([p for p in mae.parameters() if p.requires_grad], lr=1e-3)
    for step in range(40):
        loss = mae([smooth(step, batch=8)], generator=seeded(step))['reconstruction']
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    with torch.no_grad():
        return float(mae([smooth(99, batch=32)], generator=seeded(99))['reconstruction'])


def test_learns_in_fewer_steps() -> None:
    """What varies slowly is filled in from the sides; Xavier weights are still at the mean."""
    assert trained('local') < 0.75 * trained('xavier')


def test_near_positions_differ_in_these_channels() -> None:
    table = sincos(grid(SIDE, SIDE), 512)
    near = position_channels(512)
    rest = torch.ones(512, dtype=torch.bool).index_fill(0, near, False)
    assert len(near) == 128
    step = table[1] - table[0]
    assert step[near].square().sum() > 50 * step[rest].square().sum()


def test_nothing_is_written_over_the_positions() -> None:
    net = create_encoder('test_vit', init='local')
    embeds = create_embeds(net, {'radar': 2}, 'local')
    mae = MAE(net, init='local', embeds=embeds, **DECODER)
    written = [net.patch_embed.proj.weight, embeds['radar'].proj.weight, mae.decoder.embed.weight]
    written += [mae.decoder.mask_token[0].mT]
    for block in [*net.blocks, *mae.decoder.blocks]:
        written += [block.attn.proj.weight, block.mlp.fc2.weight]
    for weight in written:
        kept = torch.zeros(len(weight), dtype=torch.bool)
        kept[position_channels(len(weight))] = True
        assert not weight[kept].any()
        assert weight[~kept].flatten(1).any(1).all()


def test_what_does_not_exist_or_fit() -> None:
    with pytest.raises(UnknownNameError, match=r"init 'zeros'.*local, xavier"):
        create_encoder('test_vit', init='zeros')
    with pytest.raises(UnknownNameError, match=r"init 'zeros'.*local, xavier"):
        MAE(encoder(), init='zeros')
    with pytest.raises(ConfigError, match="with position 'gsd' choose init 'xavier'"):
        MAE(encoder(), position='gsd', init='local')
