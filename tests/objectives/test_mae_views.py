"""Views of any size, position and prefix, alone and together, with masks of one generator."""

import pytest
import torch

from xscale.errors import ConfigError
from xscale.objectives import MAE
from xscale.types import View

from ..tiny import encoder, pair, seeded, view
from .mae import KINDS, assert_same, build, masks_of, total


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
