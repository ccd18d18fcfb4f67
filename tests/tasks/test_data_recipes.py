"""The recipes of what to train on: each runs, and has a card."""

from pathlib import Path

import pytest
import torch

import xscale
from xscale.cli import main
from xscale.recipes import ROOT

RECIPES = {
    'folder': 'stack/naip',
    'sentinel2': 'stack/sentinel2',
    'naip': 'stack/naip',
    'fmow': 'fmow/rgb',
}


@pytest.mark.parametrize('name', RECIPES)
def test_runs_a_step(name: str, stack: Path, fmow: Path, tmp_path: Path) -> None:
    """With nothing but the folder, and sizes for tiny data."""
    fixture, folder = RECIPES[name].split('/')
    paths = {'stack': stack, 'fmow': fmow}[fixture] / folder
    args: list[object] = ['fit', '-c', 'tasks/pretrain/mae.yaml', '-c', f'datasets/{name}.yaml']
    args += ['--data.paths', paths, '--data.batch_size', 2, '--data.num_workers', 0]
    args += ['--data.tile_size', 64, '--model.size', 64, '--model.model', 'test_vit']
    args += ['--trainer.max_steps', 1]
    args += ['--trainer.logger', 'CSVLogger', '--trainer.logger.save_dir', tmp_path]
    assert main([str(arg) for arg in args]) == 0
    (checkpoint,) = tmp_path.rglob('last.ckpt')
    encoder = xscale.load(checkpoint)
    assert encoder.contract['bands'] == ['red', 'green', 'blue']
    assert encoder(torch.rand(1, 3, 64, 64), 10.0)[0].isfinite().all()


def test_every_recipe_is_run() -> None:
    """That of pairs, which needs two folders, in ``test_pairs.py``; those with labels, of a task
    on labels, in ``test_labelled_data.py``; those of benchmarks in ``test_benchmark.py``.
    """
    recipes = {path.stem for path in (ROOT / 'datasets').glob('*.yaml')}
    benchmarks = {path.stem for path in (ROOT / 'tasks' / 'benchmark').glob('*.yaml')}
    assert recipes == {*RECIPES, 'pairs', 'labelled', 'masked', *benchmarks}


@pytest.mark.parametrize('name', sorted(set(RECIPES) - {'folder'}))
def test_has_a_card(name: str) -> None:
    """With what one needs to know, and named by its recipe."""
    card = (ROOT / 'datasets' / 'cards' / f'{name}.md').read_text()
    for heading in ('Source.', 'Licence.', 'Bands', 'GSD.', 'Units.', 'How to get it.', 'Layout.'):
        assert heading in card
    assert f'-c datasets/{name}.yaml' in card
    assert f'datasets/cards/{name}.md' in (ROOT / 'datasets' / f'{name}.yaml').read_text()
