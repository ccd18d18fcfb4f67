"""Whether local terms are learnt on one batch."""

from typing import Any

import torch

from xscale.types import Masks, View

from .mae import total


def learn(model: Any, one: View, masks: Masks, steps: int) -> None:
    """Train on a view, and ask each term to be better by far than the best constant."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(steps):
        terms = model([one], [masks])
        optimizer.zero_grad()
        total(terms).backward()
        optimizer.step()
    for k, (name, term) in enumerate(terms.items()):
        (values,) = model.local.targets(one, [k])
        hidden = model.local.hidden(one, masks, k) > 0
        assert term < 0.5 * values[hidden].var(0, unbiased=False).mean(), name
