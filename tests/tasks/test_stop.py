"""What happens at Ctrl-C, at SIGTERM and at a crash."""

import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from xscale.cli import main

from .runs import go_on, interrupt, losses, start, step_of

Set = Callable[..., None]


def test_sigterm_ends_after_the_step(
    world: Path, tmp_path: Path, recipe: Set, at: Set, capfd: Any
) -> None:
    at(3, lambda: interrupt(signal.SIGTERM))
    run = tmp_path / 'run'
    assert start(world, run, '--max-steps', '9') == 143
    assert step_of(run / 'last.ckpt') == 4
    out, err = capfd.readouterr()
    assert f'stopped at step 4; checkpoint: {run}/last.ckpt; go on with: ' in out
    assert 'stopping after this step' in err


def test_a_second_ctrl_c_stops_at_once(
    world: Path, tmp_path: Path, recipe: Set, at: Set, capfd: Any
) -> None:
    run = tmp_path / 'run'

    def twice() -> None:
        interrupt()
        interrupt()
        raise AssertionError('the step went on')

    at(5, twice)
    assert start(world, run, '--max-steps', '9', '--save-every', '2') == 130
    assert step_of(run / 'last.ckpt') == 4
    out, err = capfd.readouterr()
    assert f'broken off in step 5; checkpoint: {run}/last.ckpt of step 4; go on with: ' in out
    assert 'xscale: stopped' in err
    assert go_on(run) == 0
    assert [step for step, _ in losses(run)] == list(range(9))


def test_ctrl_c_before_training(
    world: Path, tmp_path: Path, recipe: Set, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wait(*args: object, **kwargs: object) -> None:
        interrupt()
        # It may reach another thread first.
        time.sleep(60)

    monkeypatch.setattr('xscale.datamodules.cross_scale.Rasters', wait)
    assert start(world, tmp_path / 'run', '--max-steps', '9') == 130
    assert not (tmp_path / 'run' / 'last.ckpt').exists()


def test_a_crash_says_what_is_kept(
    world: Path, tmp_path: Path, recipe: Set, at: Set, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / 'run'

    def crash() -> None:
        raise RuntimeError('out of memory')

    at(5, crash)
    with pytest.raises(RuntimeError, match='out of memory'):
        start(world, run, '--max-steps', '9', '--save-every', '2')
    assert f'checkpoint: {run}/last.ckpt of step 4; go on with: ' in capsys.readouterr().out
    assert step_of(run / 'last.ckpt') == 4


def test_fit_goes_on_too(
    world: Path, tmp_path: Path, recipe: Set, at: Set, capsys: pytest.CaptureFixture[str]
) -> None:
    """By ``--ckpt_path``, into a folder of its own, as Lightning numbers them."""
    command = ['fit', '-c', str(tmp_path / 'recipe.yaml'), '-c', 'datasets/folder.yaml']
    command += ['--data.paths', str(world), '--data.batch_size', '4', '--data.num_workers', '0']
    command += ['--data.tile_size', '128', '--trainer.max_steps', '8']
    command += ['--trainer.logger', 'xscale.tasks.TableLogger', '--trainer.logger.save_dir']
    logs = [tmp_path / name / 'lightning_logs' for name in ('whole', 'run')]
    assert main([*command, str(logs[0].parent)]) == 0
    at(2, interrupt)
    command.append(str(logs[1].parent))
    assert main(command) == 130
    last = logs[1] / 'version_0' / 'last.ckpt'
    assert f'go on with: the same command and --ckpt_path {last}' in capsys.readouterr().out
    assert main([*command, '--ckpt_path', str(last)]) == 0
    parts = [losses(logs[1] / f'version_{number}') for number in range(2)]
    assert [len(part) for part in parts] == [3, 5]
    assert parts[0] + parts[1] == losses(logs[0] / 'version_0')


def test_another_thread_leaves_signals_alone(world: Path, tmp_path: Path, recipe: Set) -> None:
    """Python lets no thread but the main one handle signals."""
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(start, world, tmp_path / 'run', '--max-steps', '2').result() == 0
    assert step_of(tmp_path / 'run' / 'last.ckpt') == 2
