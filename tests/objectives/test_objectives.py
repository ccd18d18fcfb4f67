"""MAE and Cross-Scale MAE: what must not matter, what must, and that they learn."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from xscale.errors import ConfigError, UnknownNameError
from xscale.models.masking import random_masks
from xscale.models.tokens import patchify
from xscale.objectives import MAE, CrossScaleMAE
from xscale.objectives.mae import STRUCTURE_LOSSES, Reconstruction
from xscale.objectives.pair_terms import PairTerms
from xscale.objectives.terms import VALUE_LOSSES
from xscale.transforms import Normalize, ScaleViews
from xscale.types import Masks, Sensor, View

from ..tiny import DECODER, encoder, pair, seeded, view

LOSSES = [*VALUE_LOSSES, *STRUCTURE_LOSSES]
KINDS: list[type[MAE]] = [MAE, CrossScaleMAE]
#: Each overlaps none.
APART = torch.arange(4)[:, None].double() * 2 + torch.tensor([0.0, 0, 1, 1])


def build(kind: type[MAE] = CrossScaleMAE, **options: Any) -> Any:
    net = options.pop('net', None) or encoder()
    if issubclass(kind, CrossScaleMAE):
        options = {'predictor_hidden': 16} | options
    torch.manual_seed(1)
    return kind(net, **DECODER | options)


def masks_of(model: MAE, views: Sequence[View], seed: int = 5) -> tuple[Masks, ...]:
    return model.draw_masks(views, seeded(seed))


def total(terms: dict[str, Tensor]) -> Tensor:
    return torch.stack(list(terms.values())).sum()


def assert_same(first: dict[str, Tensor], second: dict[str, Tensor], tolerance: float) -> None:
    assert first.keys() == second.keys()
    for name in first:
        torch.testing.assert_close(
            first[name], second[name], rtol=tolerance, atol=tolerance, msg=name
        )


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


@pytest.mark.parametrize('term', CrossScaleMAE.terms)
def test_weight_zero(term: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The term is absent and its work is not done; the others stay as they were."""
    views = pair()
    everything = build()(views, generator=seeded(), footprint=APART)
    model = build(weights={term: 0.0})
    assert (model.predictor is not None) == (term != 'cross_prediction')
    losses: list[View] = []
    compare = MAE.reconstruction_loss

    def noting(self: MAE, made: Reconstruction, view: View, masks: Masks) -> Tensor:
        losses.append(view)
        return compare(self, made, view, masks)

    monkeypatch.setattr(MAE, 'reconstruction_loss', noting)
    if work := {'consistency': 'agree', 'cross_prediction': 'predict'}.get(term):
        monkeypatch.delattr(PairTerms, work)
    terms = model(views, generator=seeded(), footprint=APART)
    assert len(losses) == (1 if term.startswith('reconstruction') else 2)
    assert_same(terms, {k: v for k, v in everything.items() if k != term}, 1e-6)


@pytest.mark.parametrize('kind', KINDS)
def test_only_the_given_generator_is_used(kind: type[MAE]) -> None:
    model, results = build(kind), []
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        results.append(model(pair(), generator=seeded(9)))
        assert torch.equal(before, torch.get_rng_state())
    assert_same(*results, 0.0)
    assert not torch.isclose(total(results[0]), total(model(pair(), generator=seeded(8))))
    fine, coarse = masks_of(model, pair())
    assert not torch.equal(fine.keep, coarse.keep)
    with pytest.raises(ConfigError, match='generator'):
        model(pair())


@pytest.mark.parametrize('position', ['index', 'gsd', 'table'])
@pytest.mark.parametrize('batch', [1, 3])
@torch.no_grad()
def test_views_in_one_pass(position: str, batch: int) -> None:
    """Equal to each on its own, at any batch size, also where positions differ by view."""
    model, views = build(position=position), pair(batch=batch)
    masks = masks_of(model, views)
    together = model.reconstruct(views, masks)
    for made, one, mask in zip(together, views, masks, strict=True):
        alone = model.reconstruct([one], [mask])[0]
        for name in ('latent', 'features', 'prediction'):
            torch.testing.assert_close(
                getattr(made, name), getattr(alone, name), rtol=1e-5, atol=1e-5, msg=name
            )


@torch.no_grad()
def test_views_of_several_sizes() -> None:
    model = build()
    views = view(24, 40, origin=(3.0, 4.0)), view(32, 32, gsd=2.0, seed=1)
    terms = model(views, generator=seeded())
    assert all(term.isfinite() for term in terms.values())
    sizes = [made.prediction.shape[1] for made in model.reconstruct(views, masks_of(model, views))]
    assert sizes == [15, 16]


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


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('position', ['index', 'gsd', 'table'])
@pytest.mark.parametrize('size', [(24, 48), (64, 40), (32, 32)])
def test_positions_and_sizes(kind: type[MAE], position: str, size: tuple[int, int]) -> None:
    model = build(kind, position=position)
    views = view(*size, gsd=3.0), view(*size, gsd=6.0, seed=1)
    terms = model(views, generator=seeded())
    assert all(term.isfinite() for term in terms.values())
    coarser = [View(v.image, v.gsd * 2, v.origin, v.valid) for v in views]
    same = torch.isclose(total(model(coarser, generator=seeded())), total(terms), rtol=1e-6)
    assert same.item() == (position != 'gsd')


@pytest.mark.parametrize('loss', LOSSES)
@pytest.mark.parametrize('norm_pix', [False, True])
def test_every_loss_has_finite_gradients(loss: str, norm_pix: bool) -> None:
    model = build(MAE, loss=loss, norm_pix=norm_pix)
    value = model([view()], generator=seeded())['reconstruction']
    value.backward()
    assert value > 0
    gradients = {n: p.grad for n, p in model.named_parameters() if p.requires_grad}
    assert all(g is not None and g.isfinite().all() and g.any() for g in gradients.values())


def test_perfect_reconstruction_costs_nothing() -> None:
    for loss in set(LOSSES) - {'bce'}:
        for norm_pix in (False, True):
            model, one = build(MAE, loss=loss, norm_pix=norm_pix), view()
            masks = masks_of(model, [one])[0]
            target, _ = model.targets(one)
            made = Reconstruction(torch.zeros(0), torch.zeros(0), target, 1)
            assert model.reconstruction_loss(made, one, masks).abs() < 1e-6
            if not norm_pix or loss == 'mse':
                torch.testing.assert_close(
                    model.picture(made, one, masks), one.image, rtol=0, atol=1e-4
                )


@torch.no_grad()
def test_prefix_tokens_never_enter_the_patches() -> None:
    """Also without a class token, or with registers beside it."""
    for options in ({'class_token': False, 'global_pool': 'avg'}, {'reg_tokens': 2}):
        net = encoder(**options)
        model = build(net=net)
        made = model.reconstruct(pair(), masks_of(model, pair()))[0]
        assert made.prefix == net.num_prefix_tokens
        assert made.prediction.shape == (4, 16, 192)
        assert made.latent.shape == (4, net.num_prefix_tokens + 4, 32)
        assert all(term.isfinite() for term in model(pair(), generator=seeded()).values())


def test_mixed_precision() -> None:
    """Terms are float32 and close to those of full precision; so are the gradients' signs."""
    model = build()
    full = model(pair(), generator=seeded(), footprint=APART)
    with torch.autocast('cpu', torch.bfloat16):
        mixed = model(pair(), generator=seeded(), footprint=APART)
    for name, term in mixed.items():
        assert term.dtype == torch.float32
        assert term.item() == pytest.approx(full[name].item(), rel=0.03), name
    total(mixed).backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize(
    'options',
    [
        {'loss': 'huber'},
        {'position': 'metres'},
        {'consistency': 'triplet'},
        {'align': 'sky'},
        {'direction': 'sideways'},
        {'negatives': 'all'},
        {'predictor_norm': 'group'},
        {'weights': {'reconstruction': 1.0}},
    ],
)
def test_unknown_options(options: dict[str, Any]) -> None:
    value = next(iter(options.values()))
    name = 'reconstruction' if isinstance(value, dict) else value
    with pytest.raises(UnknownNameError, match=f'{name!r}; choose one of: '):
        build(**options)


def test_numbers_that_do_not_fit() -> None:
    with pytest.raises(ConfigError, match='decoder_dim 30'):
        build(decoder_dim=30)
    with pytest.raises(ConfigError, match='built for 9 tokens and 16 came'):
        build(predictor_norm='token_batch', predictor_tokens=9)(pair(), generator=seeded())
    with pytest.raises(ConfigError, match='leaves 0 of 16'):
        build(mask_ratio=0.99)(pair(), generator=seeded())


def smooth_pair() -> tuple[View, View]:
    """Cut views of eight smooth scenes."""
    tiles = torch.randn(8, 3, 6, 6, generator=seeded())
    tiles = F.interpolate(tiles, (64, 64), mode='bicubic')
    valid = torch.ones(8, 1, 64, 64, dtype=torch.bool)
    return ScaleViews(32)(tiles, valid, torch.ones(8), seeded(1))


@pytest.mark.parametrize('kind', KINDS)
def test_one_batch_is_learnt(kind: type[MAE]) -> None:
    model = build(kind, loss='mse')
    views = smooth_pair()
    masks = tuple(random_masks(8, 16, 0.5, seeded(i), torch.device('cpu')) for i in range(2))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    history = []
    for _ in range(160):
        terms = model(views[: kind.views], masks[: kind.views])
        optimizer.zero_grad()
        total(terms).backward()
        optimizer.step()
        history.append({name: term.item() for name, term in terms.items()})
    last = history[-1]
    for name, one, mask in zip(kind.terms, views, masks, strict=False):
        # Better by far than the best constant.
        hidden = patchify(one.image, 8)[mask.masked]
        assert last[name] < 0.5 * hidden.var(unbiased=False), name
    for name in last.keys() - {'reconstruction_fine', 'reconstruction_coarse', 'reconstruction'}:
        assert last[name] < 0.5 * history[0][name], name


@pytest.mark.parametrize('negatives', ['encoder', 'decoder', 'both', 'none'])
@pytest.mark.parametrize(
    'wanted',
    [
        ('consistency',),
        ('cross_prediction',),
        ('reconstruction_coarse',),
        ('consistency', 'cross_prediction'),
        CrossScaleMAE.terms,
    ],
)
def test_all_that_is_trained_gets_a_gradient(wanted: tuple[str, ...], negatives: str) -> None:
    """DistributedDataParallel stops at a parameter without one."""
    weights = {term: float(term in wanted) for term in CrossScaleMAE.terms}
    model = build(weights=weights, negatives=negatives)
    decoded = []
    model.decoder.register_forward_hook(lambda *_: decoded.append(1))
    total(model(pair(), generator=seeded(), footprint=APART)).backward()
    assert bool(decoded) == (wanted != ('consistency',))
    without = [k for k, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert without == []


def test_no_weight_at_all() -> None:
    with pytest.raises(ConfigError, match='every weight is 0'):
        build(MAE, weights={'reconstruction': 0.0})


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
