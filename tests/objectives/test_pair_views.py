"""What terms between two views compare: the same place and ground, where there is data."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from xscale.models.position import token_centres
from xscale.models.tokens import weighted_mean
from xscale.objectives import SatMAEGroup, SatMAETemporal, ScaleMAE
from xscale.transforms import ScaleViews

from ..tiny import seeded
from .mae import APART, total
from .paired import DECODED, KINDS, PAIR, look, made


@torch.no_grad()
@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('negatives', ['encoder', 'none'])
def test_views_that_are_one_agree(kind: Any, negatives: str) -> None:
    """More than views of different places."""
    model = made(kind, PAIR | {'negatives': negatives})
    views = look(kind)
    same = model.seen(views)
    masks = model.draw_masks([views[0], same], seeded())
    masks = masks[:1] * 2
    alike = model([views[0], same], masks, footprint=APART)['consistency']
    turned = torch.arange(len(same.image)).roll(same.frames)
    moved = replace(same, image=same.image[turned])
    elsewhere = model([views[0], moved], masks, footprint=APART)['consistency']
    assert alike < elsewhere - 1e-3
    if negatives == 'none':
        torch.testing.assert_close(alike, torch.tensor(0.0), atol=1e-6, rtol=0)


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('negatives', ['encoder', 'decoder', 'both', 'none'])
def test_a_place_without_data_counts_in_no_term(kind: Any, negatives: str) -> None:
    """Whatever stands there instead."""
    noise = torch.rand(2, 4, 1, 4, 4, generator=seeded(2))
    noise[:, 0] = 0.0
    sides = (128, 64) if kind is ScaleMAE else (32, 32)
    valid = [F.interpolate(own, (side, side)) > 0.4 for own, side in zip(noise, sides, strict=True)]
    model, views = made(kind, PAIR | {'negatives': negatives}), look(kind, valid)
    masks, results = model.draw_masks(views, seeded()), []
    for value in (0.0, 9.0):
        filled = []
        for view in views:
            gone = ~view.valid.flatten(1).any(1)
            assert gone.sum() == view.frames
            image = view.image.masked_fill(gone[:, None, None, None], value)
            filled.append(replace(view, image=image))
        model.zero_grad()
        results.append(model(filled, masks, footprint=APART))
        total(results[-1]).backward()
        grads = [p.grad for p in model.parameters() if p.grad is not None]
        assert all(grad.isfinite().all() for grad in grads)
    for name, term in results[0].items():
        torch.testing.assert_close(results[1][name], term, msg=name)


@torch.no_grad()
def test_pooling_counts_each_token_by_its_own_patch() -> None:
    """Of the second date, of which the upper half is missing, no token there counts."""
    model, views = made(SatMAETemporal), look(SatMAETemporal)
    valid = views[0].valid.clone()
    valid[1::2, :, :16] = False
    view = replace(views[0], valid=valid)
    (masks,) = model.draw_masks([view], seeded())
    latent = torch.randn(4, 1 + masks.keep.shape[1], 32, generator=seeded())
    own = model.encoding(view, masks, latent, torch.zeros(4, 33, 32))
    counted = ~((masks.keep >= 16) & (masks.keep < 24))
    assert not counted.all()
    expected = weighted_mean(latent[:, 1:], counted[..., None].float())
    torch.testing.assert_close(own.pooled()[0], expected)


@torch.no_grad()
@pytest.mark.parametrize('kind', DECODED)
def test_features_at_the_same_ground(kind: Any) -> None:
    """Features that are places on the ground, and a head that lets them pass: no error is left."""
    model = made(kind)
    model.predictor = torch.nn.Identity()
    fine, coarse = look(kind)
    fine = replace(fine, origin=torch.full_like(fine.origin, 16.0 if kind is not ScaleMAE else 64))
    views = model.seen([fine]), coarse
    features = []
    for view in views:
        places = token_centres(view, model.encoder.patch_embed.patch_size[0])[:: view.frames]
        # Where a patch has two tokens, these lie around its place.
        steps = (-1.0, 1.0) if kind in (SatMAEGroup, SatMAETemporal) else (0.0,)
        features.append(torch.cat([places + step for step in steps], 1))
    masks = model.draw_masks([fine, coarse], seeded())
    latent = torch.zeros(4, masks[0].keep.shape[1], 32)
    parts = [(latent, one) for one in features]
    assert model.pair_terms(parts, views, masks, None)['cross_prediction'] < 1e-6
    model.pair = replace(model.pair, align='index')
    assert model.pair_terms(parts, views, masks, None)['cross_prediction'] > 1


@pytest.mark.parametrize('coarser', [False, True])
def test_a_coarse_view_of_the_whole_tile_with_a_zoom(coarser: bool) -> None:
    """The fine view is as without it, and the coarse one as without a zoom."""
    image = torch.randn(3, 3, 96, 96, generator=seeded())
    valid, gsd = torch.ones(3, 1, 96, 96, dtype=torch.bool), torch.ones(3)
    other = (image[..., :48, :48], valid[..., :48, :48], 2 * gsd) if coarser else None
    plain, zoomed, whole = (
        ScaleViews(32, **given)(image, valid, gsd, seeded(1), other)
        for given in ({}, {'zoom': 2}, {'zoom': 2, 'whole': True})
    )
    assert (len(zoomed), len(whole)) == (2 if coarser else 1, 2)
    for name in ('image', 'gsd', 'origin', 'valid'):
        assert torch.equal(getattr(whole[0], name), getattr(zoomed[0], name)), name
        assert torch.equal(getattr(whole[1], name), getattr(plain[1], name)), name
    assert whole[0].image.shape[-1] == 64
