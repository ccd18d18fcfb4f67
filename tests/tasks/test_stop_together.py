"""Processes that train together stop together, whichever of them a signal reaches."""

import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from threading import Timer

import pytest
import torch

from xscale.commands.pretrain import RUN_FOLDER

from .runs import fork, go_on, interrupt, losses, start, step_of

RANKS = 2


def together(work: Callable[[], int]) -> list[int]:
    """Run something in two processes, as torchrun would; return their exit statuses."""
    with socket.create_server(('localhost', 0)) as server:
        port = server.getsockname()[1]

    def child(rank: int) -> Callable[[], int]:
        def run() -> int:
            os.environ.pop(RUN_FOLDER, None)
            os.environ |= {'RANK': str(rank), 'LOCAL_RANK': str(rank), 'GROUP_RANK': '0'}
            os.environ |= {'WORLD_SIZE': str(RANKS), 'LOCAL_WORLD_SIZE': str(RANKS)}
            os.environ |= {'MASTER_ADDR': 'localhost', 'MASTER_PORT': str(port)}
            os.environ['TORCHELASTIC_RUN_ID'] = 'test'
            return work()

        return run

    processes = [fork(child(rank)) for rank in range(RANKS)]
    # Processes that wait for one another for good are ended, and fail the test.
    watch = Timer(120, lambda: [os.kill(process, signal.SIGKILL) for process in processes])
    watch.start()
    codes = [os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) for process in processes]
    watch.cancel()
    return codes


@pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason='needs gloo')
def test_two_processes(
    world: Path, tmp_path: Path, recipe: Callable[..., None], at: Callable[..., None]
) -> None:
    recipe(accelerator='cpu')
    whole, run = tmp_path / 'whole', tmp_path / 'run'
    flags = ('--max-steps', '5', '--save-every', '2')
    assert together(lambda: start(world, whole, *flags)) == [0, 0]
    at(2, lambda: os.environ['RANK'] == '1' and interrupt(signal.SIGTERM))
    assert together(lambda: start(world, run, *flags)) == [143, 143]
    assert step_of(run / 'last.ckpt') == 3
    at(2, lambda: None)
    assert together(lambda: go_on(run)) == [0, 0]
    assert losses(run) == losses(whole)
