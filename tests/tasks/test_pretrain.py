"""The command line, from a folder of GeoTIFFs to a checkpoint."""

import csv
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import timm
import torch
import yaml
from torchgeo.tasks import Classification

import xscale
from xscale.cli import main
from xscale.datasets import Rasters
from xscale.datasets.world import write_world
from xscale.models.tokens import patchify
from xscale.models.vit import embed, encode, position_table
from xscale.objectives import CrossScaleMAE
from xscale.recipes import ROOT
from xscale.samplers import CrossScaleSampler
from xscale.tasks import Pretraining

TINY, SWIN = 'vit_tiny_patch16_224', 'swin_tiny_patch4_window7_224'
FLAGS = ('--model', TINY, '--size', '64', '--batch-size', '4', '--precision', '32-true')
#: Those of groups of bands and of dates want other images; test_satmae.py has them.
RECIPES = sorted(
    str(path.relative_to(ROOT))
    for path in (ROOT / 'tasks' / 'pretrain').rglob('*.yaml')
    if path.stem not in ('satmae_group', 'satmae_temporal')
)


@pytest.fixture(scope='module')
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small synthetic world seen by two sensors."""
    folder = tmp_path_factory.mktemp('world')
    write_world(folder, extent=1280)
    return folder / 'images'


@pytest.fixture(scope='module')
def run(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of six steps."""
    out = tmp_path_factory.mktemp('runs') / 'first'
    assert pretrain(images, out, '--max-steps', '6', '--save-every', '3') == 0
    return out


def pretrain(images: Path, out: Path, *flags: str) -> int:
    bands = () if '--bands' in flags else ('--bands', 'red,green,blue')
    return main(['pretrain', str(images), *bands, *FLAGS, '--out', str(out), *flags])


def losses(run: Path) -> list[float]:
    with (run / 'metrics.csv').open() as file:
        return [float(row['train_loss']) for row in csv.DictReader(file) if row['train_loss']]


def test_leaves_a_whole_run(run: Path) -> None:
    files = {str(path.relative_to(run)) for path in run.rglob('*') if path.is_file()}
    pictures = {'pictures/step_000003.png', 'pictures/step_000006.png'}
    checkpoints = {'last.ckpt', 'best.ckpt'}
    assert {*checkpoints, 'config.yaml', 'metrics.csv', 'loss.png', *pictures} <= files
    assert any(name.startswith('tensorboard/events') for name in files)
    with (run / 'metrics.csv').open() as file:
        columns = next(csv.reader(file))
    terms = {f'train_{term}' for term in CrossScaleMAE.terms}
    assert {*terms, 'train_loss', 'lr-AdamW/pg1', 'samples_per_s', 'overlap_rate'} <= set(columns)
    assert {'grad_norm', 'data_wait', 'feature_std', 'effective_rank'} <= set(columns)
    values = losses(run)
    assert len(values) == 6
    assert values[-1] < values[0]


def test_torchgeo_loads_the_encoder_bit_for_bit(run: Path) -> None:
    theirs = Classification(model=TINY, weights=str(run / 'last.ckpt'), num_classes=3)
    ours = xscale.load(run / 'last.ckpt').model.state_dict()
    loaded = theirs.model.state_dict()
    assert set(loaded) - set(ours) == {'head.weight', 'head.bias'}
    assert all(torch.equal(tensor, loaded[key]) for key, tensor in ours.items())
    fresh = Classification(model=TINY, num_classes=3).model.state_dict()
    assert not torch.equal(fresh['blocks.0.attn.qkv.weight'], loaded['blocks.0.attn.qkv.weight'])


def test_checkpoint_carries_its_input_contract(run: Path) -> None:
    encoder = xscale.load(run / 'last.ckpt')
    assert encoder.contract['bands'] == ['red', 'green', 'blue']
    assert encoder.contract['gsd'] == pytest.approx([0.6, 10], rel=0.02)
    assert encoder.contract['footprints'].shape[1] == 4
    assert {sensor.bands for sensor in encoder.sensors} == {('B04', 'B03', 'B02'), ('R', 'G', 'B')}
    image = torch.rand(2, 3, 96, 64) * 255
    tokens, pooled = encoder(image, 0.8, sensor='naip R,G,B uint8')
    assert tokens.shape == (2, 24, 192)
    assert pooled.shape == (2, 192)
    state = torch.load(run / 'last.ckpt', weights_only=True)['state_dict']
    assert not [key for key in state if 'model.' in key and not key.startswith('model.')]
    assert not [key for key in state if key.startswith('objective.encoder')]


def test_the_saved_config_gives_the_same_losses(run: Path, tmp_path: Path) -> None:
    """Through ``xscale fit`` and ``torchgeo fit``, whatever the global seed was."""
    config = yaml.safe_load((run / 'config.yaml').read_text())
    for number, command in enumerate((main, torchgeo_main)):
        out = tmp_path / str(number)
        for logger in config['trainer']['logger']:
            logger['init_args']['save_dir'] = str(out)
        path = tmp_path / f'{number}.yaml'
        path.write_text(yaml.safe_dump(config))
        torch.manual_seed(number + 99)
        command(['fit', '--config', str(path)])
        assert losses(out) == losses(run)


def torchgeo_main(args: list[str]) -> None:
    from torchgeo.main import main as theirs

    theirs(args)


@pytest.mark.parametrize('recipe', RECIPES)
def test_every_recipe_runs_a_step(recipe: str, images: Path, tmp_path: Path) -> None:
    args: list[Any] = ['fit', '-c', recipe, '-c', 'datasets/folder.yaml']
    args += ['--data.paths', images, '--data.batch_size', 4, '--data.num_workers', 0]
    model = SWIN if 'swin' in recipe else TINY
    args += ['--data.tile_size', 64, '--model.model', model, '--model.size', 64]
    args += ['--trainer.max_steps', 1, '--trainer.log_every_n_steps', 1]
    args += ['--trainer.logger', 'CSVLogger', '--trainer.logger.save_dir', tmp_path]
    assert main([str(arg) for arg in args]) == 0
    (checkpoint,) = tmp_path.rglob('last.ckpt')
    assert xscale.load(checkpoint)


def test_starts_from_a_checkpoint(
    run: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ('--init', str(run / 'last.ckpt'), '--max-steps', '1', '--lr', '1e-12')
    assert pretrain(images, tmp_path / 'next', *flags) == 0
    assert 'tensors of the encoder' in capsys.readouterr().out
    old, new = (xscale.load(path / 'last.ckpt').model for path in (run, tmp_path / 'next'))
    for before, after in zip(old.parameters(), new.parameters(), strict=True):
        torch.testing.assert_close(before, after, atol=1e-6, rtol=0)


def test_all_bands_by_default(images: Path, tmp_path: Path) -> None:
    assert pretrain(images / 'sentinel2', tmp_path / 'all', '--bands', '', '--max-steps', '1') == 0
    assert xscale.load(tmp_path / 'all' / 'last.ckpt').contract['bands'] == [
        *('B02', 'B03', 'B04', 'B08')
    ]


def test_a_mask_beside_the_file_counts(images: Path, tmp_path: Path) -> None:
    """A ``.msk`` file is read by the command line, whatever GDAL is told there."""
    folder = tmp_path / 'images'
    folder.mkdir()
    source = next((images / 'aerial').glob('*.tif'))
    path = folder / source.name
    shutil.copy(source, path)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(path, 'r+') as raster:
        mask = np.full(raster.shape, 255, np.uint8)
        mask[: raster.height // 2] = 0
        raster.write_mask(mask)
    assert (folder / f'{source.name}.msk').exists()
    assert pretrain(folder, tmp_path / 'run', '--max-steps', '1') == 0
    dataset = Rasters(folder, ['red', 'green', 'blue'])
    batch = CrossScaleSampler(dataset, size=256, batch_size=8).batch(0, 0)
    share = float(torch.stack([dataset[s]['valid'].float().mean() for s in batch]).mean())
    assert 0.2 < share < 0.9


def test_learned_positions_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """timm's weights learned their positions: the run and its checkpoint go on with them."""
    pretrained = timm.create_model(TINY, num_classes=0)
    torch.nn.init.normal_(pretrained.pos_embed)
    create = timm.create_model
    monkeypatch.setattr(
        'xscale.tasks.initial.timm.create_model',
        lambda name, pretrained=False, **kw: source if pretrained else create(name, **kw),
    )
    source = pretrained
    task = Pretraining(model=TINY, objective='MAE', weights=TINY, gsd=1.0)
    assert task.initial
    assert task.initial.learned_positions
    assert task.hparams['options'] == {'position': 'table'}
    image = torch.rand(1, 3, 224, 224)
    ours = encode(
        task.model,
        embed(task.model, patchify(image, 16)) + position_table(task.model, 14, 14),
    )
    torch.testing.assert_close(ours, source.eval().forward_features(image), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ('flags', 'message'),
    [
        (('--bands', 'red,ultraviolet'), 'no band ultraviolet: its bands are'),
        (('--size', '65'), 'size 65 is no multiple of the patch, 16 px'),
        (('--gsd', '20', '10'), 'needs finest ≤ coarsest'),
        (('--gsd', '0.1', '0.2'), 'coarser than the 0.2 m asked for'),
        (('--scale', '0.5', '1.5'), 'needs 0 < smallest ≤ largest ≤ 1'),
        (('--model', 'resnet50'), 'not a plain vision transformer'),
        (('--model', 'vit_enormous'), "unknown timm model 'vit_enormous'"),
        (('--objective', 'mea'), "unknown objective 'mea'; choose one of: cross_scale_mae"),
        (('--init', 'nowhere.pth'), 'nowhere.pth does not exist'),
        (('--batch-size', '0'), '--batch-size 0: a number above 0'),
        (('--size', '4096'), 'of a tile of 8192×8192 px'),
        (('--precision', 'bf16-true'), "unknown precision 'bf16-true'; choose one of: 16-mixed"),
        (('--seed', '-1'), '--seed -1: 0 or a number above'),
        (('--bands', 'red,red'), 'a band is asked for twice'),
    ],
)
def test_bad_flags(
    flags: tuple[str, str],
    message: str,
    images: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert pretrain(images, tmp_path / 'run', '--max-steps', '1', *flags) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / 'run' / 'last.ckpt').exists()


def test_bad_folders(
    run: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pretrain(tmp_path / 'none', tmp_path / 'run') == 2
    assert 'none does not exist' in capsys.readouterr().err
    (tmp_path / 'empty').mkdir()
    assert pretrain(tmp_path / 'empty', tmp_path / 'run') == 2
    assert 'no GeoTIFF' in capsys.readouterr().err
    before = (run / 'last.ckpt').read_bytes()
    assert pretrain(images, run) == 2
    assert 'holds a run already' in capsys.readouterr().err
    assert (run / 'last.ckpt').read_bytes() == before


def test_a_corrupt_file_is_named_and_left_out(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / 'images'
    shutil.copytree(images, folder)
    victim = next((folder / 'aerial').glob('*.tif'))
    victim.write_bytes(victim.read_bytes()[:300])
    assert pretrain(folder, tmp_path / 'run', '--max-steps', '1') == 0
    out = capsys.readouterr().out
    assert '1 rasters left out' in out
    assert f'{victim}: is cut short' in out
