"""A Swin over whole images is timm's, and over some cells it attends to what is seen of windows."""

from copy import deepcopy
from typing import Any

import pytest
import timm
import torch
from timm.models.swin_transformer import SwinTransformer
from torch import Tensor, nn

from xscale.errors import ConfigError, InputSizeError
from xscale.models.attention import set_backend
from xscale.models.build import build_encoder
from xscale.models.checkpoint import Encoder
from xscale.models.layers import encode_layers
from xscale.models.masking import gather_tokens, masks_from_noise, masks_in_order, refine_masks
from xscale.models.swin import Swin, create_swin, embed_cells, encode_stages, encode_whole, is_swin
from xscale.models.tokens import patchify
from xscale.models.vit import patch_size
from xscale.objectives import MAE, LocalMIM, LocalMIMSwin

from ..tiny import SWIN, encoder, seeded, swin

NAME = 'swin_tiny_patch4_window7_224'
SENSOR = {'name': 'a', 'bands': ['r', 'g', 'b'], 'mean': [0.0] * 3, 'std': [1.0] * 3}


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=seeded(7))


def stages(model: Swin, image: Tensor, keep: Tensor, **options: Any) -> list[Tensor]:
    cells = gather_tokens(patchify(image, 32), keep)
    size = image.shape[-2] // 32, image.shape[-1] // 32
    return encode_stages(model, embed_cells(model, cells), keep, size, **options)


@pytest.mark.parametrize('size', [(128, 128), (128, 256), (384, 128)])
@torch.no_grad()
def test_whole_images_are_timms(size: tuple[int, int]) -> None:
    model = swin()
    theirs = SwinTransformer(**SWIN, num_classes=0)
    theirs.load_state_dict(model.state_dict())
    theirs.set_input_size(size, window_size=4)
    image = noise(2, 3, *size)
    expected = theirs.eval().forward_features(image).flatten(1, 2)
    torch.testing.assert_close(model.norm(encode_whole(model, image)), expected)


@torch.no_grad()
def test_named_model_is_timms() -> None:
    torch.manual_seed(0)
    model = create_swin(NAME, attention='math')
    for block in model.blocks:
        nn.init.normal_(block.attn.relative_position_bias_table)
    theirs = timm.create_model(NAME, num_classes=0)
    assert is_swin(NAME)
    assert not is_swin('vit_base_patch16_224')
    assert patch_size(model) == 32
    assert list(theirs.state_dict()) == list(model.state_dict())
    theirs.load_state_dict(model.state_dict())
    image = noise(1, 3, 224, 224)
    expected = theirs.eval().forward_features(image).flatten(1, 2)
    torch.testing.assert_close(model.norm(encode_whole(model, image)), expected)


def by_hand(model: Swin, image: Tensor, keep: list[int]) -> list[Tensor]:
    """Encode one image: every token asks for those of its window, one pair after another."""
    cols = image.shape[-1] // 32
    extent = torch.tensor([image.shape[-2] // 32, cols])
    x = model.patch_embed.norm(model.patch_embed.proj(image).permute(0, 2, 3, 1))[0]
    places = [
        (cell // cols * 8 + row, cell % cols * 8 + col)
        for cell in keep
        for row in range(8)
        for col in range(8)
    ]
    tokens, found, side = {place: x[place] for place in places}, [], 8
    for stage in model.layers:
        if side < 8:
            tokens = {
                (row, col): stage.downsample(
                    torch.stack(
                        [tokens[2 * row + i, 2 * col + j] for i in range(2) for j in range(2)]
                    ).reshape(1, 2, 2, -1)
                )[0, 0, 0]
                for row, col in {(row // 2, col // 2): None for row, col in tokens}
            }
            found.append(torch.stack(list(tokens.values())))
        places = torch.tensor(list(tokens))
        x = torch.stack(list(tokens.values()))
        for number, block in enumerate(stage.blocks):
            shift = torch.where(extent * side > 4, 2 * (number % 2), 0)
            window = (places - shift).div(4, rounding_mode='floor')
            together = (window[:, None] == window).all(-1)
            apart = (places[:, None] - places).clamp(-3, 3) + 3
            table = block.attn.relative_position_bias_table[apart[..., 0] * 7 + apart[..., 1]]
            qkv = block.attn.qkv(block.norm1(x)).unflatten(-1, (3, block.attn.num_heads, -1))
            q, k, v = qkv.permute(1, 2, 0, 3)
            scores = q @ k.mT * q.shape[-1] ** -0.5 + table.permute(2, 0, 1)
            said = scores.masked_fill(~together, float('-inf')).softmax(-1) @ v
            x = x + block.attn.proj(said.transpose(0, 1).flatten(1))
            x = x + block.mlp(block.norm2(x))
        tokens = dict(zip(tokens, x, strict=True))
        side //= 2
    return [*found, x]


@pytest.mark.parametrize('size', [(96, 160), (64, 64), (32, 128)])
@torch.no_grad()
def test_visible_cells(size: tuple[int, int]) -> None:
    """Each image has a mask of its own, and windows need not divide the image."""
    model, image = swin(), noise(2, 3, *size)
    count = size[0] * size[1] // 1024
    keep = masks_from_noise(torch.rand(2, count, generator=seeded()), 0.6).keep
    for made in stages(model, image, keep), stages(model, image, keep.flip(1)):
        assert [tuple(one.shape[2:]) for one in made] == [(32,), (64,), (128,), (128,)]
    for number in range(2):
        expected = by_hand(model, image[number : number + 1], keep[number].tolist())
        for one, stage in zip(stages(model, image, keep), expected, strict=True):
            torch.testing.assert_close(one[number], stage)


@torch.no_grad()
def test_order_of_cells_does_not_matter() -> None:
    model, image = swin(), noise(2, 3, 96, 96)
    keep = torch.tensor([[0, 4, 5], [8, 1, 3]])
    turned = [one.unflatten(1, (3, -1)).flip(1) for one in stages(model, image, keep.flip(1))]
    for one, other in zip(stages(model, image, keep), turned, strict=True):
        torch.testing.assert_close(one, other.flatten(1, 2))


@torch.no_grad()
def test_hidden_cells_are_not_looked_at() -> None:
    model, image = swin(), noise(1, 3, 96, 96)
    keep = torch.tensor([[0, 4, 5]])
    other = image.clone()
    other[..., 64:, :] = 9.0
    for one, same in zip(stages(model, image, keep), stages(model, other, keep), strict=True):
        assert torch.equal(one, same)


@torch.no_grad()
def test_released_places() -> None:
    """Only windows of merged tokens change, and not at all where all of an image fits into one."""
    model, keep = swin(), torch.tensor([[0, 4, 5]])
    wide = noise(1, 3, 96, 96)
    one, other = stages(model, wide, keep), stages(model, wide, keep, released_places=True)
    assert torch.equal(one[0], other[0])
    assert not torch.allclose(one[1], other[1])
    # Of one cell the numbers are the places.
    small = wide[..., :32, :32]
    same = [stages(model, small, keep[:, :1], released_places=on)[-1] for on in (False, True)]
    assert torch.equal(*same)


@pytest.mark.parametrize('isolate', [False, True])
def test_isolation(isolate: bool) -> None:
    model = swin()
    made = stages(model, noise(1, 3, 64, 64), torch.tensor([[0, 3]]), isolate=isolate)
    first = [stage.blocks[0].mlp.fc1.weight for stage in model.layers]
    for number, one in enumerate(made):
        grads = torch.autograd.grad(one.sum(), first, allow_unused=True, retain_graph=True)
        trained = [place for place, grad in enumerate(grads) if grad is not None]
        assert trained == list(range(number if isolate else 0, number + 1))


def test_backends_agree() -> None:
    model, image = swin(), noise(2, 3, 96, 96)
    keep = torch.tensor([[0, 4, 5], [1, 2, 8]])
    made = []
    for backend in ('math', 'sdpa'):
        other = deepcopy(model)
        set_backend(other, backend)
        end = stages(other, image, keep)[-1]
        end.square().sum().backward()
        made.append([end, *(p.grad for p in other.layers.parameters())])
    for one, same in zip(*made, strict=True):
        assert one.isfinite().all()
        torch.testing.assert_close(one, same, rtol=1e-3, atol=1e-3)


def test_finer_masks() -> None:
    masks = masks_in_order(torch.rand(3, 6, generator=seeded()), 4)
    assert masks.masked.sum(1).tolist() == [4, 4, 4]
    assert torch.equal(masks.keep, masks.keep.sort(1).values)
    finer = refine_masks(masks, 3, 2)
    pixels = masks.masked.view(3, 1, 2, 3).repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert torch.equal(finer.masked, pixels.flatten(1))
    # Cell 0 has places 0, 1, 6 and 7 of six columns.
    order = masks_in_order(torch.tensor([[1.0, 0, 0, 0, 0, 1]]), 4)
    assert refine_masks(order, 3, 2).keep.tolist() == [[0, 1, 6, 7, 16, 17, 22, 23]]
    count = finer.keep.shape[1]
    assert torch.equal(finer.restore.gather(1, finer.keep)[0], torch.arange(count))


@torch.no_grad()
def test_as_an_encoder() -> None:
    model = swin()
    whole = Encoder(model, {'sensors': [SENSOR]}).eval()
    image = noise(2, 3, 64, 96)
    tokens, pooled = whole(image, 1.0)
    assert (tokens.shape, pooled.shape) == ((2, 6, 128), (2, 128))
    torch.testing.assert_close(tokens, model.norm(encode_whole(model, image)))
    valid = torch.ones(2, 1, 64, 96).bool()
    valid[..., 32:] = False
    _, seen = whole(image, 1.0, valid=valid)
    seen_tokens = whole(image.masked_fill(~valid, 0.0), 1.0).tokens
    torch.testing.assert_close(seen, seen_tokens[:, [0, 3]].mean(1))
    (last,) = encode_layers(whole, image, 1.0, [8])  # type: ignore[arg-type]
    assert torch.equal(last.maps.flatten(2).mT, tokens)
    with pytest.raises(InputSizeError, match='32'):
        whole(image[..., :40], 1.0)


def test_what_only_plain_ones_do() -> None:
    made = {'model': NAME, 'in_channels': 3}
    for options, what in (
        ({'block': 'post_norm'}, 'leave block out'),
        ({'patch': 8}, 'cells are 32 px'),
        ({'groups': {'a': ['b']}}, 'SatMAEGroup with a ViT'),
        ({'frames': 3}, 'SatMAETemporal with a ViT'),
        ({'position': 'gsd'}, "leave position 'gsd' out"),
        ({'taps': [1]}, 'leave taps out'),
    ):
        with pytest.raises(ConfigError, match=what), torch.device('meta'):
            build_encoder(made | {'options': options})
    with pytest.raises(ConfigError, match="choose init 'xavier'"):
        create_swin(NAME, init='local')
    with pytest.raises(ConfigError, match='norm_eps is for a Swin'):
        build_encoder({'model': 'test_vit', 'in_channels': 3, 'options': {'norm_eps': 1e-6}})
    with pytest.raises(ConfigError, match="no class token; use pooling='mean'"):
        Encoder(swin(), {'sensors': [SENSOR]}, pooling='class')
    with pytest.raises(ConfigError, match='blocks 1, 8 of a Swin'):
        encode_layers(Encoder(swin(), {'sensors': [SENSOR]}), noise(1, 3, 32, 32), 1.0, [1, 8])
    for objective, given in ((MAE, swin()), (LocalMIM, swin()), (LocalMIMSwin, encoder())):
        with pytest.raises(ConfigError, match=r'a Swin, such as .* for LocalMIMSwin'):
            objective(given)
