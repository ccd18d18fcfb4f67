"""Checkpoints are whole or not there, the best is kept, and a full disk ends nothing too early."""

import math
import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader, Dataset
from torchgeo.tasks import Classification

import xscale
from xscale.tasks import LastCheckpoint, Pretraining
from xscale.tasks.storage import WholeFiles, place, whole

from ..tiny import DECODER
from .runs import forked, go_on, interrupt, losses, start, step_of

Set = Callable[..., None]


def best_of(checkpoint: Path) -> dict[str, Any]:
    return torch.load(checkpoint, weights_only=True)['callbacks']['LastCheckpoint']['best']


def means(run: Path, every: int) -> dict[int, float]:
    """Return the mean training loss of each so many steps, by the step it ends with."""
    values = [float(value) for _, value in losses(run)]
    parts = [(i, values[i : i + every]) for i in range(0, len(values), every)]
    return {i + len(part): sum(part) / len(part) for i, part in parts}


def test_the_best_has_the_lowest_mean_loss(
    world: Path,
    tmp_path: Path,
    recipe: Set,
    at: Set,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The same one whether the run was stopped in between or not, and one only."""
    total, offsets = Pretraining.total, (9, 6, 0, 3, 5, 7)
    monkeypatch.setattr(
        Pretraining,
        'total',
        lambda self, terms: total(self, terms) + offsets[self.trainer.global_step // 3],
    )
    flags = ('--max-steps', '16', '--save-every', '3')
    whole, run = tmp_path / 'whole', tmp_path / 'run'
    assert start(world, whole, *flags) == 0
    expected = means(whole, 3)
    step = min(expected, key=lambda step: expected[step])
    assert step == 9
    best = best_of(whole / 'last.ckpt')
    assert best['loss'] == 'train_loss'
    assert best['step'] == step == step_of(whole / 'best.ckpt')
    assert best['value'] == pytest.approx(expected[step], rel=1e-5)
    text = f'best:       {whole}/best.ckpt (train_loss {best["value"]:.4g} at step {step})'
    assert text in capsys.readouterr().out
    for number, stop in enumerate((1, step - 2, step - 1, 14)):
        at(stop, interrupt)
        assert (go_on(run) if number else start(world, run, *flags)) == 130
    assert go_on(run) == 0
    assert best_of(run / 'last.ckpt') == best
    assert step_of(run / 'best.ckpt') == step
    assert {path.name for path in run.rglob('*.ckpt')} == {'last.ckpt', 'best.ckpt'}
    assert xscale.load(run / 'best.ckpt')
    assert Classification(model='test_vit', weights=str(run / 'best.ckpt'), num_classes=3)


def test_a_best_that_is_missing_is_made_again(
    world: Path, tmp_path: Path, recipe: Set, at: Set, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a process is killed between ``last.ckpt`` and ``best.ckpt``."""
    run = tmp_path / 'run'
    assert start(world, run, '--max-steps', '4') == 0
    value = best_of(run / 'last.ckpt')['value']
    (run / 'best.ckpt').unlink()
    at(4, interrupt)
    assert go_on(run, '--max-steps', '9') == 130
    assert step_of(run / 'best.ckpt') == 4
    assert best_of(run / 'last.ckpt')['value'] == value
    # One that went for good is not what others are compared with.
    (run / 'best.ckpt').unlink()
    total = Pretraining.total
    monkeypatch.setattr(Pretraining, 'total', lambda self, terms: total(self, terms) + 50)
    assert go_on(run, '--max-steps', '6') == 0
    assert step_of(run / 'best.ckpt') == best_of(run / 'last.ckpt')['step'] == 6


class Plain(Dataset[dict[str, torch.Tensor]]):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        generator = torch.Generator().manual_seed(index)
        return {'image': torch.rand(3, 64, 64, generator=generator)}


class Validated(Pretraining):
    """A task whose validation losses are known."""

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        loss = {2: 3.0, 4: 1.0, 6: 2.0, 8: math.nan}[self.trainer.global_step]
        self.log('val_loss', loss, batch_size=2)


def test_the_best_has_the_lowest_validation_loss(tmp_path: Path) -> None:
    saving = LastCheckpoint(every_n_steps=3)
    trainer = Trainer(
        max_epochs=4,
        default_root_dir=tmp_path,
        logger=False,
        callbacks=[saving],
        enable_checkpointing=False,
        enable_progress_bar=False,
        num_sanity_val_steps=0,
        accelerator='cpu',
    )
    task = Validated(model='test_vit', objective='MAE', options=DECODER, size=32, gsd=1.0)
    data = DataLoader(Plain(), batch_size=2)
    trainer.fit(task, data, data)
    assert best_of(tmp_path / 'last.ckpt') == {
        'loss': 'val_loss',
        'value': 1.0,
        'step': 4,
        'total': 0.0,
        'count': 0,
    }
    assert step_of(tmp_path / 'best.ckpt') == 4
    assert step_of(tmp_path / 'last.ckpt') == 8


def limit(size: int) -> None:
    """Let no file grow beyond a size, in bytes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


@pytest.fixture
def disk() -> Any:
    """A disk that can be full for anything as large as a checkpoint."""
    yield limit
    limit(resource.RLIM_INFINITY)


def test_a_full_disk_keeps_the_previous_checkpoint(
    world: Path,
    tmp_path: Path,
    recipe: Set,
    at: Set,
    disk: Callable[[int], None],
    capfd: pytest.CaptureFixture[str],
) -> None:
    whole, run = tmp_path / 'whole', tmp_path / 'run'
    assert start(world, whole, '--max-steps', '9', '--save-every', '2') == 0
    files: list[str] = []
    at(3, lambda: disk(1_000_000))
    at(5, lambda: (files.extend(os.listdir(run)), disk(resource.RLIM_INFINITY)))
    assert start(world, run, '--max-steps', '9', '--save-every', '2') == 0
    assert losses(run) == losses(whole)
    err = capfd.readouterr().err
    for step in (4, 6):
        assert (f'{run}/last.ckpt of step {step} not written: File too large (' in err) == (
            step == 4
        )
    assert f'GB free in {run}); {run}/last.ckpt of step 2 is kept' in err
    assert 'last.ckpt' in files
    assert not [name for name in files if name.endswith('.part')]
    assert step_of(run / 'last.ckpt') == 9
    # The losses since step 2 count for the next checkpoint.
    values = [float(value) for _, value in losses(run)]
    windows = [values[a:b] for a, b in ((0, 2), (2, 6), (6, 8), (8, 9))]
    best = best_of(run / 'last.ckpt')
    assert best['value'] == pytest.approx(min(sum(w) / len(w) for w in windows), rel=1e-5)
    assert step_of(run / 'best.ckpt') == best['step']


@pytest.mark.parametrize('stopped', [False, True])
def test_a_run_whose_last_checkpoint_is_not_written_fails(
    stopped: bool,
    world: Path,
    tmp_path: Path,
    recipe: Set,
    at: Set,
    disk: Callable[[int], None],
    capfd: pytest.CaptureFixture[str],
) -> None:
    run = tmp_path / 'run'
    at(3, lambda: (disk(1_000_000), stopped and interrupt()))
    assert start(world, run, '--max-steps', '5', '--save-every', '2') == 2
    err = capfd.readouterr().err
    assert f'error: {run}/last.ckpt of step {4 if stopped else 5} not written: File too' in err
    assert f'the newest whole one is {run}/last.ckpt of step 2; make room and go on with: ' in err
    assert step_of(run / 'last.ckpt') == 2
    disk(resource.RLIM_INFINITY)
    assert go_on(run) == 0
    assert [step for step, _ in losses(run)] == list(range(5))


def test_a_run_without_any_checkpoint_says_so(
    world: Path, tmp_path: Path, recipe: Set, disk: Callable[[int], None], capfd: Any
) -> None:
    disk(1_000_000)
    assert start(world, tmp_path / 'run', '--max-steps', '2') == 2
    assert 'and there is no earlier one; make room and start again' in capfd.readouterr().err


def test_a_process_killed_while_it_writes(world: Path, tmp_path: Path, recipe: Set) -> None:
    run = tmp_path / 'run'
    synced = os.fsync

    def killed(handle: int) -> None:
        path = os.readlink(f'/proc/self/fd/{handle}')
        if path.endswith('last.ckpt.part') and (run / 'last.ckpt').exists():
            os.kill(os.getpid(), signal.SIGKILL)
        synced(handle)

    def child() -> int:
        os.fsync = killed
        return start(world, run, '--max-steps', '7', '--save-every', '2')

    assert forked(child) == -signal.SIGKILL
    assert (run / 'last.ckpt.part').exists()
    assert step_of(run / 'last.ckpt') == 2
    assert go_on(run) == 0
    assert not list(run.glob('*.part'))
    assert [step for step, _ in losses(run)] == list(range(7))


def test_whole_files(tmp_path: Path) -> None:
    path, part = tmp_path / 'a', tmp_path / 'a.part'
    path.write_bytes(b'old')
    # What a process left that was killed between two names of one file.
    os.link(path, part)
    with pytest.raises(TypeError), whole(path) as file:
        file.write('new')
    assert path.read_bytes() == b'old'
    assert os.listdir(tmp_path) == ['a']
    with whole(path) as file:
        file.write(b'new')
        assert path.read_bytes() == b'old'
    assert path.read_bytes() == b'new'
    assert os.listdir(tmp_path) == ['a']


def test_what_hinders_writing_is_named(tmp_path: Path, disk: Callable[[int], None]) -> None:
    """PyTorch's writer hides the system's error behind one of its own."""
    path = tmp_path / 'last.ckpt'
    disk(1_000_000)
    with pytest.raises(OSError, match='File too large'):
        WholeFiles().save_checkpoint({'weights': torch.zeros(1000, 1000)}, path)
    assert not os.listdir(tmp_path)

    class Broken:
        def __reduce__(self) -> Any:
            raise RuntimeError('cannot be saved')

    with pytest.raises(RuntimeError, match='cannot be saved'):
        WholeFiles().save_checkpoint({'weights': Broken()}, path)
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize('links', [True, False])
def test_a_second_name(links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(*args: Any) -> None:
        raise OSError('no links here')

    if not links:
        monkeypatch.setattr(os, 'link', unsupported)
    last, best = tmp_path / 'last', tmp_path / 'best'
    for content in (b'one', b'two'):
        with whole(last) as file:
            file.write(content)
        place(last, best)
        place(last, best)
        assert best.read_bytes() == content
        assert best.samefile(last) == links
    with whole(last) as file:
        file.write(b'three')
    assert best.read_bytes() == b'two'
    assert sorted(os.listdir(tmp_path)) == ['best', 'last']
