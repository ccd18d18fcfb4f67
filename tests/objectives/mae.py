"""MAE and Cross-Scale MAE of tiny encoders, their masks and terms."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from xscale.objectives import MAE, CrossScaleMAE
from xscale.objectives.mae import STRUCTURE_LOSSES
from xscale.objectives.terms import VALUE_LOSSES
from xscale.types import Masks, View

from ..tiny import DECODER, encoder, seeded

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
