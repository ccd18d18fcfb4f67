"""The contrast over two processes is the contrast of their batches together."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, distributed, multiprocessing, nn
from torch.nn.parallel import DistributedDataParallel

from xscale.objectives.terms import nt_xent, overlap_rate

from ..tiny import seeded

RANKS, EACH = 2, 3
#: Two pairs overlap across the processes, so that every row keeps negatives.
FOOTPRINT = torch.tensor(
    [
        [0, 0, 1, 1],
        [5, 5, 6, 6],
        [10, 0, 11, 1],
        [0.5, 0.5, 1.5, 1.5],
        [20, 0, 21, 1],
        [10, 0, 11, 1],
    ]
).double()


def inputs() -> Tensor:
    """Draw both views of all places, shape (2, B, 4)."""
    return torch.randn(2, RANKS * EACH, 4, generator=seeded())


def head() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(4, 8)


def contrast(model: nn.Module, views: Tensor, footprint: Tensor | None, chunk: int) -> Tensor:
    first, second = model(views.flatten(0, 1)).chunk(2)
    return nt_xent(first, second, temperature=0.2, footprint=footprint, chunk=chunk)


def work(rank: int, folder: str) -> None:
    """Compute loss and gradients on one rank's share of the batch, for each case."""
    torch.set_num_threads(1)
    init = f'file://{folder}/rendezvous'
    distributed.init_process_group('gloo', init_method=init, rank=rank, world_size=RANKS)
    own = slice(rank * EACH, (rank + 1) * EACH)
    results = []
    for footprint in (None, FOOTPRINT):
        for chunk in (4096, 2):
            model = DistributedDataParallel(head())
            views = inputs()[:, own].requires_grad_()
            share = None if footprint is None else footprint[own]
            loss = contrast(model, views, share, chunk)
            loss.backward()
            grads = [p.grad for p in model.module.parameters()]
            results.append((loss.detach(), views.grad, grads))
    torch.save((results, overlap_rate(FOOTPRINT[own])), f'{folder}/{rank}.pt')
    distributed.destroy_process_group()


@pytest.mark.skipif(not distributed.is_gloo_available(), reason='needs gloo')
def test_two_processes(tmp_path: Path) -> None:
    """What matches, with L the loss of the whole batch in one process and L_r that of rank r.

    The mean of L_r is L. DDP averages gradients over ranks, so those of the parameters are L's.
    Those of a rank's own inputs are of the sum of all L_r, so they are L's times the ranks.
    """
    multiprocessing.spawn(work, (str(tmp_path),), nprocs=RANKS)
    ranks, rates = zip(*(torch.load(tmp_path / f'{r}.pt') for r in range(RANKS)), strict=True)
    cases = [(footprint, chunk) for footprint in (None, FOOTPRINT) for chunk in (4096, 2)]
    whole = []
    for case, (footprint, chunk) in enumerate(cases):
        model, views = head(), inputs().requires_grad_()
        loss = contrast(model, views, footprint, chunk)
        loss.backward()
        losses, inner, outer = zip(*(rank[case] for rank in ranks), strict=True)
        torch.testing.assert_close(torch.stack(losses).mean(), loss.detach())
        torch.testing.assert_close(torch.cat(inner, dim=1) / RANKS, views.grad)
        for grads in outer:
            torch.testing.assert_close(grads, [p.grad for p in model.parameters()])
        whole.append(loss.item())
    assert whole[0] != pytest.approx(whole[2], rel=1e-3)
    assert torch.stack(rates).mean() == overlap_rate(FOOTPRINT)
