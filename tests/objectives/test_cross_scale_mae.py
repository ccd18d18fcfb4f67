"""The terms of Cross-Scale MAE between its two views."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from xscale.objectives import CrossScaleMAE
from xscale.types import View

from ..tiny import pair, seeded, view
from .mae import APART, assert_same, build, masks_of, total


@torch.no_grad()
def test_ground_is_index_where_both_views_are_one() -> None:
    one = view(24, 40, gsd=0.3, origin=(2.0, 9.0))
    masks = masks_of(build(), [one])[0]
    terms = [build(align=align)([one, one], [masks, masks]) for align in ('ground', 'index')]
    assert_same(*terms, 1e-5)
    apart = [build(align=align)(pair(), generator=seeded()) for align in ('ground', 'index')]
    assert not torch.isclose(*(terms['cross_prediction'] for terms in apart), rtol=1e-3)


def predicted(
    model: CrossScaleMAE, features: Sequence[Tensor] | Tensor, views: Sequence[View]
) -> Tensor:
    """Compute the cross-prediction of decoder features of a class token and 16 patches."""
    masks = masks_of(model, views)
    made = [(torch.zeros(4, 5, 32), own) for own in features]
    return model.pair_terms(made, views, masks, None)['cross_prediction']


@pytest.mark.parametrize('direction', ['coarse_to_fine', 'fine_to_coarse'])
@pytest.mark.parametrize('align', ['ground', 'index'])
@pytest.mark.parametrize('stop', [True, False])
def test_cross_prediction_by_hand(direction: str, align: str, stop: bool) -> None:
    """Features that are their places on the ground, and a head that lets them pass.

    The fine view covers the middle quarter of the coarse one, so by ground the prediction is
    right wherever both views look; by index it is not.
    """
    model = build(direction=direction, align=align, stop_gradient=stop)
    model.predictor = torch.nn.Identity()
    fine = view(gsd=1.0, origin=(16.0, 16.0))
    coarse = view(gsd=2.0, seed=1)
    features = []
    for corner, step in ((16.0, 8.0), (0.0, 16.0)):
        places = corner + step * (torch.arange(4.0) + 0.5)
        places = torch.cat([torch.full((1, 2), 1e3), torch.cartesian_prod(places, places)])
        features.append(places.repeat(4, 1, 1).requires_grad_())
    loss = predicted(model, features, (fine, coarse))
    assert (loss < 1e-8).item() == (align == 'ground')
    # A change of one target token in sight counts; of one out of sight, or the class token, not.
    grads = torch.autograd.grad(loss, features, allow_unused=True)
    source, target = (1, 0) if direction == 'coarse_to_fine' else (0, 1)
    assert grads[source] is not None
    assert (grads[target] is None) == stop
    moved = [f.detach().clone() for f in features]
    moved[target][:, 0] = -5.0
    if direction == 'fine_to_coarse' and align == 'ground':
        moved[target][:, 1] = -5.0  # the corner of the coarse view
    again = predicted(model, moved, (fine, coarse))
    torch.testing.assert_close(again, loss.detach())
    moved[target][:, 6] = -5.0
    assert predicted(model, moved, (fine, coarse)) > loss + 1


@torch.no_grad()
def test_missing_target_patches_do_not_count() -> None:
    model, views = build(align='index', direction='coarse_to_fine'), list(pair())
    valid = views[0].valid.clone()
    valid[..., :8, :] = False
    views[0] = View(views[0].image * valid, views[0].gsd, views[0].origin, valid)
    features = torch.randn(2, 4, 17, 32, generator=seeded())
    loss = predicted(model, features, views)
    features[0, :, 1:5] = 50.0
    torch.testing.assert_close(predicted(model, features, views), loss)
    features[0, :, 5] = 50.0
    assert predicted(model, features, views) > loss + 1


def test_negatives() -> None:
    """Each choice is finite, has a gradient, and changes the terms it should change alone."""
    results = {}
    for choice in ('encoder', 'decoder', 'both', 'none'):
        model = build(negatives=choice)
        terms = model(pair(), generator=seeded(), footprint=APART)
        total(terms).backward()
        grads = [p.grad for p in model.predictor.parameters()]
        assert all(grad is not None and grad.isfinite().all() for grad in grads)
        results[choice] = {name: term.item() for name, term in terms.items()}
    for name, partner in (('consistency', 'encoder'), ('cross_prediction', 'decoder')):
        assert results['both'][name] == results[partner][name]
        other = 'decoder' if partner == 'encoder' else 'encoder'
        assert results['none'][name] == results[other][name]
        assert results['none'][name] != pytest.approx(results['both'][name], rel=1e-2)


@torch.no_grad()
def test_consistency_choices() -> None:
    terms = {
        choice: build(consistency=choice)(pair(), generator=seeded())['consistency']
        for choice in ('decoupled', 'infonce')
    }
    # The positive in the denominator can only make the loss larger.
    assert terms['infonce'] > terms['decoupled'] + 0.01
    assert terms['infonce'] > 0
    cold = build(temperature=0.05)(pair(), generator=seeded())['consistency']
    assert not torch.isclose(cold, terms['decoupled'])


@torch.no_grad()
def test_footprints() -> None:
    one_place = torch.tensor([0.0, 0, 1, 1]).double().expand(4, 4)
    plain = build()(pair(), generator=seeded())['consistency']
    for aware, footprint, expected in (
        (True, one_place, torch.tensor(0.0)),
        (True, APART, plain),
        (False, one_place, plain),
    ):
        model = build(footprint_aware=aware)
        terms = model(pair(), generator=seeded(), footprint=footprint)
        torch.testing.assert_close(terms['consistency'], expected)
