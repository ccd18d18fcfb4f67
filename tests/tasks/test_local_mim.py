"""A run of LocalMIM leaves pictures to look at, and a checkpoint like those of other objectives."""

from pathlib import Path
from typing import Any

import matplotlib.image
import pytest
import torch
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader
from torchgeo.tasks import Classification

import xscale
from xscale.errors import ConfigError
from xscale.recipes import pretraining_recipe
from xscale.tasks import LastCheckpoint, Pretraining, ReconstructionPictures

from .test_watch import Plain

#: The smallest model of timm has six blocks.
TAPS = {'taps': [1, 3, -1], 'scales': [2, 1, 0.5], 'dim': 32, 'heads': 4}
LOCAL = {'decoder_dim': 32, 'decoder_depth': 1, 'decoder_heads': 4, 'local': TAPS}


def fit(objective: str, options: dict[str, Any], folder: Path) -> Pretraining:
    task = Pretraining(model='test_vit', objective=objective, options=options, size=64, gsd=1.0)
    trainer = Trainer(
        max_steps=1,
        default_root_dir=folder,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        accelerator='cpu',
        callbacks=[ReconstructionPictures(1), LastCheckpoint(1)],
    )
    trainer.fit(task, DataLoader(Plain(), batch_size=2))
    return task


@pytest.mark.parametrize(
    ('objective', 'options', 'columns'),
    [
        ('LocalMIM', TAPS | {'isolate': True}, 2 + 2 * 3),
        ('LocalMIM', TAPS | {'target': 'pixels'}, 2 + 3),
        ('MAE', LOCAL, 2 + 1),
    ],
    ids=['histograms', 'pixels', 'beside MAE'],
)
def test_run(objective: str, options: dict[str, Any], columns: int, tmp_path: Path) -> None:
    task = fit(objective, options, tmp_path)
    assert {'local_0', 'local_1', 'local_2'} <= set(task.terms)
    picture = matplotlib.image.imread(tmp_path / 'pictures' / 'step_000001.png')
    height, width = picture.shape[:2]
    assert width / height == pytest.approx(2.1 * columns / (2.3 * 2), rel=0.02)
    assert picture.std() > 0.1
    ours = xscale.load(tmp_path / 'last.ckpt')
    theirs = Classification(model='test_vit', weights=str(tmp_path / 'last.ckpt'), num_classes=2)
    loaded = theirs.model.state_dict()
    for name, tensor in task.model.state_dict().items():
        assert torch.equal(ours.model.state_dict()[name], tensor), name
        assert torch.equal(loaded[name], tensor), name
    assert not torch.equal(loaded['norm.bias'], torch.zeros_like(loaded['norm.bias']))
    # Another run goes on with all of it.
    weights = str(tmp_path / 'last.ckpt')
    more = Pretraining(model='test_vit', objective=objective, options=options, weights=weights)
    assert more.initial
    assert (more.initial.missing, more.initial.unused) == ({}, ())


def test_too_few_blocks() -> None:
    with pytest.raises(ConfigError, match='are blocks 1, 3, 3, 5 of an encoder of 6'):
        Pretraining(model='test_vit', objective='LocalMIM')
    with pytest.raises(ConfigError, match='tap'):
        Pretraining(model='test_vit', objective='LocalMIM', options={'tap': [1]})


def test_recipe_by_name() -> None:
    for name in ('LocalMIM', 'local_mim'):
        assert pretraining_recipe(name).name == 'local_mim.yaml'
