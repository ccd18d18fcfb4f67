"""What goes wrong in a run is said by name, and survived where it can be."""

import csv
import os
import re
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.plugins import MixedPrecision
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

import xscale
from xscale.cli import main
from xscale.datasets import Rasters
from xscale.datasets.readers import RasterReader
from xscale.errors import NonFiniteError
from xscale.objectives import MAE, CrossScaleMAE
from xscale.samplers import CrossScaleSampler
from xscale.tasks import LastCheckpoint, Pretraining, Throughput, checkpoints, progress
from xscale.tasks.callbacks import due
from xscale.types import Sample

TINY = 'test_vit'
SMALL = {'decoder_dim': 32, 'decoder_depth': 1, 'decoder_heads': 4}
BANDS = ['red', 'green', 'blue']


#: Changes the terms of a batch, given its number.
type Change = Callable[[int, dict[str, Tensor]], None]


@pytest.fixture
def images(stack: Path, tmp_path: Path) -> Path:
    """A copy of some rasters, to be deleted."""
    for name in ('sentinel2', 'naip', 'landsat', 'mercator'):
        shutil.copytree(stack / name, tmp_path / 'images' / name)
    return tmp_path / 'images'


def run(images: Path, out: Path, *flags: str) -> int:
    """Train by the recipe, with a small model."""
    command = ['fit', '-c', 'tasks/pretrain/cross_scale_mae.yaml', '-c', 'datasets/folder.yaml']
    command += ['--data.paths', str(images), '--data.bands', str(BANDS), '--data.batch_size', '4']
    command += ['--data.tile_size', '64', '--data.num_workers', '0']
    command += ['--model.model', TINY, '--model.size', '32']
    for name, value in {**SMALL, 'predictor_hidden': 16}.items():
        command += [f'--model.options.{name}', str(value)]
    loggers = f"[{{class_path: CSVLogger, init_args: {{save_dir: {out}, name: '', version: ''}}}}]"
    command += ['--trainer.logger', loggers, '--trainer.log_every_n_steps', '1']
    return main([*command, *flags])


@pytest.fixture
def nothing_is_held_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is open can be read even when it is deleted."""

    def fresh(self: Rasters, number: int) -> RasterReader:
        return RasterReader(self.rows[number])

    monkeypatch.setattr(Rasters, '_open', fresh)


def column(out: Path, name: str) -> list[float]:
    with (out / 'metrics.csv').open() as lines:
        return [float(row[name]) for row in csv.DictReader(lines) if row[name]]


def files_of(images: Path, *batches: int) -> set[str]:
    """Return what the first epoch's batches are read from."""
    dataset = Rasters(images, BANDS)
    sampler = CrossScaleSampler(dataset, size=64, batch_size=4)
    return {dataset.rows[s.tile.row]['filepath'] for b in batches for s in sampler.batch(0, b)}


def change_terms(monkeypatch: pytest.MonkeyPatch, change: Change) -> None:
    forward, calls = CrossScaleMAE.forward, []

    def changed(self: CrossScaleMAE, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        terms = forward(self, *args, **kwargs)
        change(len(calls), terms)
        calls.append(1)
        return terms

    monkeypatch.setattr(CrossScaleMAE, 'forward', changed)


def at_each_step(monkeypatch: pytest.MonkeyPatch, action: Callable[[int], None]) -> None:
    change_terms(monkeypatch, lambda number, terms: action(number))


def spoil_value(number: int, terms: dict[str, Tensor]) -> None:
    if number == 2:
        terms['consistency'] = terms['consistency'] * float('nan')


def spoil_gradient(number: int, terms: dict[str, Tensor]) -> None:
    if number == 2:
        # The root of 0 is 0, and its slope endless.
        terms['consistency'] = terms['consistency'] + (terms['consistency'] * 0).sqrt()


@pytest.mark.parametrize(
    ('spoil', 'found'),
    [
        (spoil_value, 'step 2: consistency is nan; grad_norm is nan\n'),
        (spoil_gradient, 'step 2: grad_norm is nan\n'),
    ],
)
def test_a_loss_that_is_not_finite_stops_the_run(
    images: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    spoil: Change,
    found: str,
) -> None:
    change_terms(monkeypatch, spoil)
    out = tmp_path / 'run'
    # A checkpoint after each step.
    monkeypatch.setattr(checkpoints, 'due', lambda trainer, _: due(trainer, 1))
    assert run(images, out, '--trainer.max_steps', '5') == 2
    said = capsys.readouterr().err
    assert found in said
    assert set(re.findall(r'^  (/.*)$', said, re.M)) == files_of(images, 2)
    assert f'the last checkpoint is kept: {out / "last.ckpt"}\n' in said
    assert 'lower the learning rate (--lr, or --model.lr of xscale fit), or look at these' in said
    state = torch.load(out / 'last.ckpt', weights_only=True)
    assert state['global_step'] == 2
    assert all(tensor.isfinite().all() for tensor in state['state_dict'].values())
    assert xscale.load(out / 'last.ckpt')
    assert all(map(torch.isfinite, map(torch.tensor, column(out, 'train_loss'))))


def test_of_several_batches_in_a_step_the_bad_one_is_named(
    images: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    change_terms(monkeypatch, spoil_value)
    flags = ('--trainer.accumulate_grad_batches', '2', '--trainer.max_steps', '4')
    assert run(images, tmp_path / 'run', *flags) == 2
    said = capsys.readouterr().err
    assert 'step 1: consistency is nan' in said
    assert set(re.findall(r'^  (/.*)$', said, re.M)) == files_of(images, 2)
    assert files_of(images, 2) != files_of(images, 2, 3)
    assert 'no checkpoint yet' in said


class Plain(Dataset[Sample]):
    """Images of another data module, read slowly or at once."""

    def __init__(self, pause: float = 0.0) -> None:
        self.pause = pause

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> Sample:
        time.sleep(self.pause)
        return {'image': torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(index))}


def train(folder: Path, *callbacks: Callback, data: Dataset[Sample] | None = None, **options: Any):
    torch.manual_seed(0)
    task = Pretraining(model=TINY, objective='MAE', options=SMALL, size=32, gsd=10.0)
    trainer = Trainer(
        max_steps=4,
        default_root_dir=folder,
        enable_checkpointing=False,
        enable_progress_bar=False,
        accelerator='cpu',
        **{'logger': False, 'log_every_n_steps': 1} | options,
        callbacks=list(callbacks),
    )
    trainer.fit(task, DataLoader(data or Plain(), batch_size=2))
    return trainer


class Poison(Callback):
    """Makes a weight endless after the second step."""

    def on_train_batch_end(self, trainer: Trainer, pl_module: Pretraining, *args: Any) -> None:
        if trainer.global_step == 2:
            with torch.no_grad():
                pl_module.model.norm.weight[3] = float('inf')


def test_no_checkpoint_holds_weights_that_are_not_finite(tmp_path: Path) -> None:
    with pytest.raises(NonFiniteError, match=r'step 2: model\.norm\.weight is not finite') as e:
        train(tmp_path, Poison(), LastCheckpoint(1))
    assert f'kept: {tmp_path / "last.ckpt"}' in str(e.value)
    state = torch.load(tmp_path / 'last.ckpt', weights_only=True)
    assert state['global_step'] == 1
    assert all(tensor.isfinite().all() for tensor in state['state_dict'].values())


class Norms(Callback):
    """Computes the norm of the gradient by hand."""

    def __init__(self) -> None:
        self.expected: list[float] = []
        self.logged: list[float] = []

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: Pretraining, _: Any) -> None:
        parts = [p.grad.flatten() for p in pl_module.parameters() if p.grad is not None]
        self.expected.append(float(torch.cat(parts).double().norm()))

    def on_train_batch_end(self, trainer: Trainer, *args: Any) -> None:
        self.logged.append(float(trainer.callback_metrics['grad_norm']))


def test_grad_norm_is_logged(tmp_path: Path) -> None:
    norms = Norms()
    train(tmp_path, norms)
    assert len(norms.expected) == 4
    assert norms.logged == pytest.approx(norms.expected, rel=1e-4)
    assert min(norms.logged) > 0


def test_the_scaler_of_half_precision_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first gradients overflow by design; it skips the step and scales less."""
    scaler = torch.amp.GradScaler('cpu', init_scale=2.0**120)
    train(tmp_path, plugins=[MixedPrecision('16-mixed', 'cpu', scaler)])
    assert scaler.get_scale() < 2.0**120
    forward = MAE.forward

    def spoiled(self: MAE, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        return {name: term * float('inf') for name, term in forward(self, *args, **kwargs).items()}

    monkeypatch.setattr(MAE, 'forward', spoiled)
    scaler = torch.amp.GradScaler('cpu')
    with pytest.raises(NonFiniteError, match='step 0: reconstruction is inf\nno checkpoint yet'):
        train(tmp_path, plugins=[MixedPrecision('16-mixed', 'cpu', scaler)])


@pytest.mark.usefixtures('nothing_is_held_open')
@pytest.mark.parametrize('workers', ['0', '2'])
def test_a_raster_deleted_in_training_is_survived(
    images: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    workers: str,
) -> None:
    victim = min(files_of(images, 9))
    at_each_step(monkeypatch, lambda number: number == 1 and Path(victim).unlink())
    out = tmp_path / 'run'
    flags = ('--trainer.max_steps', '12', '--data.num_workers', workers)
    assert run(images, out, *flags) == 0
    said = capfd.readouterr()
    told = said.err.count(f'xscale: cannot read {victim} (')
    assert 1 <= told <= max(1, int(workers))
    assert f'rasters that could not be read: 1 of 4\n  {victim}\n' in said.out
    losses = column(out, 'train_loss')
    assert len(losses) == 12
    assert all(map(torch.isfinite, map(torch.tensor, losses)))


@pytest.mark.usefixtures('nothing_is_held_open')
def test_batches_without_any_data_are_survived(
    images: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    lost = len(files_of(images, 2, 3, 4))
    at_each_step(monkeypatch, lambda number: number == 1 and shutil.rmtree(images))
    out = tmp_path / 'run'
    assert run(images, out, '--trainer.max_steps', '5') == 0
    said = capfd.readouterr()
    assert said.err.count('xscale: cannot read') == lost > 1
    assert f'rasters that could not be read: {lost} of 4' in said.out
    losses = column(out, 'train_loss')
    assert min(losses[:2]) > 0
    assert losses[2:] == [0, 0, 0]


@pytest.mark.usefixtures('nothing_is_held_open')
def test_too_many_unreadable_rasters_stop_the_run(
    images: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    at_each_step(monkeypatch, lambda number: number == 1 and shutil.rmtree(images))
    flags = ('--data.max_unreadable', '0', '--trainer.max_steps', '9')
    victims = sorted(files_of(images, 2))
    assert run(images, tmp_path / 'run', *flags) == 2
    said = capfd.readouterr().err
    head = f'not be read: {len(victims)}, allowed (max_unreadable): 0'
    _, found, names = said.partition(head)
    assert found
    assert sorted(re.findall(r'^  (/.*)$', names, re.M)) == victims


def test_a_killed_worker_changes_no_loss(
    images: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    flags = ('--trainer.max_steps', '6', '--data.num_workers', '2')
    assert run(images, tmp_path / 'quiet', *flags) == 0
    assert 'died' not in capfd.readouterr().err

    def kill(number: int) -> None:
        if number == 2:
            # In the middle of a step.
            children = Path(f'/proc/{os.getpid()}/task/{os.getpid()}/children').read_text()
            os.kill(int(children.split()[-1]), signal.SIGKILL)
            time.sleep(0.2)

    at_each_step(monkeypatch, kill)
    assert run(images, tmp_path / 'killed', *flags) == 0
    assert 'died (killed by SIGKILL' in capfd.readouterr().err
    assert column(tmp_path / 'killed', 'train_loss') == column(tmp_path / 'quiet', 'train_loss')


class Sleeper(Callback):
    """Takes its time at the end of each batch, as a checkpoint does."""

    def on_train_batch_end(self, *args: Any) -> None:
        time.sleep(1.0)


@pytest.mark.parametrize('slow', ['data', 'callback'])
def test_data_wait_is_time_spent_waiting(tmp_path: Path, slow: str) -> None:
    """What callbacks do is no waiting."""
    callbacks = [Throughput()] if slow == 'data' else [Throughput(), Sleeper()]
    trainer = train(tmp_path, *callbacks, data=Plain(0.5 if slow == 'data' else 0))
    metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
    # Of the last batch of two images.
    seconds = metrics['data_wait'] * 2 / metrics['samples_per_s']
    assert seconds >= 1.0 if slow == 'data' else seconds < 1.0
    assert 0 <= metrics['data_wait'] <= 1


def test_data_wait_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    now, logged = 0.0, {}
    monkeypatch.setattr(progress.time, 'perf_counter', lambda: now)
    trainer = SimpleNamespace(world_size=3, global_step=0, log_every_n_steps=2)
    module = SimpleNamespace(
        idle_since=0.0, log=lambda name, value, **_: logged.update({name: value})
    )
    throughput, batch = Throughput(), {'image': torch.zeros(5, 1)}
    for wait, step, rest in ((9, 9, 9), (3, 4, 1), (1, 10, 2), (2, 1, 1), (0, 5, 1)):
        now += wait
        throughput.on_train_batch_start(trainer, module, batch, 0)
        now += step
        trainer.global_step += 1
        throughput.on_train_batch_end(trainer, module, None, batch, 0)
        now += rest
        module.idle_since = now
    # Of the third and the fourth batch, from the end of the second on.
    assert logged == {'data_wait': (1 + 2) / 17, 'samples_per_s': 2 * 5 * 3 / 17}
