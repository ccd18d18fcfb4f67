"""Terms between two views beside those of another objective: what they train, and leave."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from xscale.objectives import MAE, CrossScaleMAE, LocalMIM, SatMAEGroup, SatMAETemporal, ScaleMAE
from xscale.objectives.pair_terms import PAIR_TERMS

from ..tiny import DECODER, encoder, seeded
from ..tiny import pair as pair_of
from ..tiny import view as view_of
from .mae import APART, total
from .paired import DECODED, KINDS, LOCAL, PAIR, look, made, own_terms


@pytest.mark.parametrize('kind', KINDS)
def test_the_terms_and_what_they_train(kind: Any) -> None:
    model = made(kind)
    assert (model.views, kind.views) == (2, 2 if kind is ScaleMAE else 1)
    terms = model(look(kind), generator=seeded(), footprint=APART)
    between = PAIR_TERMS[:1] if kind is LocalMIM else PAIR_TERMS
    assert set(terms) == {*own_terms(kind), *between}
    deepest = model.encoder.blocks[-1].mlp.fc2.weight
    for name in between:
        assert torch.autograd.grad(terms[name], deepest, retain_graph=True)[0].any(), name
    total(terms).backward()
    trained = {n: p.grad for n, p in model.named_parameters() if p.requires_grad}
    assert [n for n, grad in trained.items() if grad is None] == []
    assert any(n.startswith('predictor.') for n in trained) == (kind is not LocalMIM)


@pytest.mark.parametrize('kind', DECODED)
@pytest.mark.parametrize('wanted', [('consistency',), ('cross_prediction',), PAIR_TERMS])
def test_alone_they_leave_nothing_without_a_gradient(kind: Any, wanted: tuple[str, ...]) -> None:
    """DistributedDataParallel stops at a parameter that is trained and has none."""
    names = (*kind.terms, *PAIR_TERMS)
    model = made(kind, weights={name: float(name in wanted) for name in names})
    decoded: list[int] = []
    model.decoder.register_forward_hook(lambda *_: decoded.append(1))
    terms = model(look(kind), generator=seeded(), footprint=APART)
    assert set(terms) == set(wanted)
    assert bool(decoded) == ('cross_prediction' in wanted)
    total(terms).backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name


@pytest.mark.parametrize('kind', KINDS)
def test_without_weight_nothing_changes(kind: Any) -> None:
    """Bit for bit: the weights to start from, the terms and the gradients."""
    views = look(kind)[:1]
    idle = made(kind, weights=dict.fromkeys(PAIR_TERMS, 0.0))
    assert (idle.views, idle.whole) == (kind.views, False)
    results = []
    for model in (made(kind, None), idle):
        start = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        terms = model(views, generator=seeded())
        total(terms).backward()
        results.append((start, terms, {n: p.grad for n, p in model.named_parameters()}))
    for first, second in zip(*results, strict=True):
        assert first.keys() == second.keys()
        for name, one in first.items():
            other = second[name]
            assert (one is None) == (other is None), name
            assert one is None or torch.equal(one, other), name


@pytest.mark.parametrize('kind', KINDS)
def test_own_terms_stay_as_they_are(kind: Any) -> None:
    """Beside terms between views, of the same views, masks and weights to start from."""
    model, plain, views = made(kind), made(kind, None), look(kind)
    alone = plain(views[:1], generator=seeded())
    terms = model(views, generator=seeded(), footprint=APART)
    assert {name: terms[name] for name in alone} == alone


@pytest.mark.parametrize(
    'pair',
    [
        PAIR,
        PAIR | {'align': 'index', 'direction': 'fine_to_coarse', 'stop_gradient': False},
        PAIR | {'predictor_norm': 'token_batch', 'predictor_tokens': 16, 'temperature': 0.1},
        PAIR | {'negatives': 'both', 'consistency': 'infonce'},
    ],
)
def test_in_mae_they_are_those_of_cross_scale_mae(pair: dict[str, Any]) -> None:
    """And its weights are the same by name."""
    model, views = made(MAE, pair), pair_of()
    whole = CrossScaleMAE(encoder(), **DECODER | pair)
    whole.load_state_dict(model.state_dict())
    masks = whole.draw_masks(views, seeded())
    expected, terms = (one(views, masks, footprint=APART) for one in (whole, model))
    for name in terms:
        other = 'reconstruction_fine' if name == 'reconstruction' else name
        torch.testing.assert_close(terms[name], expected[other])
    drawn = model(views, generator=seeded(), footprint=APART)
    torch.testing.assert_close(drawn, terms)


def test_scale_mae_predicts_from_the_fine_view_alone() -> None:
    """Its second view is the whole tile, which is not what the encoder fills in."""
    model, (fine, coarse) = made(ScaleMAE), look(ScaleMAE)
    masks = model.draw_masks([fine, coarse], seeded())
    assert [mask.masked.shape for mask in masks] == [(4, 16), (4, 16)]
    wide = view_of(64, 96, gsd=4.0)
    assert model.draw_masks([fine, wide], seeded())[1].masked.shape == (4, 24)
    terms = model([fine, coarse], masks)
    other = model([fine, replace(coarse, image=coarse.image.flip(0))], masks)
    for name in ScaleMAE.terms:
        assert torch.equal(terms[name], other[name])
    assert all(terms[name] != other[name] for name in PAIR_TERMS)
    assert len(model.pictures([fine, coarse], masks)) == 1


@pytest.mark.parametrize('kind', DECODED)
def test_pictures_and_local_terms(kind: Any) -> None:
    satmae = kind in (SatMAEGroup, SatMAETemporal)
    model, views = made(kind, **({} if satmae else {'local': LOCAL})), look(kind)
    terms = model(views, generator=seeded(), footprint=APART)
    own = () if satmae else ('local_0', 'local_1')
    assert tuple(terms) == (*kind.terms, *PAIR_TERMS, *own)
    shown = model.pictures(views, model.draw_masks(views, seeded()))
    for view, pictures in zip(views, shown, strict=False):
        assert pictures[0].image.shape == view.image.shape


def test_what_is_not_trained_is_not_shown() -> None:
    model = made(MAE, weights={'reconstruction': 0.0})
    views = look(MAE)
    assert model.pictures(views, model.draw_masks(views, seeded())) == [[], []]


def test_local_mim_with_nothing_but_consistency() -> None:
    model = made(LocalMIM, weights={'local_0': 0.0, 'local_1': 0.0})
    views = look(LocalMIM)
    terms = model(views, generator=seeded(), footprint=APART)
    assert list(terms) == ['consistency']
    assert model.pictures(views, model.draw_masks(views, seeded())) == [[], []]
    terms['consistency'].backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name
