"""Terms of weight 0 are absent, and what is trained for the others gets a gradient."""

import pytest
from torch import Tensor

from xscale.errors import ConfigError
from xscale.objectives import MAE, CrossScaleMAE
from xscale.objectives.mae import Reconstruction
from xscale.objectives.pair_terms import PairTerms
from xscale.types import Masks, View

from ..tiny import pair, seeded
from .mae import APART, assert_same, build, total


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
