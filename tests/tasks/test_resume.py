"""A run that is stopped goes on as if nothing had happened."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import xscale

from .runs import EPOCH, go_on, interrupt, losses, rows, start, step_of

Set = Callable[..., None]


@pytest.fixture(autouse=True)
def same_signals() -> Iterator[None]:
    """Whatever happens, signals are handled as before."""
    watched = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in watched]
    yield
    assert [signal.getsignal(number) for number in watched] == before


STEPS, EPOCHS = ('--max-steps', '13'), ('--epochs', '3')
CASES: dict[str, tuple[tuple[str, ...], dict[str, Any], dict[str, Any]]] = {
    'steps': (STEPS, {}, {}),
    'epochs': (EPOCHS, {}, {}),
    'one worker': ((*STEPS, '--num-workers', '1'), {}, {}),
    'two workers': ((*EPOCHS, '--num-workers', '2'), {}, {}),
    'bf16': ((*STEPS, '--precision', 'bf16-mixed'), {}, {}),
    'drop path': ((*EPOCHS,), {'drop_path': 0.5}, {}),
    'accumulate steps': (('--max-steps', '8'), {}, {'accumulate_grad_batches': 2}),
    'accumulate epochs': (EPOCHS, {}, {'accumulate_grad_batches': 2}),
}


@pytest.mark.parametrize('case', CASES)
def test_goes_on_to_the_bit(
    case: str, world: Path, tmp_path: Path, recipe: Set, at: Set, capfd: Any
) -> None:
    """Stopped at the start, in the middle and at the end of epochs, in one run."""
    flags, model, trainer = CASES[case]
    recipe(model, **trainer)
    assert start(world, tmp_path / 'whole', *flags) == 0
    whole = losses(tmp_path / 'whole')
    stops = [0, 2, 4, 5] if trainer else [0, 2, EPOCH - 1, EPOCH, 2 * EPOCH - 1]
    run = tmp_path / 'run'
    for number, stop in enumerate(stops):
        at(stop, interrupt)
        assert (go_on(run) if number else start(world, run, *flags)) == 130
        assert step_of(run / 'last.ckpt') == stop + 1
        assert len(losses(run)) == stop + 1
        text = f'checkpoint: {run}/last.ckpt; go on with: xscale pretrain --resume {run}'
        assert f'stopped at step {stop + 1}; {text}' in capfd.readouterr().out
    assert go_on(run) == 0
    assert losses(run) == whole
    assert [step for step, _ in whole] == list(range(len(whole)))
    epochs = [row['epoch'] for row in rows(run) if row['epoch']]
    assert epochs == [row['epoch'] for row in rows(tmp_path / 'whole') if row['epoch']]
    ours, theirs = (xscale.load(path / 'last.ckpt').model for path in (run, tmp_path / 'whole'))
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(a, b)
