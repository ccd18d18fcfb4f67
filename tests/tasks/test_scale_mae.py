"""Pretraining with Scale-MAE: what it reads, what it leaves, and what becomes of that."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from rasterio.transform import from_origin

import xscale
from xscale.cli import main
from xscale.encoders.checkpoints import checkpoint_embedder
from xscale.errors import CheckpointError
from xscale.models.checkpoint import CONTRACT
from xscale.objectives import ScaleMAE
from xscale.recipes import pretraining_recipe
from xscale.tasks import Pretraining
from xscale.tasks.reconstruction import Reconstructor

from ..data.stack.data import write_raster
from ..tiny import DECODER, seeded
from .runs import losses

SMALL = DECODER | {'head_dim': 16}


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The recipe, with small parts."""
    config = yaml.safe_load(pretraining_recipe('ScaleMAE').read_text())
    config['model']['init_args']['options'] |= SMALL
    path = tmp_path / 'recipe.yaml'
    path.write_text(yaml.safe_dump(config))
    monkeypatch.setattr('xscale.commands.configuration.pretraining_recipe', lambda name: path)


def pretrain(folder: Path, run: Path, *flags: str) -> dict[str, Any]:
    args = ['pretrain', str(folder), '--objective', 'ScaleMAE', '--model', 'test_vit']
    args += ['--size', '64', '--batch-size', '4', '--precision', '32-true', '--max-steps', '3']
    assert main([*args, '--out', str(run), *flags]) == 0
    return yaml.safe_load((run / 'config.yaml').read_text())


def test_leaves_a_whole_run(
    world: Path, recipe: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / 'run'
    config = pretrain(world, run, '--bands', 'red,green,blue')
    # From a fifth of its area a view of twice the encoder's side can be cut.
    assert config['data']['init_args']['tile_size'] == 287
    said = capsys.readouterr().out
    assert 'torchgeo.tasks.Classification, which takes every pixel for 1 m' in said
    assert len(losses(run, 'train_high_frequency')) == 3
    assert len(losses(run, 'feature_std')) > 0
    assert (run / 'pictures' / 'step_000003.png').stat().st_size > 10_000
    encoder = xscale.load(run / 'last.ckpt')
    assert encoder.position == 'gsd'
    assert encoder.contract['size'] == 64
    content = torch.load(run / 'last.ckpt', weights_only=True)
    assert Reconstructor(content).objective.patch == 32


def test_pairs_of_other_bands(recipe: None, tmp_path: Path) -> None:
    """The coarser raster is seen, and what the finer one shows of its ground is predicted."""
    run, images = tmp_path / 'run', tmp_path / 'images'
    rng = np.random.default_rng(0)
    for gsd, bands in ((10, ('B02', 'B03', 'B04')), (20, ('B05', 'B11'))):
        shape = len(bands), 3200 // gsd, 3200 // gsd
        pixels = rng.integers(1, 250, shape).astype(np.uint16)
        path = images / f'T33UUP_20200223_{gsd}m.tif'
        grid = from_origin(300_000, 5_300_000, gsd, gsd)
        write_raster(path, pixels, grid=grid, names=bands)
    config = pretrain(images, run, '--pairs', '--scale', '0.5', '1')
    data = config['data']['init_args']
    assert (data['tile_size'], data['pairs']['view']) == (182, 91)
    assert any(float(rate) for _, rate in losses(run, 'pair_rate'))
    assert len(losses(run)) == 3
    assert (run / 'pictures' / 'step_000003.png').exists()


def task(**options: Any) -> Pretraining:
    torch.manual_seed(0)
    return Pretraining(
        model='test_vit', objective='ScaleMAE', options=SMALL | options, size=32, gsd=2.0, seed=0
    )


def test_views_have_twice_the_side() -> None:
    batch = {'image': torch.randn(2, 3, 96, 96, generator=seeded())}
    own = task()
    (view,) = own.make_views(batch, seeded(1))
    assert view.image.shape == (2, 3, 64, 64)
    seen = own.objective.seen([view])
    assert seen.image.shape == (2, 3, 32, 32)
    assert seen.gsd.mean() > 2.0
    pair = {'image_coarse': torch.randn(2, 3, 48, 48), 'gsd_coarse': torch.full((2,), 4.0)}
    fine, coarse = own.make_views(batch | pair, seeded(1))
    assert torch.equal(fine.image, view.image)
    assert coarse.image.shape == seen.image.shape
    torch.testing.assert_close(coarse.gsd, seen.gsd)
    assert torch.equal(own.objective.seen([fine, coarse]).image, coarse.image)


def content(**options: Any) -> dict[str, Any]:
    own = task(**options)
    sensor = {'name': 'aerial', 'bands': ['red', 'green', 'blue']}
    sensor |= {'mean': [110.0] * 3, 'std': [60.0] * 3}
    contract = {'bands': sensor['bands'], 'sensors': [sensor], 'size': 32, 'gsd': [1.0, 2.0]}
    return {
        'state_dict': own.state_dict(),
        'hyper_parameters': dict(own.hparams),
        CONTRACT: contract,
    }


def test_a_checkpoint_says_that_positions_are_metres(tmp_path: Path) -> None:
    """Though its options did not, for it is the objective's own default."""
    assert task().hparams['options']['position'] == 'gsd'
    assert task(position='index').hparams['options']['position'] == 'index'
    torch.save(content(), tmp_path / 'last.ckpt')
    assert xscale.load(tmp_path / 'last.ckpt').position == 'gsd'


def test_reconstruction_is_measured_on_what_the_encoder_sees(tmp_path: Path) -> None:
    """At the pixels and with the masks of any other model, so that errors can be compared."""
    made = content()
    torch.save(made, tmp_path / 'last.ckpt')
    embedder = checkpoint_embedder(
        str(tmp_path / 'last.ckpt'), bands=('red', 'green', 'blue'), dtype='uint8', sensor=None
    )
    image = 110 + 60 * torch.randn(2, 3, 48, 48, generator=seeded())
    valid = torch.ones(2, 1, 48, 48, dtype=torch.bool)
    reconstructor = Reconstructor(made)
    found = reconstructor(embedder, (image, torch.ones(2), valid))
    assert found.picture.shape == image.shape
    changed = (found.picture != found.image).flatten(1).float().mean(1)
    # int(9 · 0.25) patches of nine are seen.
    torch.testing.assert_close(changed, torch.full((2,), 7 / 9), rtol=0, atol=1e-3)
    assert isinstance(reconstructor.objective, ScaleMAE)
    assert found.errors['model'].mse.isfinite().all()
    with pytest.raises(CheckpointError, match='ScaleMAE reconstructs no images'):
        Reconstructor(content(weights={'low_frequency': 0.0}))
    pair = {'pair': {}, 'weights': {'reconstruction': 0.0}}
    task = Pretraining(model='test_vit', objective='MAE', options=DECODER | pair, size=32)
    untrained = {'state_dict': task.state_dict(), 'hyper_parameters': dict(task.hparams)}
    with pytest.raises(CheckpointError, match='MAE reconstructs no images'):
        Reconstructor(untrained)


def test_groups_of_bands_keep_their_last_layers(tmp_path: Path) -> None:
    """Whichever group is the encoder's own in the next run."""
    groups = {'fine': 3, 'coarse': 2}
    sizes: dict[str, Any] = {'model': 'test_vit', 'objective': 'ScaleMAE', 'size': 32, 'gsd': 1.0}
    before = Pretraining(groups=groups, in_channels=3, options=SMALL, **sizes)
    content = {
        'state_dict': before.state_dict(),
        'hyper_parameters': dict(before.hparams),
        CONTRACT: before.input_contract(),
    }
    torch.save(content, tmp_path / 'last.ckpt')
    turned = {'coarse': 2, 'fine': 3}
    weights = str(tmp_path / 'last.ckpt')
    after = Pretraining(groups=turned, in_channels=2, options=SMALL, weights=weights, **sizes)
    for name in ('low', 'high'):
        old, new = (getattr(task.objective, name) for task in (before, after))
        assert torch.equal(new.out.weight, old.outs['coarse'].weight)
        assert torch.equal(new.outs['fine'].bias, old.out.bias)
    assert after.initial
    assert not after.initial.missing
