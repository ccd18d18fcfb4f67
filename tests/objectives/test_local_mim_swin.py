"""LocalMIM of a Swin: what must not matter, what must, and that it learns."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from xscale.errors import ConfigError, InputSizeError, UnknownNameError
from xscale.models.groups import create_embeds
from xscale.objectives import LocalMIMSwin
from xscale.objectives.targets import whole_cells
from xscale.types import Masks, View

from ..tiny import seeded, swin
from ..tiny import view as view_of
from .learning import learn
from .mae import total

SMALL = {'dim': 32, 'heads': 2, 'bins': 4}
TARGETS = ('hog', 'pixels')
NAMES = tuple(f'local_{k}' for k in range(4))
#: Sides of the cells of each stage.
SIDES = (8, 16, 32, 32)


def build(**options: Any) -> LocalMIMSwin:
    net = options.pop('net', None) or swin()
    torch.manual_seed(1)
    return LocalMIMSwin(net, **SMALL | options)


def view(height: int = 64, width: int = 96, **options: Any) -> View:
    return view_of(height, width, **{'batch': 2} | options)


def masks_of(model: LocalMIMSwin, one: View, seed: int = 5) -> Masks:
    return model.draw_masks([one], seeded(seed))[0]


def holes() -> Tensor:
    """Return where there is data: all but a block that is no multiple of any cell."""
    valid = torch.ones(2, 1, 64, 96).bool()
    valid[..., 5:9, 40:50] = False
    return valid


def test_masks() -> None:
    """A quarter of the cells of each image is seen, others in each unless the released way."""
    one = view(128, 128, batch=4)
    own = masks_of(build(), one)
    assert (own.keep.shape, own.restore.shape) == ((4, 4), (4, 16))
    assert (~own.masked).nonzero()[:, 1].view(4, 4).equal(own.keep)
    assert len(own.keep.unique(dim=0)) > 1
    shared = masks_of(build(shared_mask=True), one)
    assert len(shared.keep.unique(dim=0)) == 1
    # int(0.75 * 16) = 12 are hidden, and by ≤ one more.
    released = masks_of(build(released_count=True), one)
    assert released.masked.sum(1).tolist() == [13] * 4
    with pytest.raises(ConfigError, match=r'ratio of 0\.75 leaves 0 of 4 patches visible'):
        masks_of(build(released_count=True), view(64, 64))


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
    assert tuple(terms) == NAMES
    for k, (prediction, side) in enumerate(zip(made, SIDES, strict=True)):
        (grad,) = torch.autograd.grad(terms[f'local_{k}'], prediction)
        share = F.interpolate(masks.masked.reshape(2, 1, 2, 3).float(), scale_factor=32)
        weight = F.avg_pool2d(share, side).flatten(1)
        weight = weight * whole_cells(one.valid, side, int(target == 'hog'))
        assert torch.equal(grad.abs().sum(-1) > 0, weight > 0)
        expected = (prediction - model.local.targets(one, [k])[0]).square().mean(-1)
        expected = (expected * weight).sum() / weight.sum()
        torch.testing.assert_close(terms[f'local_{k}'], expected)


@pytest.mark.parametrize('target', TARGETS)
def test_what_lies_under_missing_pixels_does_not_matter(target: str) -> None:
    model, valid = build(target=target), holes()
    clean = view(valid=valid)
    masks = masks_of(model, clean)
    hidden = F.interpolate(masks.masked.reshape(2, 1, 2, 3).float(), scale_factor=32) > 0
    dirty = replace(clean, image=clean.image.masked_fill(hidden & ~valid, 7.0))
    assert not torch.equal(dirty.image, clean.image)
    assert model([dirty], [masks]) == model([clean], [masks])
    gone = model([view(valid=torch.zeros_like(valid))], [masks])
    assert all(term == 0 for term in gone.values())


@pytest.mark.parametrize('target', TARGETS)
@pytest.mark.parametrize('size', [(32, 128), (96, 64), (160, 32)])
def test_sizes_bands_and_gradients(target: str, size: tuple[int, int]) -> None:
    """Of every parameter there is one, which DistributedDataParallel needs."""
    model = build(net=swin(in_chans=5), target=target, mask_ratio=0.5)
    image = torch.randn(2, 5, *size, generator=seeded())
    terms = model([replace(view(*size), image=image)], generator=seeded())
    total(terms).backward()
    gradients = {n: p.grad for n, p in model.named_parameters() if p.requires_grad}
    assert all(g is not None and g.isfinite().all() for g in gradients.values())


def test_a_size_that_cells_do_not_divide() -> None:
    with pytest.raises(InputSizeError, match='32'):
        build()([view(64, 80)], generator=seeded())


@pytest.mark.parametrize('isolate', [False, True])
def test_isolation(isolate: bool) -> None:
    """Each term trains its own stage, or all before it as well."""
    model = build(isolate=isolate)
    terms = model([view()], generator=seeded())
    stages = [stage.blocks[0].mlp.fc1.weight for stage in model.encoder.layers]
    for number, name in enumerate(NAMES):
        grads = torch.autograd.grad(terms[name], stages, retain_graph=True, allow_unused=True)
        trained = [place for place, grad in enumerate(grads) if grad is not None and grad.any()]
        assert trained == list(range(number if isolate else 0, number + 1)), name


def test_weight_zero() -> None:
    """The term is absent, its decoder is not run, and the others stay as they were."""
    full = build()([view()], generator=seeded())
    model = build(weights={'local_1': 0.0})
    terms = model([view()], generator=seeded())
    assert terms == {name: full[name] for name in NAMES if name != 'local_1'}
    total(terms).backward()
    assert [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None] == []


def test_only_the_given_generator_is_used() -> None:
    model, results = build(), []
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        results.append(model([view()], generator=seeded(9)))
        assert torch.equal(before, torch.get_rng_state())
    assert results[0] == results[1]
    assert total(model([view()], generator=seeded(8))) != total(results[0])


def test_mixed_precision() -> None:
    model = build()
    full = model([view()], generator=seeded())
    with torch.autocast('cpu', torch.bfloat16):
        mixed = model([view()], generator=seeded())
    for name, term in mixed.items():
        assert term.dtype == torch.float32
        assert term.item() == pytest.approx(full[name].item(), rel=0.03), name


def test_groups_of_bands() -> None:
    """A group's terms are those of a model of its own, with its own LayerNorm of patches."""
    net = swin()
    embeds = create_embeds(net, {'wide': 5})
    assert embeds['wide'].norm is not net.patch_embed.norm
    model = build(net=net, embeds=embeds)
    image = torch.randn(2, 5, 64, 96, generator=seeded(3))
    one = replace(view(), image=image, group=torch.full((2,), 1))
    masks = masks_of(model, one)
    own = model.state_dict()
    state = {k: v for k, v in own.items() if not k.startswith('embeds.') and '.heads.' not in k}
    for kind in ('weight', 'bias'):
        for part in ('proj', 'norm'):
            state[f'encoder.patch_embed.{part}.{kind}'] = own[f'embeds.wide.{part}.{kind}']
        for k in range(4):
            pred = f'local.decoders.{k}'
            state[f'{pred}.pred.{kind}'] = own[f'{pred}.heads.wide.{kind}']
    single = build(net=swin(in_chans=5))
    single.load_state_dict(state)
    alone = single([replace(one, group=None)], [masks])
    torch.testing.assert_close(model([one], [masks]), alone)
    mixed = replace(one, group=torch.tensor([0, 1]))
    total(model([mixed], [masks])).backward()
    assert [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None] == []


def test_two_views() -> None:
    """Views of one place are made to agree, beside the terms of the fine one."""
    model = build(pair={'predictor_hidden': 16}, weights={'cross_prediction': 0.0})
    fine, coarse = view(gsd=1.0, origin=(5.0, 11.0)), view(gsd=2.0, seed=2)
    terms = model([fine, coarse], generator=seeded())
    assert tuple(terms) == ('consistency', *NAMES)
    masks = masks_of(model, fine)
    expected = build()([fine], [masks])
    both = model([fine, coarse], [masks, masks])
    assert {name: both[name] for name in NAMES} == expected
    total(terms).backward()
    assert [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None] == []


@pytest.mark.parametrize('target', TARGETS)
@torch.no_grad()
def test_pictures(target: str) -> None:
    model, one = build(target=target, norm_pix=True), view()
    shown = model.pictures([one], [masks_of(model, one)])[0]
    told = ',\ntold the mean of each cell'
    names = [f'{side} px, stage {k}' for k, side in enumerate(SIDES)]
    if target == 'pixels':
        assert [p.name for p in shown] == [f'predicted, {name}{told}' for name in names]
        assert all(p.image.shape == one.image.shape for p in shown)
    else:
        assert [p.name for p in shown[::2]] == [f'gradients, {name}' for name in names]
    assert {p.drawn for p in shown} == {target == 'hog'}


@pytest.mark.parametrize('target', TARGETS)
def test_one_batch_is_learnt(target: str) -> None:
    # Waves of one direction each, which every cell of 8 px shows alike.
    across, down = torch.tensor([[0.0, 1, 1, 1], [1, 0, 1, -1]])[..., None, None]
    place = torch.arange(64.0) / 8 * 2 * torch.pi
    waves = (across * place + down * place[:, None]).sin()
    image = waves[:, None].expand(-1, 3, -1, -1).contiguous()
    one = replace(view(64, 64, batch=4), image=image)
    model = build(net=swin(depths=(1, 2, 1, 1)), target=target, dim=64)
    learn(model, one, masks_of(model, one), 30)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'weights': {'local_3': 0}}, 'let the weight of local_3 not be 0'),
        ({'dim': 12}, 'dim 12: a multiple of 8 and of twice heads 2'),
        ({'dim': 24, 'heads': 8}, 'dim 24: a multiple of 8 and of twice heads 8'),
        ({'bins': 0}, 'bins 0'),
    ],
)
def test_settings_that_do_not_fit(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(**options)


def test_names_that_do_not_exist() -> None:
    with pytest.raises(UnknownNameError, match="'sift'; choose one of: hog, pixels"):
        build(target='sift')
    with pytest.raises(UnknownNameError, match="'local_4'"):
        build(weights={'local_4': 1.0})
