"""fMoW through the command line: pretraining, and TorchGeo's own classification."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torchgeo.main import main as torchgeo_main

import xscale
from xscale.cli import main
from xscale.tasks import Pretraining
from xscale.types import Sample, View

from ..data.fmow.data import PLACES
from ..tiny import DECODER
from .runs import interrupt, step_of

CONF = Path(__file__).parent.parent / 'conf'

#: Numbers of the categories there are.
CLASS = {'airport': 0, 'fountain': 19, 'zoo': 61}


def run(out: Path, data: Path, *flags: object, recipe: str = 'mae') -> int:
    args: list[object] = ['fit', '-c', f'tasks/pretrain/{recipe}.yaml', '-c', 'datasets/fmow.yaml']
    args += ['--data.paths', data, '--data.batch_size', 4, '--data.num_workers', 0]
    args += ['--data.tile_size', 32, '--data.seed', 3, '--model.size', 32]
    args += ['--model.model', 'test_vit', '--trainer.log_every_n_steps', 1]
    for name, value in DECODER.items():
        args += [f'--model.options.{name}', value]
    args += ['--trainer.enable_progress_bar', 'false', '--trainer.callbacks', 'LastCheckpoint']
    args += ['--trainer.logger', 'CSVLogger', '--trainer.logger.save_dir', out]
    return main([str(arg) for arg in (*args, *flags)])


def losses(out: Path) -> list[str]:
    (path,) = out.rglob('metrics.csv')
    with path.open(newline='') as file:
        return [row['train_loss'] for row in csv.DictReader(file) if row.get('train_loss')]


@pytest.mark.parametrize('recipe', ['mae', 'cross_scale_mae'])
def test_pretraining_gets_each_images_gsd(
    recipe: str, fmow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through the command line, from the metadata to the views of the model."""
    seen: list[tuple[Sample, tuple[View, ...]]] = []
    make = Pretraining.make_views

    def make_views(self: Pretraining, batch: Sample, generator: torch.Generator) -> Any:
        views = make(self, batch, generator)
        if self.trainer.training:
            seen.append((batch, views))
        return views

    monkeypatch.setattr(Pretraining, 'make_views', make_views)
    assert run(tmp_path, fmow / 'rgb', '--trainer.max_steps', 2, recipe=recipe) == 0
    assert len(losses(tmp_path)) == len(seen) == 2
    stated = {CLASS[place.rsplit('_', 1)[0]]: gsd for place, (_, gsd) in PLACES.items()}
    stated.pop(CLASS['airport'])
    for batch, views in seen:
        for label, gsd in zip(batch['label'].tolist(), batch['gsd'].tolist(), strict=True):
            assert gsd == pytest.approx(stated.get(label, gsd))
        assert (views[0].gsd < batch['gsd']).all()
        assert (views[0].gsd > 0.44 * batch['gsd']).all()
        # Of the pair the second view is all of a tile of 32 px, at 32 px.
        if len(views) == 2:
            torch.testing.assert_close(views[1].gsd, batch['gsd'])
    (checkpoint,) = tmp_path.rglob('last.ckpt')
    encoder = xscale.load(checkpoint)
    assert encoder.contract['gsd'] == pytest.approx([0.45, 1.1])
    assert encoder.sensors[0].name == 'fmow-rgb'
    tokens, _ = encoder(torch.rand(1, 3, 64, 64) * 255, 0.5)
    assert tokens.isfinite().all()


def test_goes_on_to_the_bit(fmow: Path, tmp_path: Path, at: Callable[..., None]) -> None:
    """Stopped in the middle of the second of three epochs of two batches."""
    whole, first, second = (tmp_path / name for name in ('whole', 'first', 'second'))
    epochs = ('--trainer.max_epochs', 3)
    assert run(whole, fmow / 'rgb', *epochs) == 0
    at(2, interrupt)
    assert run(first, fmow / 'rgb', *epochs) == 130
    (checkpoint,) = first.rglob('last.ckpt')
    assert step_of(checkpoint) == 3
    assert run(second, fmow / 'rgb', *epochs, '--ckpt_path', checkpoint) == 0
    expected = losses(whole)
    assert len(expected) == 6
    assert [*losses(first), *losses(second)] == expected


@pytest.mark.filterwarnings('ignore:.*dirpath has changed', 'ignore:.*args parameter is intended')
@pytest.mark.parametrize('command', [main, torchgeo_main])
def test_classification(command: Any, fmow: Path, tmp_path: Path) -> None:
    """TorchGeo's own task for an epoch, then its test, from a configuration of one file."""
    config = str(CONF / 'fmow_classification.yaml')
    data = ['--data.init_args.paths', str(fmow / 'rgb')]
    out = ['--trainer.default_root_dir', str(tmp_path), '--trainer.logger.init_args.save_dir']
    command(['fit', '--config', config, *data, *out, str(tmp_path)])
    (events,) = tmp_path.rglob('events*')
    log = EventAccumulator(str(events)).Reload()
    assert len(log.Scalars('val_loss')) == 1
    # TorchGeo asks the data module for a picture of the first samples.
    assert 'image/0' in log.Tags()['images']
    (checkpoint,) = tmp_path.rglob('*.ckpt')
    command(
        ['test', '--config', config, *data, *out, str(tmp_path), '--ckpt_path', str(checkpoint)]
    )
    logs = [EventAccumulator(str(path)).Reload() for path in tmp_path.rglob('events*')]
    assert any('test_loss' in log.Tags()['scalars'] for log in logs)


def test_the_recipe_of_classification_starts_from_a_checkpoint(fmow: Path, tmp_path: Path) -> None:
    """One of ours, by the recipes that ship."""
    assert run(tmp_path / 'first', fmow / 'rgb', '--trainer.max_steps', 1) == 0
    (checkpoint,) = tmp_path.rglob('last.ckpt')
    flags = ['-c', 'tasks/classify/fmow.yaml', '-c', 'datasets/fmow.yaml']
    flags += ['--data.task', 'classification', '--data.tile_size', '160', '--data.num_workers', '0']
    flags += ['--data.paths', str(fmow / 'rgb'), '--data.batch_size', '4']
    flags += ['--model.model', 'test_vit', '--model.weights', str(checkpoint)]
    flags += ['--trainer.max_epochs', '1', '--trainer.enable_progress_bar', 'false']
    flags += ['--trainer.logger.save_dir', str(tmp_path / 'second')]
    assert main(['fit', *flags]) == 0
    assert list((tmp_path / 'second').rglob('*.ckpt'))


def test_several_labels_through_the_command_line(fmow: Path, tmp_path: Path) -> None:
    config = str(CONF / 'fmow_classification.yaml')
    flags = ['--data.init_args.paths', str(fmow / 'rgb'), '--data.init_args.multilabel', 'true']
    flags += ['--data.init_args.crop', 'image', '--model.init_args.task', 'multilabel']
    flags += ['--model.init_args.num_classes', 'null', '--model.init_args.num_labels', '62']
    flags += ['--model.init_args.loss', 'bce', '--trainer.logger.init_args.save_dir', str(tmp_path)]
    assert main(['fit', '--config', config, *flags]) == 0
