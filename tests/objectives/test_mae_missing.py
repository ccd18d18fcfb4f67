"""What is missing does not matter: no pixel, patch or place without data counts."""

import pytest
import torch
from torch.nn import functional as F

from xscale.objectives import MAE
from xscale.objectives.mae import Reconstruction
from xscale.objectives.terms import VALUE_LOSSES
from xscale.transforms import Normalize, ScaleViews
from xscale.types import Masks, Sensor, View

from ..tiny import pair, seeded, view
from .mae import APART, KINDS, LOSSES, assert_same, build, masks_of, total


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('loss', ['mse', 'bce', 'mse_ssim'])
@pytest.mark.parametrize('norm_pix', [False, True])
def test_what_lies_under_missing_pixels_does_not_matter(
    kind: type[MAE], loss: str, norm_pix: bool
) -> None:
    """From raw values through normalisation, crops, encoder and every term."""
    normalize = Normalize([Sensor('s', ('a', 'b', 'c'), (100.0,) * 3, (20.0,) * 3)])
    raw = torch.randn(4, 3, 64, 64, generator=seeded()) * 20 + 100
    valid = F.avg_pool2d(torch.rand(4, 1, 64, 64, generator=seeded(1)), 9, 1, 4) > 0.49
    model, results = build(kind, loss=loss, norm_pix=norm_pix), []
    for value in (0.0, -9999.0, float('nan')):
        image = normalize(raw.where(valid, value), valid)
        views = ScaleViews(32)(image, valid, torch.ones(4), seeded(2))[: kind.views]
        assert 0.2 < views[0].valid.float().mean() < 0.9
        results.append(model(views, generator=seeded(3)))
    assert_same(results[0], results[1], 0.0)
    assert_same(results[0], results[2], 0.0)


@pytest.mark.parametrize('loss', VALUE_LOSSES)
@pytest.mark.parametrize('norm_pix', [False, True])
def test_missing_pixels_of_hidden_patches_are_no_target(loss: str, norm_pix: bool) -> None:
    model, valid = build(MAE, loss=loss, norm_pix=norm_pix), torch.ones(4, 1, 32, 32).bool()
    valid[..., 5:20, 9:30] = False
    clean = view(valid=valid)
    masks = masks_of(model, [clean])
    hidden = F.interpolate(masks[0].masked.reshape(4, 1, 4, 4).float(), scale_factor=8) > 0
    dirty = View(clean.image.masked_fill(hidden & ~valid, 7.0), clean.gsd, clean.origin, valid)
    assert not torch.equal(dirty.image, clean.image)
    assert_same(model([clean], masks), model([dirty], masks), 0.0)
    open_ = View(dirty.image, clean.gsd, clean.origin, torch.ones_like(valid))
    assert not torch.isclose(total(model([open_], masks)), total(model([clean], masks)))


@pytest.mark.parametrize('loss', LOSSES)
def test_only_hidden_pixels_with_data_are_learnt(loss: str) -> None:
    model, valid = build(MAE, loss=loss), torch.ones(4, 1, 32, 32).bool()
    valid[..., 5:20, 9:30] = False
    one = view(valid=valid)
    masks = masks_of(model, [one])[0]
    prediction = torch.randn(4, 16, 192, generator=seeded(7)).requires_grad_()
    made = Reconstruction(torch.zeros(0), torch.zeros(0), prediction, 1)
    (grad,) = torch.autograd.grad(model.reconstruction_loss(made, one, masks), prediction)
    counts = masks.masked[..., None] & (model.targets(one)[1] > 0)
    assert torch.equal(grad != 0, counts)


@torch.no_grad()
def test_pooling_leaves_missing_patches_out() -> None:
    model, valid = build(), torch.ones(4, 1, 32, 32).bool()
    valid[..., :8, :] = False
    valid[..., 8:12, :] = False  # half of the second row of patches
    one = view(valid=valid)
    masks = masks_of(model, [one])[0]
    latent = torch.randn(4, 1 + 4, 32, generator=seeded())
    made = model.encoding(one, masks, latent, torch.zeros(4, 17, 32))
    share = torch.tensor([0.0, 0.5, 1.0, 1.0])[masks.keep // 4]
    assert (share == 0).any()
    for tokens, weight, pooled in zip(latent[:, 1:], share, made.pooled()[0], strict=True):
        expected = (tokens * weight[:, None]).sum(0) / weight.sum().clamp(min=1e-6)
        torch.testing.assert_close(pooled, expected)


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('loss', LOSSES)
@pytest.mark.parametrize('norm_pix', [False, True])
def test_all_missing(kind: type[MAE], loss: str, norm_pix: bool) -> None:
    """Some images, or a whole batch, without data leave every gradient finite."""
    assert_finite_where_missing(build(kind, loss=loss, norm_pix=norm_pix))


@pytest.mark.parametrize('negatives', ['encoder', 'decoder', 'both', 'none'])
@pytest.mark.parametrize('consistency', ['decoupled', 'infonce'])
@pytest.mark.parametrize('predictor_norm', ['layer', 'token_batch'])
def test_all_missing_between_views(negatives: str, consistency: str, predictor_norm: str) -> None:
    options = {'negatives': negatives, 'consistency': consistency}
    model = build(**options, predictor_norm=predictor_norm, predictor_tokens=16)
    assert_finite_where_missing(model)


def assert_finite_where_missing(model: MAE) -> None:
    for first in (3, 1, 0):
        views = []
        for one in pair():
            valid = one.valid.clone()
            valid[first:] = False
            views.append(View(one.image * valid, one.gsd, one.origin, valid))
        terms = model(views, generator=seeded(), footprint=APART)
        assert all(term.isfinite() for term in terms.values())
        model.zero_grad()
        total(terms).backward()
        assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize('negatives', ['encoder', 'decoder', 'none'])
@pytest.mark.parametrize('loss', LOSSES)
def test_a_place_without_data_counts_in_no_term(negatives: str, loss: str) -> None:
    model = build(negatives=negatives, loss=loss)
    views = pair()
    masks = masks_of(model, views)
    full = model(views, masks, footprint=APART)
    empty = [
        View(
            torch.cat([v.image, torch.zeros_like(v.image[:1])]),
            torch.cat([v.gsd, v.gsd[:1]]),
            torch.cat([v.origin, v.origin[:1]]),
            torch.cat([v.valid, torch.zeros_like(v.valid[:1])]),
        )
        for v in views
    ]
    more = [
        Masks(*(torch.cat([getattr(m, k), getattr(m, k)[:1]]) for k in Masks.__slots__))
        for m in masks
    ]
    beside = torch.cat([APART, APART[-1:] + 50])
    torch.testing.assert_close(model(empty, more, footprint=beside), full)
