"""Killed twenty times, a run ends as one that was left alone."""

import itertools
import os
import random
import select
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from xscale.tasks import Pretraining

from .runs import EPOCH, fork, forked, go_on, losses, start

KILLS, EPOCHS = 20, 16


def watched(work: Callable[[], int], report: int, after: int, writing: bool) -> Callable[[], int]:
    """Let a child report each step, or each file that is written but not in its place yet."""
    step, synced = Pretraining.training_step, os.fsync
    files = itertools.count(1)

    def training_step(self: Pretraining, *args: object) -> torch.Tensor:
        os.write(report, b's')
        return step(self, *args)

    def half_written(handle: int) -> None:
        if os.readlink(f'/proc/self/fd/{handle}').endswith('.part'):
            os.write(report, b's')
            if next(files) == after:
                # To be killed before the file takes its place.
                time.sleep(60)
        synced(handle)

    def child() -> int:
        if writing:
            os.fsync = half_written
        else:
            Pretraining.training_step = training_step
        return work()

    return child


def killed(work: Callable[[], int], after: int, delay: float, writing: bool) -> bool:
    """Kill a child some time after it has reported so often; tell whether it ended before."""
    ours, theirs = os.pipe()
    process = fork(watched(work, theirs, after, writing))
    os.close(theirs)
    for _ in range(after):
        ready, _, _ = select.select([ours], [], [], 60)
        assert ready, 'the child hangs'
        if not os.read(ours, 1):
            break
    time.sleep(delay)
    os.kill(process, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    os.close(ours)
    assert code in (0, -signal.SIGKILL), f'the child failed with {code}'
    return code == 0


def test_twenty_kills(
    world: Path, tmp_path: Path, recipe: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At random moments, and where a checkpoint, the table or the configuration is half written."""
    flags = ('--epochs', str(EPOCHS), '--save-every', '2')
    whole, run = tmp_path / 'whole', tmp_path / 'run'
    # In this process, so that its children find everything warm.
    assert start(world, whole, *flags) == 0
    draw = random.Random(0)

    def work() -> int:
        return go_on(run) if (run / 'last.ckpt').exists() else start(world, run, *flags)

    for kill in range(KILLS):
        writing = kill % 4 == 3
        after = draw.randint(1, 5 if writing else 4)
        delay = 0.0 if writing else draw.uniform(0, 0.05)
        assert not killed(work, after, delay, writing), f'over before kill {kill}'
    assert forked(work) == 0
    assert losses(run) == losses(whole)
    assert len(losses(run)) == EPOCHS * EPOCH
