"""Tiny objectives with terms between two views, and views for each."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from xscale.models.groups import create_embeds
from xscale.objectives import MAE, LocalMIM, SatMAEGroup, SatMAETemporal, ScaleMAE
from xscale.types import View

from ..tiny import DECODER, encoder, seeded
from ..tiny import view as view_of

PAIR = {'predictor_hidden': 16}
GROUPS = {'visible': ['B2', 'B4', 'B8'], 'swir': ['B11', 'B12']}
LOCAL = {'taps': (0, 1), 'scales': (2, 1), 'dim': 16, 'heads': 2}

KINDS = [MAE, ScaleMAE, SatMAEGroup, SatMAETemporal, LocalMIM]
DECODED = KINDS[:-1]
OPTIONS: dict[Any, dict[str, Any]] = {SatMAETemporal: {'frames': 2}}

type Views = tuple[View, ...]


def build(kind: Callable[..., Any], pair: object = PAIR, **options: Any) -> Any:
    sides = {'img_size': 64, 'patch_size': 16} if kind is ScaleMAE else {}
    net = encoder(**sides)
    torch.manual_seed(1)
    if kind is SatMAEGroup:
        options = {'embeds': create_embeds(net, {'swir': 2}), 'groups': GROUPS, **options}
    if kind is LocalMIM:
        weights = {'cross_prediction': 0.0} if pair is not None else {}
        options = LOCAL | options | {'weights': weights | options.get('weights', {})}
    else:
        head = {'head_dim': 16} if kind is ScaleMAE else {}
        options = DECODER | head | options
    return kind(net, pair=pair, **options)


def made(kind: Any, pair: object = PAIR, **options: Any) -> Any:
    return build(kind, pair, **OPTIONS.get(kind, {}) | options)


def own_terms(kind: Any) -> tuple[str, ...]:
    return ('local_0', 'local_1') if kind is LocalMIM else tuple(kind.terms)


def bands(view: View) -> View:
    """Give a view five bands."""
    image = torch.randn(len(view.image), 5, *view.image.shape[-2:], generator=seeded(7))
    return replace(view, image=(image + view.image[:, :1]) * view.valid)


def dates(view: View) -> View:
    """Make two dates of each image of a view, one of them a little brighter."""
    parts = {n: getattr(view, n).repeat_interleave(2, 0) for n in ('gsd', 'origin', 'valid')}
    image = torch.stack([view.image, view.image + 0.1], 1).flatten(0, 1) * parts['valid']
    time = torch.tensor([[3.0, 0, 10], [15, 6, 10]]).repeat(len(view.image), 1)
    return replace(view, image=image, time=time, frames=2, **parts)


def look(kind: Any, valid: Sequence[Tensor] | None = None) -> Views:
    """Return a fine and a coarse view; a fine one of twice the pixels for Scale-MAE."""
    sides = (128, 64) if kind is ScaleMAE else (32, 32)
    fine, coarse = (
        view_of(
            side,
            side,
            gsd=gsd,
            origin=origin,
            seed=seed,
            valid=None if valid is None else valid[seed],
        )
        for seed, (side, gsd, origin) in enumerate(
            zip(sides, (1.0, 4.0), ((5.0, 11.0), (0.0, 0.0)), strict=True)
        )
    )
    change = {SatMAEGroup: bands, SatMAETemporal: dates}.get(kind, lambda view: view)
    return change(fine), change(coarse)
