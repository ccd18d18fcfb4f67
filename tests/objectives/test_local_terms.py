"""Local terms beside those of another objective."""

from typing import Any

import pytest
import torch

from xscale.errors import ConfigError, UnknownNameError
from xscale.objectives import MAE, CrossScaleMAE, LocalMIM

from ..tiny import DECODER, encoder, pair, seeded, view
from .mae import total

LOCAL = {'dim': 32, 'heads': 2}
NAMES = tuple(f'local_{k}' for k in range(4))
KINDS: list[type[MAE]] = [MAE, CrossScaleMAE]


def build(kind: type[MAE], **options: Any) -> Any:
    net = encoder(depth=7)
    torch.manual_seed(1)
    hidden = {'predictor_hidden': 16} if kind is CrossScaleMAE else {}
    return kind(net, **DECODER | hidden | options)


@pytest.mark.parametrize('kind', KINDS)
def test_without_weight_nothing_changes(kind: type[MAE]) -> None:
    """Bit for bit: the weights to start from, the terms and the gradients."""
    plain = build(kind)
    nothing = build(kind, local=LOCAL, weights=dict.fromkeys(NAMES, 0.0))
    results = []
    for model in (plain, nothing):
        terms = model(pair(), generator=seeded())
        total(terms).backward()
        results.append((terms, {n: p.grad for n, p in model.named_parameters()}))
    assert results[0][0] == results[1][0]
    assert results[0][0].keys() == set(kind.terms)
    assert results[0][1].keys() == results[1][1].keys()
    for name, grad in results[0][1].items():
        other = results[1][1][name]
        assert (grad is None) == (other is None), name
        assert grad is None or torch.equal(grad, other), name


@pytest.mark.parametrize('kind', KINDS)
def test_own_terms_stay_as_they_are(kind: type[MAE]) -> None:
    model = build(kind, local=LOCAL)
    terms = model(pair(), generator=seeded())
    assert tuple(terms) == kind.terms + NAMES
    bare = build(kind)
    state = {k: v for k, v in model.state_dict().items() if not k.startswith('local.')}
    bare.load_state_dict(state)
    for name, term in bare(pair(), generator=seeded()).items():
        assert torch.equal(term, terms[name]), name


@pytest.mark.parametrize('kind', KINDS)
def test_gradients_reach_the_blocks_below_each_tap(kind: type[MAE]) -> None:
    model = build(kind, local=LOCAL)
    terms = model(pair(), generator=seeded())
    blocks = [block.attn.qkv.weight for block in model.encoder.blocks]
    for name, tap in zip(NAMES, (1, 3, 4, 6), strict=True):
        grads = torch.autograd.grad(terms[name], blocks, retain_graph=True, allow_unused=True)
        trained = [number for number, grad in enumerate(grads) if grad is not None and grad.any()]
        assert trained == list(range(tap + 1)), name


@torch.no_grad()
def test_terms_are_those_of_local_mim() -> None:
    """The mean over the views; alone in MAE, they are LocalMIM."""
    model = build(CrossScaleMAE, local=LOCAL)
    views = pair()
    masks = model.draw_masks(views, seeded())
    terms = model(views, masks)
    single = LocalMIM(model.encoder, **LOCAL)
    single.local.load_state_dict(model.local.state_dict())
    each = [single([one], [mask]) for one, mask in zip(views, masks, strict=True)]
    for name in NAMES:
        torch.testing.assert_close(terms[name], (each[0][name] + each[1][name]) / 2)
    alone = build(MAE, local=LOCAL, weights={'reconstruction': 0.0})
    decoded: list[int] = []
    alone.decoder.register_forward_hook(lambda *_: decoded.append(1))
    alone.local.load_state_dict(model.local.state_dict())
    alone.encoder.load_state_dict(model.encoder.state_dict())
    assert not decoded
    torch.testing.assert_close(alone([views[0]], masks[:1]), each[0])


@pytest.mark.parametrize('isolate', [False, True])
@pytest.mark.parametrize(
    'wanted', [('local_3',), ('reconstruction', 'local_0'), ('reconstruction', *NAMES)]
)
def test_all_that_is_trained_gets_a_gradient(wanted: tuple[str, ...], isolate: bool) -> None:
    weights = {name: float(name in wanted) for name in ('reconstruction', *NAMES)}
    model = build(MAE, local=LOCAL | {'isolate': isolate}, weights=weights)
    total(model([view()], generator=seeded())).backward()
    assert [k for k, p in model.named_parameters() if p.requires_grad and p.grad is None] == []


@pytest.mark.parametrize('pair_terms', [('consistency',), ('consistency', 'cross_prediction')])
def test_local_terms_with_terms_between_views(pair_terms: tuple[str, ...]) -> None:
    """LocalMIM that also makes two scales agree, with no reconstruction at all."""
    weights = {name: float(name in pair_terms) for name in CrossScaleMAE.terms}
    model = build(CrossScaleMAE, local=LOCAL, weights=weights)
    terms = model(pair(), generator=seeded())
    assert tuple(terms) == pair_terms + NAMES
    total(terms).backward()
    assert [k for k, p in model.named_parameters() if p.requires_grad and p.grad is None] == []


@pytest.mark.parametrize('kind', KINDS)
def test_views_of_several_sizes(kind: type[MAE]) -> None:
    model = build(kind, local=LOCAL | {'target': 'pixels'})
    terms = model((view(16, 48), view(32, 32, gsd=2.0, seed=1)), generator=seeded())
    assert all(term.isfinite() for term in terms.values())


def test_the_last_tap_is_normalized_once() -> None:
    """By the encoder, or by itself where the encoder's own LayerNorm is not applied."""
    own, bare = (build(MAE, local=LOCAL, normalize_encoder=on) for on in (True, False))
    assert isinstance(own.local.norms[-1], torch.nn.Identity)
    assert isinstance(bare.local.norms[-1], torch.nn.LayerNorm)
    tokens = 100 * torch.randn(2, 5, 32, generator=seeded())
    for model in (own, bare):
        _, taps = model.encode_between(tokens)
        read = model.local.norms[-1](taps[-1])
        torch.testing.assert_close(read[:, 1:].std(-1, correction=0), torch.ones(2, 5))


def test_settings_that_do_not_fit() -> None:
    with pytest.raises(UnknownNameError, match="'local_0'; choose one of: reconstruction"):
        build(MAE, weights={'local_0': 1.0})
    alone = {'reconstruction': 0.0, 'local_3': 0.0}
    with pytest.raises(ConfigError, match='deepest tap with a weight is block 4'):
        build(MAE, local=LOCAL, weights=alone)
    with pytest.raises(ConfigError, match='2 taps and 4 scales'):
        build(MAE, local={'taps': [0, 1]})
    with pytest.raises(ConfigError, match='local True: options by name'):
        build(MAE, local=True)
    two = build(MAE, local=LOCAL | {'taps': [0, 1], 'scales': [2, 1]})
    assert tuple(two.weights) == ('reconstruction', 'local_0', 'local_1')
