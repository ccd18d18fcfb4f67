"""A short pretraining from Python: the recipe's terms, and a finished run is kept."""

from pathlib import Path

import pytest
import torch

import xscale
from xscale.commands.short import pretrain_short
from xscale.datasets.world import write_world
from xscale.errors import UnknownNameError


def test_short_pretraining(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_world(tmp_path / 'world', extent=1280)
    options = {'folder': tmp_path / 'world/images', 'out': tmp_path / 'run', 'steps': 1}
    path = pretrain_short(
        **options,
        recipe='ablation/reconstruction_cross',
        options={'align': 'index'},
        flags='--bands red,green,blue --batch-size 2',
    )
    assert capsys.readouterr().out == ''
    hparams = torch.load(path, weights_only=True)['hyper_parameters']
    assert hparams['options']['weights'] == {'consistency': 0}
    assert hparams['options']['align'] == 'index'
    assert hparams['options']['decoder_dim'] == 192
    assert xscale.load(path).sensors[0].bands == ('R', 'G', 'B')
    written = path.stat().st_mtime_ns
    assert pretrain_short(**options) == path
    assert path.stat().st_mtime_ns == written


def test_unknown_recipe(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match='nothing'):
        pretrain_short(tmp_path, tmp_path / 'run', 1, recipe='nothing')
