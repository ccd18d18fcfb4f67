"""The recipes of downstream tasks under both command lines."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from torchgeo.main import main as torchgeo_main

from xscale.cli import main
from xscale.recipes import ROOT
from xscale.tasks import load_predictor

from .scenes import write_checkpoint

pytestmark = pytest.mark.filterwarnings(
    'ignore:.*args parameter is intended',
    'ignore:.*smaller than the logging interval',
    'ignore:.*does not have many workers',
)

RECIPES = ['classify/finetune', 'classify/linear', 'segment/finetune', 'segment/frozen']


def test_every_recipe_is_run() -> None:
    """Those of pretraining in ``test_pretrain.py``, of benchmarks in ``test_benchmark.py``, and
    TorchGeo's own task in ``test_fmow.py``.
    """
    paths = (path.relative_to(ROOT / 'tasks') for path in (ROOT / 'tasks').rglob('*.yaml'))
    others = {str(path)[:-5] for path in paths if path.parts[0] not in ('pretrain', 'benchmark')}
    assert others == {*RECIPES, 'classify/fmow'}


def loggers(out: Path) -> Path:
    """Send the recipe's loggers to a folder; TensorBoard's makes TorchGeo ask for pictures."""
    out.mkdir()
    names = ('CSVLogger', 'TensorBoardLogger')
    listed = [
        {'class_path': f'lightning.pytorch.loggers.{name}', 'init_args': {'save_dir': str(out)}}
        for name in names
    ]
    path = out / 'loggers.yaml'
    path.write_text(yaml.safe_dump({'trainer': {'logger': listed}}))
    return path


def run(command: Callable[[Any], Any], recipe: str, out: Path, weights: Path) -> dict[str, str]:
    """Train for two epochs and return the last line of validation."""
    args: list[object] = ['fit', '--config', ROOT / 'tasks' / f'{recipe}.yaml']
    args += ['--data', 'tests.tasks.scenes.OurScenes', '--model.num_classes', 2]
    args += ['--model.weights', weights, '--model.warmup', 0]
    if recipe.startswith('segment'):
        args += ['--model.decoder_channels', 8]
    args += ['--trainer.max_epochs', 2, '--trainer.accelerator', 'cpu']
    args += ['--trainer.log_every_n_steps', 1, '--trainer.enable_progress_bar', 'false']
    args += ['--trainer.default_root_dir', out, '--config', loggers(out)]
    command([str(arg) for arg in args])
    (path,) = out.rglob('metrics.csv')
    with path.open(newline='') as file:
        rows = [row for row in csv.DictReader(file) if row.get('val_loss')]
    assert list(out.rglob('last.ckpt'))
    return {name: value for name, value in rows[-1].items() if name.startswith('val_')}


@pytest.mark.parametrize('recipe', RECIPES)
def test_both_command_lines_say_the_same(recipe: str, tmp_path: Path) -> None:
    weights = write_checkpoint(tmp_path / 'encoder.ckpt')
    ours = run(main, recipe, tmp_path / 'ours', weights)
    theirs = run(torchgeo_main, recipe, tmp_path / 'theirs', weights)
    assert ours == theirs
    wanted = {'val_loss', 'val_OverallAccuracy', 'val_AverageAccuracy', 'val_AverageF1Score'}
    assert wanted | {'val_AverageJaccardIndex'} <= set(ours)


def test_a_run_is_tested_from_its_checkpoint(tmp_path: Path) -> None:
    """With what the recipe and the checkpoint's own settings say."""
    weights = write_checkpoint(tmp_path / 'encoder.ckpt')
    before = run(main, 'segment/frozen', tmp_path / 'out', weights)
    (path,) = (tmp_path / 'out').rglob('last.ckpt')
    predictor = load_predictor(path)
    assert (predictor.classes, predictor.size) == (('ground', 'roof'), 64)
    args: list[object] = ['validate', '-c', 'tasks/segment/frozen.yaml', '--ckpt_path', path]
    args += ['--data', 'tests.tasks.scenes.OurScenes', '--trainer.logger', 'CSVLogger']
    args += ['--trainer.logger.save_dir', tmp_path / 'again', '--trainer.accelerator', 'cpu']
    args += ['--trainer.enable_progress_bar', 'false', '--trainer.callbacks', 'null']
    assert main([str(arg) for arg in args]) == 0
    (again,) = (tmp_path / 'again').rglob('metrics.csv')
    with again.open(newline='') as file:
        after = list(csv.DictReader(file))[-1]
    for name in ('val_loss', 'val_AverageJaccardIndex'):
        assert float(after[name]) == pytest.approx(float(before[name]), abs=1e-5)


def test_fmow_which_normalises_by_itself(fmow: Path, tmp_path: Path) -> None:
    """Its module says bands, metres and values: the checkpoint has them in the files' units."""
    weights = write_checkpoint(tmp_path / 'encoder.ckpt', position='gsd')
    args: list[object] = ['fit', '-c', 'tasks/classify/finetune.yaml', '-c', 'datasets/fmow.yaml']
    args += ['--data.paths', fmow / 'rgb', '--data.task', 'classification', '--data.tile_size', 32]
    args += ['--data.batch_size', 4, '--data.num_workers', 0, '--model.num_classes', 62]
    args += ['--model.weights', weights, '--trainer.max_steps', 1, '--trainer.accelerator', 'cpu']
    args += ['--trainer.enable_progress_bar', 'false', '-c', loggers(tmp_path / 'out')]
    args += ['--trainer.default_root_dir', tmp_path / 'out']
    assert main([str(arg) for arg in args]) == 0
    (path,) = (tmp_path / 'out').rglob('last.ckpt')
    predictor = load_predictor(path)
    assert predictor.classes[0] == 'airport'
    assert predictor.encoder.sensors[0].mean[0] > 50
    assert predictor.gsd is not None
    assert 0.1 < predictor.gsd[0] <= predictor.gsd[1] < 10
