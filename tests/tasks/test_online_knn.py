"""Nearest neighbours while an encoder is pretrained."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.demos.boring_classes import BoringModel
from lightning.pytorch.loggers import CSVLogger
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.data import DataLoader

from xscale.datasets.labelled import open_labelled
from xscale.encoders import find_encoder
from xscale.errors import ConfigError
from xscale.evaluation.evaluate import Evaluation, Settings, score_of
from xscale.evaluation.store import FeatureStore
from xscale.tasks import OnlineKNN, Pretraining, online_knn
from xscale.tasks.callbacks import read_curves
from xscale.tasks.pictures import draw_losses

from ..data.labelled.data import write_tiffs
from .runs import go_on, interrupt, losses, start
from .test_collapse import Losses, Plain, task
from .test_stop_together import together

Set = Callable[..., None]


@pytest.fixture(scope='module')
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of two classes, of which one is redder, mostly."""
    folder = tmp_path_factory.mktemp('photos')
    rng = np.random.default_rng(0)
    for split in ('train', 'test'):
        for number in range(60):
            name = ('green', 'red')[number % 2]
            path = folder / split / name / f'{number}.png'
            path.parent.mkdir(parents=True, exist_ok=True)
            image = rng.normal(110, 20, (40, 40, 3)) + rng.normal(0, 25, 3)
            image[..., 0] += 40 * (number % 2)
            Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(path)
    return folder


def of_bytes() -> Pretraining:
    """Return a task whose sensor has values of 0..255."""
    trained = task()
    sensor = {'name': 'photo', 'bands': ['red', 'green', 'blue'], 'mean': [110.0] * 3}
    trained.contract = {'sensors': [sensor | {'std': [35.0] * 3}]}
    return trained


def fit(folder: Path, trained: Any, *callbacks: Callback, steps: int = 5) -> Trainer:
    trainer = Trainer(
        max_steps=steps,
        callbacks=list(callbacks),
        logger=CSVLogger(folder, '', ''),
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        accelerator='cpu',
        log_every_n_steps=1,
    )
    trainer.fit(trained, DataLoader(Plain(), batch_size=10))
    return trainer


def test_logs_what_evaluation_gives(photos: Path, tmp_path: Path) -> None:
    """At the steps whose turn it is, and at the end."""
    neighbours = OnlineKNN(str(photos), every_n_steps=2)
    trainer = fit(tmp_path, of_bytes(), neighbours)
    assert float(trainer.progress_bar_metrics['val_knn']) == pytest.approx(
        float(losses(tmp_path, 'val_knn')[1][1])
    )
    assert [step for step, _ in losses(tmp_path, 'val_knn')] == [1, 3, 4]
    trainer.save_checkpoint(tmp_path / 'run.ckpt')
    data = open_labelled(photos)
    encoder = find_encoder(str(tmp_path / 'run.ckpt'), bands=data.bands, dtype=data.dtype)
    settings = Settings(protocols=('knn',))
    evaluation = Evaluation(data, settings, FeatureStore(tmp_path / 'features'))
    evaluation.prepare(encoder)
    score = score_of(evaluation.measure(encoder))
    # Neither chance nor perfect, so that it would show if the two saw other features.
    assert 0.6 < score < 1
    assert neighbours.score == pytest.approx(score)
    assert float(losses(tmp_path, 'val_knn')[-1][1]) == pytest.approx(score)


def test_changes_no_loss(photos: Path, tmp_path: Path) -> None:
    """Not even where all draw from generators: crops, masks and stochastic depth."""
    with_, without = Losses(), Losses()
    fit(tmp_path / 'a', task(drop_path=0.3), OnlineKNN(str(photos), 1, most=8), with_)
    before = torch.get_rng_state()
    fit(tmp_path / 'b', task(drop_path=0.3), without)
    assert torch.equal(torch.get_rng_state(), before)
    assert with_.values == without.values
    assert len(set(with_.values)) == 5
    assert [step for step, _ in losses(tmp_path / 'a', 'val_knn')] == list(range(5))


def test_few_of_many(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fit(tmp_path, task(), OnlineKNN(str(photos), most=30, size=32), steps=1)
    told = capsys.readouterr().out
    assert '2 classes, 30 train and 30 test of 32 px' in told
    assert 'bands red, green, blue are taken for 1, 2, 3' in told


def test_other_units_are_said_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_tiffs(tmp_path / 'images', each=3, bands=3)
    fit(tmp_path / 'run', task(), OnlineKNN(str(tmp_path / 'images'), 1), steps=2)
    assert capsys.readouterr().err.count('cannot be in the units of as given') == 1


def test_an_image_that_is_gone_ends_no_run(
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    images = tmp_path / 'images'
    shutil.copytree(photos, images)

    class Gone(Callback):
        def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
            if trainer.global_step == 1:
                (images / 'test' / 'red' / '21.png').unlink()

    monkeypatch.setattr(online_knn, 'ROOM', 0)
    without, with_ = Losses(), Losses()
    fit(tmp_path / 'a', task(), OnlineKNN(str(images), 1), Gone(), with_, steps=3)
    told = capsys.readouterr().err
    assert f'no val_knn at step 2: {images}/test/red/21.png' in told
    assert [step for step, _ in losses(tmp_path / 'a', 'val_knn')] == [0]
    fit(tmp_path / 'b', task(), without, steps=3)
    assert with_.values == without.values


def test_other_models_are_refused(photos: Path, tmp_path: Path) -> None:
    trainer = Trainer(
        max_steps=1, callbacks=[OnlineKNN(str(photos))], accelerator='cpu', logger=False
    )
    with pytest.raises(ConfigError, match='BoringModel trains another model; leave it out'):
        trainer.fit(BoringModel())
    with pytest.raises(ConfigError, match='most 0: a number above 0'):
        OnlineKNN(str(photos), most=0)


def test_the_flag_and_a_run_that_goes_on(
    photos: Path, world: Path, tmp_path: Path, recipe: Set, at: Set, capfd: Any
) -> None:
    data = str(photos.relative_to(Path.cwd(), walk_up=True))
    flags = ('--max-steps', '7', '--save-every', '4', '--knn', data, '--knn-every', '2')
    whole, run = tmp_path / 'whole', tmp_path / 'run'
    assert start(world, whole, *flags) == 0
    found = losses(whole, 'val_knn')
    assert [step for step, _ in found] == [1, 3, 5, 6]
    assert f'val_knn:    {float(found[-1][1]):.3f} on {data}' in capfd.readouterr().out
    events = EventAccumulator(str(whole / 'tensorboard')).Reload().Scalars('val_knn')
    assert [event.step for event in events] == [1, 3, 5, 6]
    at(2, interrupt)
    assert start(world, run, *flags) == 130
    assert go_on(run, '--save-every', '3') == 0
    assert losses(run, 'val_knn') == found
    assert losses(run) == losses(whole)
    callbacks = yaml.safe_load((run / 'config.yaml').read_text())['trainer']['callbacks']
    settings = {one['class_path']: one['init_args'] for one in callbacks}
    assert settings['xscale.tasks.OnlineKNN']['every_n_steps'] == 2
    assert settings['xscale.tasks.OnlineKNN']['data'] == data
    assert settings['xscale.tasks.LastCheckpoint']['every_n_steps'] == 3
    curves = read_curves(run / 'metrics.csv')
    assert curves['val_knn'] == [(step, float(value)) for step, value in found]
    draw_losses(curves, tmp_path / 'loss.png')
    draw_losses({'loss': curves['loss']}, tmp_path / 'one.png')
    assert Image.open(tmp_path / 'loss.png').width > Image.open(tmp_path / 'one.png').width


def test_as_often_as_it_is_saved(photos: Path, world: Path, tmp_path: Path, recipe: Set) -> None:
    run = tmp_path / 'run'
    flags = ('--max-steps', '3', '--save-every', '2', '--knn', str(photos))
    assert start(world, run, *flags) == 0
    assert go_on(run, '--save-every', '5', '--max-steps', '6') == 0
    assert [step for step, _ in losses(run, 'val_knn')] == [1, 2, 4, 5]


def test_bad_data_fails_before_the_first_step(
    photos: Path, world: Path, tmp_path: Path, recipe: Set, capsys: pytest.CaptureFixture[str]
) -> None:
    single, broken = tmp_path / 'single', tmp_path / 'broken'
    for folder in (single, broken):
        shutil.copytree(photos, folder)
    for split in ('train', 'test'):
        shutil.rmtree(single / split / 'red')
    for path in broken.glob('test/*/*.png'):
        path.write_bytes(path.read_bytes()[:60])
    cases = {
        tmp_path / 'nowhere': 'nowhere does not exist',
        'EuroSATT': 'did you mean EuroSAT',
        photos / 'train': ' meant, of which it is one?)',
        single: 'images of train are all of one class (green)',
        broken: 'no image in test',
    }
    for number, (data, message) in enumerate(cases.items()):
        run = tmp_path / str(number)
        assert start(world, run, '--max-steps', '2', '--knn', str(data)) == 2
        told = capsys.readouterr().err
        assert told.startswith('xscale: error: val_knn: ')
        assert message in told
        assert not (run / 'metrics.csv').exists()
    assert start(world, tmp_path / 'run', '--knn-every', '3') == 2
    assert 'it goes with --knn DATA' in capsys.readouterr().err
    assert start(world, tmp_path / 'run', '--knn', str(photos), '--knn-every', '0') == 2
    assert '--knn-every 0: a number above 0' in capsys.readouterr().err


@pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason='needs gloo')
def test_two_processes(photos: Path, world: Path, tmp_path: Path, recipe: Set) -> None:
    """The first measures, the other waits; both end where the data are bad."""
    recipe(devices=2, strategy='ddp', accelerator='cpu')
    run, other = tmp_path / 'run', tmp_path / 'other'
    flags = ('--max-steps', '3', '--knn-every', '2', '--knn')
    assert together(lambda: start(world, run, *flags, str(photos))) == [0, 0]
    assert [step for step, _ in losses(run, 'val_knn')] == [1, 2]
    assert together(lambda: start(world, other, *flags, str(photos / 'train'))) == [2, 2]
    assert not (other / 'metrics.csv').exists()
