"""LocalMIM: what must not matter, what must, and that it learns."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from xscale.errors import ConfigError, UnknownNameError
from xscale.models.groups import create_embeds
from xscale.objectives import LocalMIM
from xscale.objectives.hog import draw_histograms, gradients, histograms
from xscale.objectives.targets import whole_cells
from xscale.types import Masks, View

from ..tiny import encoder, seeded, view
from .learning import learn
from .mae import total

SMALL = {'dim': 32, 'heads': 2}
TARGETS = ('hog', 'pixels')
NAMES = tuple(f'local_{k}' for k in range(4))
#: Sides of the cells of a patch of 8 px.
SIDES = (2, 4, 8, 16)


def build(**options: Any) -> LocalMIM:
    net = options.pop('net', None) or encoder(depth=7)
    torch.manual_seed(1)
    return LocalMIM(net, **SMALL | options)


def masks_of(model: LocalMIM, one: View, seed: int = 5) -> Masks:
    return model.draw_masks([one], seeded(seed))[0]


def holes() -> Tensor:
    """Return where there is data: all but a block that is no multiple of any cell."""
    valid = torch.ones(4, 1, 32, 32).bool()
    valid[..., 5:9, 9:30] = False
    return valid


def test_histograms_by_hand() -> None:
    """A ramp points one way, and the cells at the border, where it is mirrored, too."""
    ramp = torch.arange(16.0).expand(1, 1, 16, 16)
    # Rising right: atan2(−8, 0) = −π/2, bin −5 of 9; down: atan2(0, −8) = π, bin 9; and so on.
    for image, expected in ((ramp, 4), (ramp.mT, 0), (ramp + ramp.mT, 2), (ramp - ramp.mT, 6)):
        (found,) = histograms(gradients(image), [8], bins=9)
        assert found.argmax(-1).tolist() == [[expected] * 4]
        torch.testing.assert_close(found.norm(dim=-1), torch.ones(1, 4))


@pytest.mark.parametrize('bins', [1, 9, 18])
def test_brightness_and_contrast_do_not_matter(bins: int) -> None:
    image = (torch.randn(2, 4, 24, 48, generator=seeded()) * 64).round() / 64
    found = histograms(gradients(image), [4, 8, 12], bins)
    assert [tuple(one.shape) for one in found] == [(2, n, 4 * bins) for n in (72, 18, 8)]
    again = histograms(gradients(2 * image + 3), [4, 8, 12], bins)
    torch.testing.assert_close(again, found)
    turned = histograms(gradients(-image), [4, 8, 12], bins)
    torch.testing.assert_close(turned, found)


def test_a_cell_that_missing_data_touches_is_not_whole() -> None:
    valid = holes()[:1]
    for side in SIDES:
        for margin in (0, 1):
            around = F.pad(valid.float(), (margin,) * 4, value=1.0)
            cells = around.unfold(2, side + 2 * margin, side).unfold(3, side + 2 * margin, side)
            expected = (cells == 1).all(-1).all(-1).flatten(1)
            assert torch.equal(whole_cells(valid, side, margin), expected)


@pytest.mark.parametrize('target', TARGETS)
@pytest.mark.parametrize('norm_pix', [False, True])
def test_what_lies_under_missing_pixels_does_not_matter(target: str, norm_pix: bool) -> None:
    model, valid = build(target=target, norm_pix=norm_pix), holes()
    clean = view(valid=valid)
    masks = masks_of(model, clean)
    hidden = F.interpolate(masks.masked.reshape(4, 1, 4, 4).float(), scale_factor=8) > 0
    dirty = replace(clean, image=clean.image.masked_fill(hidden & ~valid, 7.0))
    assert not torch.equal(dirty.image, clean.image)
    terms = model([clean], [masks])
    assert model([dirty], [masks]) == terms
    open_ = replace(dirty, valid=torch.ones_like(valid))
    for name, term in model([open_], [masks]).items():
        assert not torch.isclose(term, terms[name]), name


@pytest.mark.parametrize('target', TARGETS)
def test_only_hidden_cells_with_data_are_learnt(
    target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, one = build(target=target), view(valid=holes())
    masks = masks_of(model, one)
    made = model.local.predict(model.encode_visible(one, masks), one, masks, 'index')
    made = [prediction.detach().requires_grad_() for prediction in made]
    monkeypatch.setattr(model.local, 'predict', lambda *_: made)
    terms = model([one], [masks])
    for k, (prediction, side) in enumerate(zip(made, SIDES, strict=True)):
        (grad,) = torch.autograd.grad(terms[f'local_{k}'], prediction)
        share = F.interpolate(masks.masked.reshape(4, 1, 4, 4).float(), scale_factor=8)
        weight = F.avg_pool2d(share, side).flatten(1)
        weight = weight * whole_cells(one.valid, side, int(target == 'hog'))
        assert torch.equal(grad.abs().sum(-1) > 0, weight > 0)
        expected = (prediction - model.local.targets(one, [k])[0]).square().mean(-1)
        expected = (expected * weight).sum() / weight.sum()
        torch.testing.assert_close(terms[f'local_{k}'], expected)


@pytest.mark.parametrize('target', TARGETS)
def test_all_missing(target: str) -> None:
    model = build(target=target)
    for first in (3, 0):
        valid = torch.ones(4, 1, 32, 32).bool()
        valid[first:] = False
        terms = model([view(valid=valid)], generator=seeded())
        total(terms).backward()
        assert all(term.isfinite() for term in terms.values())
        assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize('target', TARGETS)
@pytest.mark.parametrize('position', ['index', 'gsd', 'table'])
@pytest.mark.parametrize('size', [(16, 48), (64, 32)])
def test_sizes_bands_and_positions(target: str, position: str, size: tuple[int, int]) -> None:
    net = encoder(depth=7, in_chans=5)
    model = build(net=net, target=target, position=position, bins=4)
    one = view(*size, gsd=3.0)
    one = replace(one, image=torch.randn(4, 5, *size, generator=seeded()))
    terms = model([one], generator=seeded())
    assert tuple(terms) == NAMES
    assert all(term.isfinite() for term in terms.values())
    coarser = model([replace(one, gsd=one.gsd * 2)], generator=seeded())
    assert torch.isclose(total(coarser), total(terms), rtol=1e-6).item() == (position != 'gsd')


@pytest.mark.parametrize('target', TARGETS)
def test_every_gradient_is_there(target: str) -> None:
    """DistributedDataParallel stops at a parameter without one."""
    model = build(target=target)
    total(model([view()], generator=seeded())).backward()
    gradients = {n: p.grad for n, p in model.named_parameters() if p.requires_grad}
    assert all(g is not None and g.isfinite().all() and g.any() for g in gradients.values())


@pytest.mark.parametrize('isolate', [False, True])
def test_isolation(isolate: bool) -> None:
    """Each term trains the blocks from the tap before to its own, or all before it."""
    model = build(isolate=isolate)
    terms = model([view()], generator=seeded())
    blocks = [block.attn.qkv.weight for block in model.encoder.blocks]
    start = 0
    for name, tap in zip(NAMES, (1, 3, 4, 6), strict=True):
        grads = torch.autograd.grad(terms[name], blocks, retain_graph=True, allow_unused=True)
        trained = [number for number, grad in enumerate(grads) if grad is not None and grad.any()]
        assert trained == list(range(start if isolate else 0, tap + 1)), name
        start = tap + 1


def test_weight_zero() -> None:
    """The term is absent, its decoder is not run, and the others stay as they were."""
    full = build()([view()], generator=seeded())
    model = build(weights={'local_1': 0.0})
    decoded: list[int] = []
    for k, decoder in enumerate(model.local.decoders):
        decoder.register_forward_hook(lambda *_, k=k: decoded.append(k))
    terms = model([view()], generator=seeded())
    assert decoded == [0, 2, 3]
    assert terms == {name: full[name] for name in NAMES if name != 'local_1'}
    total(terms).backward()
    assert [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None] == []


def test_taps_and_scales_of_ones_own() -> None:
    model = build(net=encoder(), taps=[0, -1], scales=[8, 1 / 4])
    terms = model([view()], generator=seeded())
    assert tuple(terms) == ('local_0', 'local_1')
    assert model.local.targets.sides == [1, 32]
    assert [tuple(one.shape) for one in model.local.targets(view(), [0, 1])] == [
        (4, 1024, 27),
        (4, 1, 27),
    ]
    total(terms).backward()


def test_only_the_given_generator_is_used() -> None:
    model, results = build(), []
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        results.append(model([view()], generator=seeded(9)))
        assert torch.equal(before, torch.get_rng_state())
    assert results[0] == results[1]
    assert total(model([view()], generator=seeded(8))) != total(results[0])


@pytest.mark.parametrize('target', TARGETS)
def test_mixed_precision(target: str) -> None:
    model = build(target=target)
    full = model([view()], generator=seeded())
    with torch.autocast('cpu', torch.bfloat16):
        mixed = model([view()], generator=seeded())
    for name, term in mixed.items():
        assert term.dtype == torch.float32
        assert term.item() == pytest.approx(full[name].item(), rel=0.03), name


@pytest.mark.parametrize('target', TARGETS)
def test_groups_of_bands(target: str) -> None:
    """A group's terms are those of a model of its own, and each group's last layer is trained."""
    net = encoder(depth=7)
    model = build(net=net, embeds=create_embeds(net, {'wide': 5, 'pan': 1}), target=target)
    image = torch.randn(4, 5, 32, 32, generator=seeded(3))
    one = replace(view(), image=image, group=torch.full((4,), 1))
    masks = masks_of(model, one)
    own = model.state_dict()
    state = {k: v for k, v in own.items() if not k.startswith('embeds.') and '.heads.' not in k}
    for kind in ('weight', 'bias'):
        state[f'encoder.patch_embed.proj.{kind}'] = own[f'embeds.wide.proj.{kind}']
        for k in range(4):
            pred = f'local.decoders.{k}'
            state[f'{pred}.pred.{kind}'] = own[f'{pred}.heads.wide.{kind}']
    single = build(net=encoder(depth=7, in_chans=5), target=target)
    single.load_state_dict(state)
    alone = single([replace(one, group=None)], [masks])
    torch.testing.assert_close(model([one], [masks]), alone)
    mixed = replace(one, group=torch.tensor([0, 1, 2, 0]))
    total(model([mixed], [masks])).backward()
    assert [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None] == []


@pytest.mark.parametrize('norm_pix', [False, True])
@torch.no_grad()
def test_pictures_of_pixels(norm_pix: bool) -> None:
    """Where the prediction is right they are the image."""
    model, one = build(target='pixels', norm_pix=norm_pix), view()
    masks = masks_of(model, one)
    shown = model.pictures([one], [masks])[0]
    told = ',\ntold the mean of each cell' if norm_pix else ''
    assert [(p.name, p.drawn) for p in shown] == [
        (f'predicted, {side} px, block {block}{told}', False)
        for side, block in zip(SIDES, (1, 3, 4, 6), strict=True)
    ]
    for k, picture in enumerate(shown):
        assert (picture.image != one.image).any()
        (target,) = model.local.targets(one, [k])
        hidden = torch.ones(target.shape[:2], dtype=torch.bool)
        (right,) = model.local.targets.pictures(target, hidden, one, k, '')
        torch.testing.assert_close(right.image, one.image, rtol=0, atol=1e-4)


@torch.no_grad()
def test_pictures_of_histograms() -> None:
    """The image's own lies beside the predicted, and where data is missing both are black."""
    model, one = build(), view(valid=holes())
    shown = model.pictures([one], [masks_of(model, one)])[0]
    assert all(picture.drawn for picture in shown)
    for k, side in enumerate(SIDES):
        own, predicted = (shown[2 * k + i].image for i in (0, 1))
        assert own.shape == predicted.shape == (4, 3, 32 // side * max(9, side), own.shape[-1])
        assert 0 <= min(own.min(), predicted.min()) <= max(own.max(), predicted.max()) <= 1
        assert not torch.equal(own, predicted)
        black = F.interpolate(own, 32 // side, mode='area').sum(1).flatten(1) == 0
        assert torch.equal(~black, model.local.targets.counted(one, k))


@torch.no_grad()
def test_strokes_lie_along_edges() -> None:
    """An edge from the upper left to the lower right is drawn so, and so is its mirror image."""
    image = torch.ones(16, 16).tril().expand(1, 1, -1, -1)
    for flipped, turned in ((image, False), (image.flip(-1), True)):
        (found,) = histograms(gradients(flipped), [16], bins=18)
        drawn = draw_histograms(found, 1, 18, 15)[0].mean(0)
        drawn = drawn.flip(-1) if turned else drawn
        assert drawn.diag().mean() > drawn.flip(-1).diag().mean() + 0.3


@pytest.mark.parametrize('target', TARGETS)
def test_one_batch_is_learnt(target: str) -> None:
    # Waves of one direction each.
    angle, place = torch.arange(4.0)[:, None, None] / 4 * torch.pi, torch.arange(32.0)
    waves = ((angle.cos() * place + angle.sin() * place[:, None]) / 4).sin()
    one = replace(view(), image=waves[:, None].expand(-1, 3, -1, -1).contiguous())
    taps: dict[str, Any] = {'taps': [0, -1], 'scales': [2, 0.5]}
    model = build(net=encoder(), target=target, **taps)
    learn(model, one, masks_of(model, one), 60)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'net': encoder(depth=6)}, 'taps 1, 3, -3, -1 are blocks 1, 3, 3, 5 of an encoder of 6'),
        ({'taps': [1, 3, 5, 7]}, 'blocks 1, 3, 5, 7 of an encoder of 7'),
        ({'taps': [3, 1, 5, 6]}, 'in rising order'),
        ({'taps': [1, -1]}, '2 taps and 4 scales'),
        ({'taps': [], 'scales': []}, 'no taps are named'),
        ({'taps': [0, 1, 2, 3]}, 'deepest tap with a weight is block 3, and the encoder goes on'),
        ({'weights': {'local_3': 0}}, 'deepest tap with a weight is block 4'),
        ({'scales': [4, 3, 1, 0.5]}, 'scale 3 does not divide a patch of 8 px'),
        ({'scales': [4, 2, 1, 2 / 3]}, 'scale 0.666667: 1, 2, 4'),
        ({'scales': [4, 2, 1, 0]}, 'scale 0 does not'),
        ({'scales': [16, 2, 1, 0.5]}, 'scale 16 does not divide'),
        ({'dim': 12, 'heads': 4, 'scales': [8, 2, 1, 0.5]}, '12 channels cannot be halved 3 times'),
        ({'dim': 30}, 'dim 30: a multiple of 4 and of heads 2'),
        ({'bins': 0}, 'bins 0'),
        ({'init': 'local', 'position': 'gsd'}, "choose init 'xavier'"),
    ],
)
def test_settings_that_do_not_fit(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(**options)


def test_views_that_do_not_fit() -> None:
    with pytest.raises(ConfigError, match='24×32 px does not divide into the 16 px cells of tap 3'):
        build()([view(24, 32)], generator=seeded())
    with pytest.raises(UnknownNameError, match="'sift'; choose one of: hog, pixels"):
        build(target='sift')
    with pytest.raises(UnknownNameError, match="'local_4'"):
        build(weights={'local_4': 1.0})


def test_released_bias() -> None:
    """Some released models add a fixed bias to the gradients."""
    model = build(hog_bias=True)
    one = view()
    assert torch.equal(model.local.targets(one, [2])[0], build().local.targets(one, [2])[0])
    model.local.targets.hog_bias[2] = torch.tensor([3.0, -0.5])
    biased = gradients(one.image) + torch.tensor([3.0, -0.5])[None, :, None, None, None]
    assert torch.equal(model.local.targets(one, [2])[0], histograms(biased, [8])[0])
    assert torch.equal(model.local.targets(one, [3])[0], build().local.targets(one, [3])[0])
