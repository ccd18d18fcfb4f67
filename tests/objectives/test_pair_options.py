"""Options of terms between two views, from a wrong word to a run of a recipe."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from xscale.cli import main
from xscale.errors import ConfigError, UnknownNameError
from xscale.objectives import MAE, CrossScaleMAE, LocalMIM
from xscale.objectives.pair_terms import PAIR_TERMS
from xscale.tasks import Pretraining

from ..data.stack.data import write_raster
from ..tiny import DECODER, seeded
from .paired import KINDS, PAIR, look, made


@pytest.mark.parametrize(
    ('pair', 'message'),
    [
        ({'aligned': 'ground'}, "unknown option of pair 'aligned'; choose one of: align, "),
        ({'align': 'sky'}, "unknown align 'sky'; choose one of: ground, index"),
        ({'negatives': 'all'}, "unknown negatives 'all'"),
        (True, 'pair True: options by name are needed'),
    ],
)
def test_what_does_not_fit_is_said(pair: object, message: str) -> None:
    for kind in KINDS:
        with pytest.raises((ConfigError, UnknownNameError), match=message):
            made(kind, pair)
    with pytest.raises((ConfigError, UnknownNameError), match=message):
        Pretraining(model='test_vit', objective='MAE', options={'pair': pair}, size=64)


def test_what_cannot_be_is_said() -> None:
    with pytest.raises(ConfigError, match=r'LocalMIM has no decoder .* weights: {cross_predic'):
        made(LocalMIM, weights={'cross_prediction': 1.0})
    with pytest.raises(ConfigError, match='CrossScaleMAE has the terms between views'):
        made(CrossScaleMAE)
    with pytest.raises(ConfigError, match='1 view came; terms between views need a fine and a'):
        made(MAE)(look(MAE)[:1], generator=seeded())
    with pytest.raises(UnknownNameError, match="unknown term 'consistency'"):
        made(MAE, None, weights={'consistency': 1.0})
    wrong = PAIR | {'predictor_norm': 'token_batch', 'predictor_tokens': 9}
    with pytest.raises(ConfigError, match='built for 9 tokens and 16 came'):
        made(MAE, wrong)(look(MAE), generator=seeded())


def test_a_task_fits_the_head_to_its_size_and_cuts_two_views() -> None:
    pair = PAIR | {'predictor_norm': 'token_batch'}
    options = DECODER | {'head_dim': 16, 'pair': pair}
    task = Pretraining(model='test_vit', objective='ScaleMAE', options=options, size=64, gsd=1.0)
    views = task.make_views({'image': torch.rand(2, 3, 160, 160)}, seeded())
    assert [view.image.shape[-1] for view in views] == [128, 64]
    assert task.objective(views, generator=seeded()).keys() == task.objective.weights.keys()
    assert task.hparams['options']['pair'] == pair


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place that Sentinel-2 shows in six bands."""
    path = tmp_path_factory.mktemp('sentinel2')
    noise = np.random.default_rng(0).integers(1, 4000, (6, 160, 160), dtype=np.uint16)
    names = ['B02', 'B03', 'B04', 'B08', 'B11', 'B12']
    write_raster(path / 'x_20190114.tif', noise, names=names)
    return path


@pytest.mark.parametrize('name', ['scale_mae', 'satmae_group'])
def test_two_steps_from_the_recipe(name: str, folder: Path, tmp_path: Path) -> None:
    given: dict[str, Any] = {'pair': {'predictor_hidden': 16}, **DECODER}
    given |= {'head_dim': 16} if name == 'scale_mae' else {}
    bands = ['red', 'green', 'blue']
    args: dict[str, Any] = {'model': 'test_vit', 'size': 32}
    if name == 'satmae_group':
        bands = ['B2', 'B3', 'B4', 'B8', 'B11', 'B12']
        given |= {'bands': bands, 'groups': {'visible': bands[:4], 'swir': bands[4:]}}
        args['in_channels'] = 6
    logger = {'class_path': 'CSVLogger', 'init_args': {'save_dir': str(tmp_path)}}
    trainer = {'max_steps': 2, 'logger': [logger], 'log_every_n_steps': 1}
    config = tmp_path / 'x.yaml'
    text = yaml.safe_load(Path(f'tasks/pretrain/{name}.yaml').read_text())
    text['model']['init_args'] |= args
    text['model']['init_args']['options'] |= given
    text['trainer'] |= trainer
    config.write_text(yaml.safe_dump(text, sort_keys=False))
    command = ['fit', '-c', str(config), '-c', 'datasets/folder.yaml', '--data.paths', str(folder)]
    command += ['--data.bands', f'[{", ".join(bands)}]', '--data.batch_size', '4']
    command += ['--data.tile_size', '80', '--data.num_workers', '0']
    assert main(command) == 0
    (path,) = tmp_path.rglob('metrics.csv')
    rows = [row for row in csv.DictReader(path.open(newline='')) if row['train_loss']]
    assert len(rows) == 2
    for term in PAIR_TERMS:
        assert all(np.isfinite(float(row[f'train_{term}'])) for row in rows), term
    assert len(list(tmp_path.rglob('last.ckpt'))) == 1
