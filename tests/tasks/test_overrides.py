"""What ``xscale fit`` is told beside a recipe: to clip, to do without a bar, to end by time."""

import csv
from pathlib import Path

import pytest
import torch

from xscale.cli import main

from ..tiny import DECODER

pytestmark = pytest.mark.filterwarnings('ignore:.*overfit')


def fit(world: Path, *flags: object) -> int:
    """Train by a recipe as it is, with a small model, in the folder the process is in."""
    command: list[object] = ['fit', '-c', 'tasks/pretrain/mae.yaml', '-c', 'datasets/folder.yaml']
    command += ['--data.paths', world, '--data.batch_size', 2, '--data.num_workers', 0]
    command += ['--data.tile_size', 64, '--model.model', 'test_vit', '--model.size', 32]
    for name, value in DECODER.items():
        command += [f'--model.options.{name}', value]
    command += ['--trainer.accelerator', 'cpu', '--trainer.max_epochs', -1]
    return main([str(arg) for arg in (*command, *flags)])


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


STEPS = ('--trainer.max_steps', 1)


@pytest.mark.parametrize('precision', ['32-true', 'bf16-mixed'])
def test_gradients_are_clipped(world: Path, precision: str) -> None:
    """Under mixed precision too, where Lightning refuses a fused optimizer."""
    clipped = ('--trainer.gradient_clip_val', 1e-3, '--trainer.precision', precision)
    assert fit(world, *STEPS, *clipped) == 0


def test_no_bar_and_no_logger(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    without = ('--trainer.logger', 'false', '--trainer.enable_progress_bar', 'false')
    assert fit(world, *STEPS, *without) == 0
    assert 'step/s' not in capsys.readouterr().err
    assert (tmp_path / 'last.ckpt').exists()
    assert not (tmp_path / 'runs').exists()


def test_a_run_of_one_step_for_development_leaves_nothing(world: Path, tmp_path: Path) -> None:
    for _ in range(2):
        assert fit(world, *STEPS, '--trainer.fast_dev_run', 'true') == 0
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ('flags', 'said'),
    [
        ((*STEPS, '--trainer.overfit_batches', 1), 'overfit_batches would replace the sampler'),
        (('--trainer.max_time', '00:00:00:01'), 'set trainer.max_steps or trainer.max_epochs'),
    ],
)
def test_what_is_refused(
    world: Path, flags: tuple[object, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit(world, *flags) == 2
    assert said in capsys.readouterr().err


def test_the_best_loss_is_that_of_a_batch(world: Path, tmp_path: Path) -> None:
    """However many batches a step has, of which Lightning divides the loss by their number."""
    flags = ('--trainer.accumulate_grad_batches', 3, '--trainer.log_every_n_steps', 1)
    assert fit(world, *STEPS, *flags, '--trainer.enable_progress_bar', 'false') == 0
    (last,) = tmp_path.rglob('last.ckpt')
    best = torch.load(last, weights_only=True)['callbacks']['LastCheckpoint']['best']
    with last.with_name('metrics.csv').open(newline='') as file:
        (logged,) = (row['train_loss'] for row in csv.DictReader(file) if row['train_loss'])
    assert best['value'] == pytest.approx(float(logged), rel=0.2)


def test_weights_that_are_no_numbers(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The step after says so, and not the check of their features."""
    assert fit(world, '--trainer.max_steps', 4, '--model.lr', 1e38) == 2
    assert 'is nan' in capsys.readouterr().err
