"""MAE and Cross-Scale MAE learn, by every loss and in mixed precision."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from xscale.models.masking import random_masks
from xscale.models.tokens import patchify
from xscale.objectives import MAE
from xscale.objectives.mae import Reconstruction
from xscale.transforms import ScaleViews
from xscale.types import View

from ..tiny import pair, seeded, view
from .mae import APART, KINDS, LOSSES, build, masks_of, total


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


def test_sums_of_tokens_are_kept_in_full() -> None:
    """What each block adds to is float32 in mixed precision, and of the weights' type else."""
    model, kinds = build(MAE), set()
    for block in (*model.encoder.blocks, *model.decoder.blocks):
        block.register_forward_hook(lambda _, given, made: kinds.add((given[0].dtype, made.dtype)))
    with torch.autocast('cpu', torch.bfloat16):
        model([view()], generator=seeded())
    assert kinds == {(torch.float32, torch.float32)}
    kinds.clear()
    half = view()
    model.bfloat16()([replace(half, image=half.image.bfloat16())], generator=seeded())
    assert kinds == {(torch.bfloat16, torch.bfloat16)}


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
