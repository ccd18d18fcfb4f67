"""A run on addresses is the run on the same files; what may be secret stays out of checkpoints."""

from collections.abc import Callable
from pathlib import Path

import pytest

from xscale.cli import main

from ..datasets.server import serving
from .runs import FLAGS, go_on, losses, start


def test_a_run_on_addresses(
    world: Path, tmp_path: Path, recipe: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('NO_PROXY', '*')
    flags = ('--max-steps', '2', '--num-workers', '2')
    assert start(world, tmp_path / 'local', *flags) == 0
    with serving(world, tmp_path / 'log.jsonl') as server:
        names = [path.relative_to(world).as_posix() for path in world.rglob('*.tif')]
        addresses = [f'{server.address}/{name}?key=sesame' for name in names]
        run = tmp_path / 'remote'
        assert main(['pretrain', *addresses, *FLAGS, '--out', str(run), *flags]) == 0
        assert losses(run) == losses(tmp_path / 'local')
        assert b'sesame' not in (run / 'last.ckpt').read_bytes()
        assert go_on(run, '--max-steps', '3') == 0
    assert len(losses(run)) == 3
