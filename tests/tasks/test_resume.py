"""A run that is stopped goes on as if nothing had happened."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import xscale
from xscale.cli import main
from xscale.tasks import Pretraining

from .runs import EPOCH, go_on, interrupt, losses, rows, start, step_of

Set = Callable[..., None]


#: Small tiles, so that the world has many places on either side; epochs of four batches.
VALIDATED = (
    *('--val-share', '0.3', '--gsd', '0.5', '0.9', '--size', '32', '--batch-size', '16'),
    *('--save-every', '2'),
)
STEPS, EPOCHS = ('--max-steps', '13'), ('--epochs', '3')
CASES: dict[str, tuple[tuple[str, ...], dict[str, Any], dict[str, Any]]] = {
    'steps': (STEPS, {}, {}),
    'epochs': (EPOCHS, {}, {}),
    'one worker': ((*STEPS, '--num-workers', '1'), {}, {}),
    'two workers': ((*EPOCHS, '--num-workers', '2'), {}, {}),
    'validated steps': ((*STEPS, *VALIDATED), {}, {}),
    'validated epochs': ((*EPOCHS, *VALIDATED), {}, {}),
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
    assert losses(run, 'val_loss') == losses(tmp_path / 'whole', 'val_loss')
    assert bool(losses(run, 'val_loss')) == ('--val-share' in flags)
    assert losses(run, 'epoch') == losses(tmp_path / 'whole', 'epoch')
    ours, theirs = (xscale.load(path / 'last.ckpt').model for path in (run, tmp_path / 'whole'))
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_run_is_not_written_over(
    world: Path, tmp_path: Path, recipe: Set, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not by ``xscale fit`` with a version it was told, either."""
    run = tmp_path / 'run'
    assert start(world, run, '--max-steps', '2') == 0
    before = {name: (run / name).read_bytes() for name in ('last.ckpt', 'metrics.csv')}
    assert main(['fit', '-c', str(run / 'config.yaml')]) == 2
    assert 'holds a run already; choose another folder' in capsys.readouterr().err
    assert {name: (run / name).read_bytes() for name in before} == before


def test_a_run_may_be_moved_and_trained_on(
    world: Path, tmp_path: Path, recipe: Set, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ended by its number of steps in the middle of an epoch, it goes on with the tiles due."""
    step, tiles = Pretraining.training_step, []

    def training_step(self: Pretraining, batch: Any, *args: Any) -> Any:
        tiles.append(batch['footprint'].clone())
        return step(self, batch, *args)

    monkeypatch.setattr(Pretraining, 'training_step', training_step)
    whole, run, moved = (tmp_path / name for name in ('whole', 'run', 'elsewhere/moved'))
    assert start(world, whole, '--max-steps', '13') == 0
    expected = list(tiles)
    tiles.clear()
    assert start(world, run, '--max-steps', '7', '--save-every', '3') == 0
    moved.parent.mkdir()
    run.rename(moved)
    assert go_on(moved / 'last.ckpt', '--max-steps', '12', '--num-workers', '1') == 0
    assert go_on(moved, '--max-steps', '13', '--save-every', '9') == 0
    assert torch.equal(torch.cat(tiles), torch.cat(expected))
    assert [step for step, _ in losses(moved)] == list(range(13))
    assert not run.exists()
    config = yaml.safe_load((moved / 'config.yaml').read_text())
    assert config['trainer']['max_steps'] == 13
    assert config['trainer']['callbacks'][0]['init_args']['every_n_steps'] == 9
    assert config['data']['init_args']['num_workers'] == 1


def test_a_longer_run_is_validated_and_logged_as_a_fresh_one(
    world: Path, tmp_path: Path, recipe: Set, at: Set
) -> None:
    """One shorter than a --save-every was validated at its end."""
    flags = (*VALIDATED[:-1], '5')
    fresh, run = tmp_path / 'fresh', tmp_path / 'run'

    def trainer(path: Path) -> dict[str, Any]:
        config = yaml.safe_load((path / 'config.yaml').read_text())['trainer']
        return {k: v for k, v in config.items() if k not in ('default_root_dir', 'logger')}

    at(0, interrupt)
    assert start(world, fresh, *flags, '--max-steps', '150') == 130
    assert start(world, run, *flags, '--max-steps', '3') == 0
    assert (trainer(run)['val_check_interval'], trainer(run)['log_every_n_steps']) == (3, 1)
    at(5, interrupt)
    assert go_on(run, '--max-steps', '150') == 130
    assert trainer(run) == trainer(fresh)
    assert (trainer(run)['val_check_interval'], trainer(run)['log_every_n_steps']) == (5, 3)
    assert [step for step, _ in losses(run, 'val_loss')] == [2, 4]
    assert go_on(run, '--max-steps', '7') == 0
    assert go_on(run, '--epochs', '2') == 0
    assert trainer(run)['val_check_interval'] == 5
    assert [step for step, _ in losses(run, 'val_loss')] == [2, 4]


def test_epochs_after_steps(world: Path, tmp_path: Path, recipe: Set) -> None:
    run = tmp_path / 'run'
    assert start(world, run, '--max-steps', '7') == 0
    assert go_on(run, '--epochs', '3') == 0
    assert [row['epoch'] for row in rows(run) if row['epoch']] == [*'000001111122222']


def test_logs_go_on(world: Path, tmp_path: Path, recipe: Set, at: Set) -> None:
    """Rows and points of steps that are trained again are replaced."""
    run = tmp_path / 'run'
    at(6, lambda: (_ for _ in ()).throw(RuntimeError('crash')))
    with pytest.raises(RuntimeError, match='crash'):
        start(world, run, '--max-steps', '9', '--save-every', '4')
    assert [step for step, _ in losses(run)] == list(range(6))
    before = rows(run)[:8]
    assert go_on(run) == 0
    assert [step for step, _ in losses(run)] == list(range(9))
    assert rows(run)[:4] == before[:4]
    events = EventAccumulator(str(run / 'tensorboard')).Reload().Scalars('train_loss')
    assert [event.step for event in events] == list(range(9))
    values = [float(value) for _, value in losses(run)]
    assert [event.value for event in events] == pytest.approx(values, rel=1e-6)


def test_pictures_go_on_with_the_same_tiles(
    world: Path, tmp_path: Path, recipe: Set, at: Set
) -> None:
    shown = ('ReconstructionPictures', 'LossPlot')
    callbacks = [
        {'class_path': f'xscale.tasks.{name}', 'init_args': {'every_n_steps': 500}}
        for name in ('LastCheckpoint', *shown)
    ]
    recipe(callbacks=callbacks)
    run = tmp_path / 'run'
    at(2, interrupt)
    assert start(world, run, '--max-steps', '4', '--save-every', '2') == 130
    tiles = torch.load(run / 'pictures' / 'tiles.pt', weights_only=True)
    (run / 'loss.png').unlink()
    assert go_on(run) == 0
    again = torch.load(run / 'pictures' / 'tiles.pt', weights_only=True)
    assert all(torch.equal(tiles[key], again[key]) for key in tiles)
    assert {path.name for path in (run / 'pictures').glob('*.png')} == {
        *('step_000002.png', 'step_000004.png')
    }
    assert (run / 'loss.png').exists()


def test_what_a_run_started_from_need_not_be_there(
    world: Path, tmp_path: Path, recipe: Set, at: Set
) -> None:
    first, run = tmp_path / 'first', tmp_path / 'run'
    assert start(world, first, '--max-steps', '1') == 0
    at(1, interrupt)
    assert start(world, run, '--max-steps', '3', '--init', str(first / 'last.ckpt')) == 130
    shutil.rmtree(first)
    assert go_on(run) == 0
    config = yaml.safe_load((run / 'config.yaml').read_text())
    assert config['model']['init_args']['weights'] == str(first / 'last.ckpt')


def test_changed_data_is_said(
    world: Path, tmp_path: Path, recipe: Set, at: Set, capsys: pytest.CaptureFixture[str]
) -> None:
    images, run = tmp_path / 'images', tmp_path / 'run'
    shutil.copytree(world, images)
    at(1, interrupt)
    assert start(images, run, '--max-steps', '5') == 130
    at(2, interrupt)
    assert go_on(run) == 130
    assert 'warning' not in capsys.readouterr().err
    next((images / 'aerial').glob('*.tif')).unlink()
    assert go_on(run) == 0
    assert 'warning: the rasters are not those the run was broken off with' in (
        capsys.readouterr().err
    )
    assert [step for step, _ in losses(run)] == list(range(5))


def test_what_cannot_go_on(
    world: Path, tmp_path: Path, recipe: Set, capsys: pytest.CaptureFixture[str]
) -> None:
    images, run = tmp_path / 'images', tmp_path / 'run'
    shutil.copytree(world, images)

    def refused(path: Path, *flags: str) -> str:
        assert go_on(path, *flags) == 2
        return capsys.readouterr().err

    assert f'{run} does not exist' in refused(run)
    assert start(images, run, '--max-steps', '2') == 0
    assert 'has done 2 of 2 steps: nothing is left to do' in refused(run)
    assert 'a larger --max-steps' in refused(run, '--max-steps', '1')
    assert '--max-steps 0: a number above 0' in refused(run, '--max-steps', '0')
    assert '--save-every -1: a number above 0' in refused(run, '--save-every', '-1')
    flags = ('--seed', '0', '--batch-size', '64')
    assert 'leave out --batch-size, --seed (what may' in refused(run, *flags)
    assert 'leave out --out, DIR' in refused(run, str(images), '--out', 'x')
    assert 'a run folder is needed' in refused(run / 'config.yaml')
    config = (run / 'config.yaml').read_text()
    more = ('--max-steps', '3')
    for text, message in (('a: [', 'is no configuration'), ('trainer: 3', 'is no configuration')):
        (run / 'config.yaml').write_text(text)
        assert message in refused(run, *more)
    (run / 'config.yaml').write_text(config.replace(f'default_root_dir: {run}', 'x: 1'))
    assert 'is no configuration of a run' in refused(run, *more)
    (run / 'config.yaml').write_text(config.replace(f'root_dir: {run}', 'root_dir: null'))
    assert f'xscale fit -c {run}/config.yaml --ckpt_path' in refused(run, *more)
    (run / 'config.yaml').unlink()
    assert 'holds no config.yaml' in refused(run, *more)
    (run / 'config.yaml').write_text(config)
    images.rename(tmp_path / 'away')
    assert f'{images}, which the run was trained on, does not exist' in refused(run, *more)
    (tmp_path / 'away').rename(images)
    whole = (run / 'last.ckpt').read_bytes()
    (run / 'last.ckpt').write_bytes(whole[:1000])
    assert 'is no PyTorch checkpoint, or is cut short' in refused(run, *more)
    torch.save({'state_dict': {}}, run / 'last.ckpt')
    assert 'is no checkpoint of xscale pretrain' in refused(run, *more)
    (run / 'last.ckpt').unlink()
    assert 'holds no checkpoint (last.ckpt)' in refused(run, *more)
    (run / 'last.ckpt').write_bytes(whole)
    assert go_on(run, *more) == 0
    assert main(['pretrain']) == 2
    assert 'which images?' in capsys.readouterr().err
