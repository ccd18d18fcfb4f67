"""Scale-MAE: what its terms look at, and what must not matter to them."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from xscale.errors import ConfigError, UnknownNameError
from xscale.models.groups import create_embeds
from xscale.models.masking import random_masks
from xscale.objectives import ScaleMAE
from xscale.objectives.laplacian import area_resize, combine, high_target, low_target, smooth
from xscale.types import View

from ..tiny import DECODER, encoder, seeded, view

SIDE = 128


def objective(embeds: Any = None, channels: int = 3, **options: Any) -> ScaleMAE:
    model = encoder(img_size=64, patch_size=16, in_chans=channels)
    torch.manual_seed(1)
    if embeds:
        options['embeds'] = create_embeds(model, embeds)
    return ScaleMAE(model, **DECODER | {'head_dim': 16} | options)


def target(**options: Any) -> View:
    return view(SIDE, SIDE, batch=2, **options)


def gaps(seed: int = 3) -> Tensor:
    """Return a mask whose missing pixels come in patches, some of them large."""
    noise = torch.rand(2, 1, SIDE // 8, SIDE // 8, generator=seeded(seed))
    valid = F.interpolate(noise, scale_factor=8) > 0.3
    valid[0, :, :64, :64] = False
    return valid


def test_terms_reach_every_parameter() -> None:
    model = objective()
    terms = model([target()], generator=seeded())
    assert list(terms) == list(ScaleMAE.terms)
    sum(terms.values()).backward()  # type: ignore[union-attr]
    wanted = {name for name, p in model.named_parameters() if p.requires_grad}
    assert wanted == {name for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize(
    ('off', 'idle'),
    [
        ('low_frequency', ('low.', 'upsampling.two')),
        ('high_frequency', ('high.', 'upsampling.four')),
    ],
)
def test_a_term_of_weight_0_costs_nothing(off: str, idle: tuple[str, str]) -> None:
    model = objective(weights={off: 0.0})
    terms = model([target()], generator=seeded())
    whole = objective()([target()], generator=seeded())
    (name,) = terms
    assert off not in terms
    torch.testing.assert_close(terms[name], whole[name])
    terms[name].backward()
    for key, parameter in model.named_parameters():
        read = not key.startswith(idle) and key != 'encoder.pos_embed'
        assert (parameter.grad is not None) == parameter.requires_grad == read, key


def test_local_terms_on_what_the_encoder_sees() -> None:
    local = {'taps': (0, 1), 'scales': (2, 1), 'dim': 16, 'heads': 2}
    model, fine = objective(local=local), target()
    plain = objective()
    masks = model.draw_masks([fine], seeded())
    terms, alone = model([fine], masks), plain([fine], masks)
    assert list(terms) == [*ScaleMAE.terms, 'local_0', 'local_1']
    assert all(torch.equal(terms[name], alone[name]) for name in alone)
    only = objective(local=local, weights=dict.fromkeys(ScaleMAE.terms, 0.0))
    others = only([fine], masks)
    assert list(others) == ['local_0', 'local_1']
    assert all(torch.equal(terms[name], others[name]) for name in others)
    sum(others.values()).backward()  # type: ignore[union-attr]
    for key, parameter in only.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, key


def test_the_encoder_sees_half_the_pixels_at_twice_the_gsd() -> None:
    valid = torch.ones(2, 1, SIDE, SIDE, dtype=torch.bool)
    valid[0, :, 0, :3] = False
    valid[0, :, 1, :2] = False
    fine = target(valid=valid, gsd=0.6, origin=(3.0, 4.0))
    seen = objective().seen([fine])
    assert seen.image.shape == (2, 3, SIDE // 2, SIDE // 2)
    torch.testing.assert_close(seen.gsd, torch.full((2,), 1.2))
    torch.testing.assert_close(seen.origin, fine.origin)
    torch.testing.assert_close(seen.image[1], F.avg_pool2d(fine.image[1], 2))
    assert not seen.valid[0, 0, 0, 0]
    assert not seen.image[0, :, 0, 0].any()
    # Three of its four pixels hold data.
    assert seen.valid[0, 0, 0, 1]
    expected = (fine.image[0, :, 0, 3] + fine.image[0, :, 1, 2:4].sum(-1)) / 3
    torch.testing.assert_close(seen.image[0, :, 0, 1], expected)
    assert int(seen.valid.sum()) == 2 * (SIDE // 2) ** 2 - 1


def test_missing_data_do_not_matter() -> None:
    """Whatever stands where there is no data, each term and gradient is the same to the bit."""
    model, valid = objective(), gaps()
    fine = target(valid=valid)
    found = []
    for filling in (0.0, 1e4):
        model.zero_grad()
        filled = replace(fine, image=fine.image.where(valid, filling))
        terms = model([filled], generator=seeded())
        sum(terms.values()).backward()  # type: ignore[union-attr]
        found.append([*terms.values(), model.low.proj.weight.grad, model.encoder.cls_token.grad])
    assert all(torch.equal(*both) for both in zip(*found, strict=True))
    nothing = model([target(valid=torch.zeros_like(valid))], generator=seeded())
    assert [term.item() for term in nothing.values()] == [0.0, 0.0]


def test_targets_where_data_are_missing() -> None:
    """Each is of the pixels that hold data alone, and a cell of none lends nothing."""
    valid = gaps()
    image = torch.full((2, 1, SIDE, SIDE), 5.0).where(valid, -300.0)
    low, there = low_target(image, valid, (64, 64))
    assert torch.equal(there, F.max_pool2d(valid.float(), 2) > 0)
    torch.testing.assert_close(low, 5.0 * there, rtol=1e-5, atol=1e-5)
    # One cell of four is empty; beyond the reach of the others there is nothing to say.
    blended = smooth(image, valid, (2, 2), (SIDE, SIDE))
    torch.testing.assert_close(blended[valid], torch.full_like(blended[valid], 5.0))
    assert high_target(image, valid, (2, 2)).abs().max() < 1e-4


@pytest.mark.parametrize('size', [(128, 128), (96, 160), (192, 192)])
def test_low_and_high_frequencies_make_the_image(size: tuple[int, int]) -> None:
    image = torch.randn(2, 4, *size, generator=seeded())
    valid = torch.ones(2, 1, *size, dtype=torch.bool)
    half = size[0] // 2, size[1] // 2
    # Cells of whole pixels of the low frequencies.
    for cells in ((size[0] // 32, size[1] // 32), (1, 1)):
        low, there = low_target(image, valid, half)
        high = high_target(image, valid, cells)
        torch.testing.assert_close(combine(low, high, cells, there), image, rtol=0, atol=1e-5)


def test_the_area_of_cells_that_are_no_whole_pixels() -> None:
    """Adaptive average pooling, as PyTorch's own; more cells than pixels repeat them."""
    image = torch.randn(1, 2, 10, 10, generator=seeded())
    valid = torch.ones(1, 1, 10, 10, dtype=torch.bool)
    for size in ((3, 4), (10, 10), (25, 25)):
        mean, share = area_resize(image, valid, size)
        torch.testing.assert_close(mean, F.adaptive_avg_pool2d(image, size))
        assert torch.equal(share, torch.ones(1, 1, *size))


@pytest.mark.parametrize('size', [(64, 64), (96, 160), (192, 128)])
def test_any_size(size: tuple[int, int]) -> None:
    model = objective()
    fine = view(*size, batch=2)
    masks = model.draw_masks([fine], seeded())
    made = model.reconstruct([fine], masks)[0]
    assert masks[0].masked.shape[1] == size[0] * size[1] // 32**2
    assert made.high.shape == fine.image.shape
    assert made.low.shape == (2, 3, size[0] // 2, size[1] // 2)
    assert all(term.isfinite() for term in model([fine], masks).values())


def test_metres_count_only_where_they_are_asked_for() -> None:
    """Per sample: the first image is the same in both, the second lies wider."""
    fine = target()
    wide = replace(fine, gsd=torch.tensor([1.0, 3.0]))
    for position in ('gsd', 'index'):
        model = objective(position=position)
        masks = model.draw_masks([fine], seeded())
        first, second = (model.reconstruct([one], masks)[0].high for one in (fine, wide))
        torch.testing.assert_close(first[0], second[0])
        assert torch.allclose(first[1], second[1], atol=1e-4) == (position == 'index')


def test_losses() -> None:
    """Of hidden pixels alone; the mean over the bands, or as released their sum."""
    fine = target()
    model = objective()
    masks = model.draw_masks([fine], seeded())
    made = model.reconstruct([fine], masks)[0]
    (low, _), (high, _) = model.targets(fine).values()
    hidden = masks[0].masked.reshape(2, 1, 4, 4).float()
    for kind, power in (('mse', 2), ('l1', 1)):
        one = objective(low_loss=kind, high_loss=kind)([fine], masks)
        for name, made_of, wanted in (
            ('low_frequency', made.low, low),
            ('high_frequency', made.high, high),
        ):
            shown = F.interpolate(hidden, wanted.shape[-2:]).expand_as(wanted) > 0
            expected = (made_of - wanted)[shown].abs().pow(power).mean()
            torch.testing.assert_close(one[name], expected)
    through = objective(low_through=50).targets(fine)['low_frequency'][0]
    expected = F.adaptive_avg_pool2d(F.adaptive_avg_pool2d(fine.image, 50), SIDE // 2)
    torch.testing.assert_close(through, expected)
    summed = objective(sum_bands=True)([fine], masks)
    for name, term in model([fine], masks).items():
        torch.testing.assert_close(summed[name], 3 * term)


def test_a_view_of_a_coarser_sensor_is_seen_instead() -> None:
    model, fine = objective(), target()
    coarse = view(SIDE // 2, SIDE // 2, batch=2, gsd=2.0, seed=9)
    masks = model.draw_masks([fine, coarse], seeded())
    assert len(masks) == 1
    alone, paired = model([fine], masks), model([fine, coarse], masks)
    assert all(paired[name] != alone[name] for name in alone)
    same = model([fine, model.seen([fine])], masks)
    assert all(torch.equal(same[name], alone[name]) for name in alone)
    with pytest.raises(ConfigError, match=r'a view of \(128, 128\) px came for a target of'):
        model([fine, fine], masks)


def test_groups_of_bands() -> None:
    """A view of one group predicts another's bands; those a group lacks do not count."""
    model = objective(embeds={'wide': 5, 'pan': 1})
    image = torch.randn(2, 5, SIDE, SIDE, generator=seeded(4))
    fine = replace(target(), image=image, group=torch.tensor([2, 2]))
    seen = replace(model.seen([fine]), group=torch.tensor([0, 1]))
    masks = model.draw_masks([fine], seeded())
    terms = model([fine, seen], masks)
    other = model(
        [replace(fine, image=image * torch.tensor([1.0, 9, 9, 9, 9])[:, None, None]), seen], masks
    )
    assert all(torch.equal(terms[name], other[name]) for name in terms)
    made = model.reconstruct([fine, seen], masks)[0]
    assert not made.high[:, 1:].any()
    sum(terms.values()).backward()  # type: ignore[union-attr]
    assert model.high.outs['pan'].weight.grad.any()  # type: ignore[union-attr]
    lacking = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert lacking == []


def test_pictures() -> None:
    """What was seen is shown as it is; what was hidden is what both heads say together."""
    model, fine = objective(channels=4), replace(target(), image=torch.randn(2, 4, SIDE, SIDE))
    masks = model.draw_masks([fine], seeded())
    (shown,) = model.pictures([fine], masks)
    assert [one.name for one in shown] == ['reconstructed', 'low frequencies', 'high frequencies']
    hidden = F.interpolate(masks[0].masked.reshape(2, 1, 4, 4).float(), (SIDE, SIDE)) > 0
    whole, low, high = (one.image for one in shown)
    assert torch.equal(whole.where(~hidden, 0.0), fine.image.where(~hidden, 0.0))
    made = model.reconstruct([fine], masks)[0]
    assert torch.equal(high.where(hidden, 0.0), made.high.where(hidden, 0.0))
    small = F.interpolate(low, scale_factor=0.5)
    there = torch.ones(2, 1, SIDE // 2, SIDE // 2, dtype=torch.bool)
    expected = combine(small, high, (2, 2), there)
    torch.testing.assert_close(whole.where(hidden, 0.0), expected.where(hidden, 0.0))


def test_what_the_encoder_sees_is_filled_with_low_frequencies() -> None:
    model, seen = objective(), view(48, 80, batch=2)
    masks = random_masks(2, 15, 0.75, seeded(), torch.device('cpu'))
    filled = model.fill(seen, masks)
    hidden = F.interpolate(masks.masked.reshape(2, 1, 3, 5).float(), (48, 80)) > 0
    assert torch.equal(filled.where(~hidden, 0.0), seen.image.where(~hidden, 0.0))
    changed = replace(seen, image=seen.image.where(~hidden, 9.0))
    assert torch.equal(model.fill(changed, masks).where(hidden, 0.0), filled.where(hidden, 0.0))
    assert (filled != seen.image).any()


def test_one_batch_is_learnt() -> None:
    """Better by far than the best constant, which for each term is 0 here."""
    model, draw = objective(), seeded(2)
    coarse = torch.randn(2, 3, 5, 5, generator=draw)
    image = F.interpolate(coarse, (SIDE, SIDE), mode='bicubic')
    fine = replace(target(), image=image)
    masks = model.draw_masks([fine], draw)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    terms: dict[str, Tensor] = {}
    for _ in range(60):
        terms = model([fine], masks)
        optimizer.zero_grad()
        sum(terms.values()).backward()  # type: ignore[union-attr]
        optimizer.step()
    low, high = (part[0] for part in model.targets(fine).values())
    assert terms['low_frequency'].item() < 0.5 * low.var()
    assert terms['high_frequency'].item() < 0.7 * high.abs().mean()


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'low_loss': 'l2'}, "unknown loss of frequencies 'l2'"),
        ({'high_loss': 'ssim'}, "unknown loss of frequencies 'ssim'"),
        ({'decoder_heads': 3}, 'decoder_dim 32: a multiple of 4 and of decoder_heads 3'),
        ({'head_dim': 6}, 'head_dim 6: a multiple of 4'),
        ({'cell': 0}, 'cell 0'),
        ({'init': 'local'}, "choose init 'xavier'"),
        ({'position': 'metres'}, "unknown position 'metres'"),
        ({'weights': {'middle': 1.0}}, "unknown term 'middle'"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises((ConfigError, UnknownNameError), match=message):
        objective(**options)


def test_an_encoder_of_other_patches_is_refused() -> None:
    with pytest.raises(ConfigError, match='an encoder of 8 px patches came'):
        ScaleMAE(encoder(), **DECODER)
    with pytest.raises(ConfigError, match='give masks, or a generator'):
        objective()([target()])
