"""SatMAE's recipes, from a folder of GeoTIFFs to a checkpoint and what is made of it."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import yaml
from torchgeo.main import main as torchgeo_main

import xscale
from xscale.cli import main
from xscale.encoders import find_encoder
from xscale.encoders.checkpoints import UNDATED
from xscale.errors import CheckpointError, ConfigError
from xscale.models.band_groups import BandGroups
from xscale.models.dates import date_fields
from xscale.models.layers import encode_layers
from xscale.models.layouts import view_tokens
from xscale.models.tokens import weighted_mean
from xscale.models.vit import encode
from xscale.recipes import ROOT
from xscale.tasks import Classification, Pretraining
from xscale.tasks.pictures import shown_bands
from xscale.tasks.reconstruction import Reconstructor
from xscale.types import Sensor, View

from ..data.stack.data import write_raster
from ..tiny import DECODER, seeded

pytestmark = pytest.mark.filterwarnings(
    'ignore:.*args parameter is intended', 'ignore:.*does not have many workers'
)

BANDS = ['B2', 'B3', 'B4', 'B8', 'B11', 'B12']
GROUPS = {'visible': BANDS[:4], 'swir': BANDS[4:]}
FILES = ['B02', 'B03', 'B04', 'B08', 'B11', 'B12']
FLAGS = ('--model', 'test_vit', '--size', '32', '--batch-size', '4', '--precision', '32-true')


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three dates of a place that Sentinel-2 shows in six bands."""
    folder = tmp_path_factory.mktemp('sentinel2')
    for number, date in enumerate(('20190114', '20200801', '20210302')):
        noise = np.random.default_rng(number).integers(1, 4000, (6, 128, 128), dtype=np.uint16)
        write_raster(folder / f'x_{date}.tif', noise, names=FILES)
    return folder


def recipe(name: str, **options: Any) -> dict[str, Any]:
    config = yaml.safe_load((ROOT / 'tasks' / 'pretrain' / f'{name}.yaml').read_text())
    config['model']['init_args']['options'] |= DECODER | options
    return config


@pytest.fixture(scope='module')
def runs(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A finished run of two steps of each recipe."""
    out = tmp_path_factory.mktemp('runs')
    made = {
        'satmae': recipe('satmae'),
        'satmae_group': recipe('satmae_group', bands=BANDS, groups=GROUPS, patch=8),
        'satmae_temporal': recipe('satmae_temporal'),
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, config in made.items():
            path = out / f'{name}.yaml'
            path.write_text(yaml.safe_dump(config, sort_keys=False))
            patch.setattr('xscale.commands.configuration.pretraining_recipe', lambda _, p=path: p)
            bands = () if name == 'satmae_group' else ('--bands', 'red,green,blue')
            flags = ('--max-steps', '2', '--scale', '1', '1', '--out', str(out / name))
            args = ['pretrain', str(folder), '--objective', name, *FLAGS, *bands, *flags]
            assert main(args) == 0
    return {name: out / name for name in made}


def losses(out: Path) -> list[str]:
    (path,) = out.rglob('metrics.csv')
    with path.open(newline='') as file:
        return [row['train_loss'] for row in csv.DictReader(file) if row['train_loss']]


@pytest.mark.parametrize('name', ['satmae', 'satmae_group', 'satmae_temporal'])
def test_the_same_under_torchgeo(name: str, runs: dict[str, Path], tmp_path: Path) -> None:
    config = yaml.safe_load((runs[name] / 'config.yaml').read_text())
    for logger in config['trainer']['logger']:
        logger['init_args']['save_dir'] = str(tmp_path)
    path = tmp_path / 'config.yaml'
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    torchgeo_main(['fit', '--config', str(path)])
    assert losses(tmp_path) == losses(runs[name])
    assert len(losses(runs[name])) == 2
    assert len(list((runs[name] / 'pictures').glob('*.png'))) == 1


def test_a_checkpoint_says_what_its_objective_does(runs: dict[str, Path]) -> None:
    path = runs['satmae_group'] / 'last.ckpt'
    task = Pretraining.load_from_checkpoint(path, map_location='cpu', weights_only=True).eval()
    encoder = xscale.load(path)
    assert isinstance(encoder.layout, BandGroups)
    assert encoder.layout.bands == BANDS
    assert encoder.sensors[0].bands == tuple(FILES)
    image = 2000 * torch.rand(2, 6, 32, 48, generator=seeded())
    valid = torch.ones(2, 1, 32, 48, dtype=torch.bool)
    normal = encoder.normalize(image, valid)
    view = View(normal, torch.ones(2), torch.zeros(2, 2), valid)
    with torch.no_grad():
        own = view_tokens(task.model, view, 'index', task.embeds, task.layout)
        patches = encode(task.model, own)[:, 1:]
        tokens, pooled = encoder(image, 10.0)
    assert tokens.shape == (2, 24, 64)
    torch.testing.assert_close(pooled, weighted_mean(patches, torch.ones(2, 48, 1)))
    torch.testing.assert_close(tokens, patches.unflatten(1, (2, 24)).mean(1))
    # What decoders of segmentation take, as a map.
    with torch.no_grad():
        last = encode_layers(encoder, image, 10.0, [len(encoder.model.blocks) - 1])[0]
    torch.testing.assert_close(last.maps, tokens.mT.unflatten(2, (4, 6)))


def test_a_checkpoint_of_dates(runs: dict[str, Path]) -> None:
    path = runs['satmae_temporal'] / 'last.ckpt'
    task = Pretraining.load_from_checkpoint(path, map_location='cpu', weights_only=True).eval()
    encoder = xscale.load(path)
    image = 2000 * torch.rand(2, 3, 3, 32, 32, generator=seeded())
    time = torch.tensor([[0.0, 1e8, 1.5e9], [5e8, torch.nan, 1.6e9]], dtype=torch.float64)
    rows, valid = image.flatten(0, 1), torch.ones(6, 1, 32, 32, dtype=torch.bool)
    view = View(
        encoder.normalize(rows, valid),
        torch.ones(6),
        torch.zeros(6, 2),
        valid,
        time=date_fields(time.flatten()),
        frames=3,
    )
    with torch.no_grad():
        own = view_tokens(task.model, view, 'index', task.embeds, task.layout)
        patches = encode(task.model, own)[:, 1:].unflatten(1, (3, 4))
        tokens, pooled = encoder(image, 10.0, time=time)
    torch.testing.assert_close(tokens, patches.mean(1))
    torch.testing.assert_close(pooled, patches.mean((1, 2)))
    with torch.no_grad():
        for sensor in (torch.tensor([0, 0]), torch.zeros(2, 3, dtype=torch.int64)):
            assert torch.equal(encoder(image, 10.0, sensor, time=time).pooled, pooled)
    with pytest.raises(ConfigError, match=r'valid of shape .2, 1, 32, 32. .* images of 2 places'):
        encoder(image, 10.0, time=time, valid=valid[:2])


def test_dates_of_fmow(fmow: Path, tmp_path: Path) -> None:
    config = tmp_path / 'x.yaml'
    config.write_text(yaml.safe_dump(recipe('satmae_temporal', frames=2), sort_keys=False))
    args: list[object] = ['fit', '-c', config, '-c', 'datasets/fmow.yaml', '--data.frames', 2]
    args += ['--data.paths', fmow / 'rgb', '--data.tile_size', 32, '--data.batch_size', 2]
    args += ['--data.num_workers', 0, '--model.model', 'test_vit', '--model.size', 32]
    args += ['--trainer.max_steps', 1, '--trainer.log_every_n_steps', 1]
    args += ['--trainer.logger', 'CSVLogger', '--trainer.logger.save_dir', tmp_path]
    assert main([str(arg) for arg in args]) == 0
    (path,) = tmp_path.rglob('last.ckpt')
    assert xscale.load(path).layout.options['frames'] == 2  # type: ignore[union-attr]
    assert len(list(tmp_path.rglob('step_000001.png'))) == 1


@pytest.mark.parametrize('name', ['satmae_group', 'satmae_temporal'])
def test_torchgeo_finds_no_weights(name: str, runs: dict[str, Path]) -> None:
    """Its model of that name would be another: the tensors bear a name it does not look for."""
    state = torch.load(runs[name] / 'last.ckpt', weights_only=True)['state_dict']
    assert not [key for key in state if 'model.' in key]
    assert not [key for key in state if key.startswith(('objective.encoder', 'objective.embeds'))]
    content = torch.load(runs[name] / 'last.ckpt', weights_only=True)
    with pytest.raises(CheckpointError, match='several tokens of each patch'):
        Reconstructor(content)


def test_training_goes_on_from_a_checkpoint(
    runs: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ('satmae_group', 'satmae_temporal'):
        path = str(runs[name] / 'last.ckpt')
        options = dict(torch.load(path, weights_only=True)['hyper_parameters'])
        own = {key: value for key, value in options.items() if not key.startswith('_')}
        task = Pretraining(**own | {'weights': path})
        assert task.initial is not None
        assert not task.initial.missing
        assert not task.initial.unused
        before = torch.load(path, weights_only=True)['state_dict']
        for key, tensor in task.state_dict().items():
            assert torch.equal(tensor, before[key]), key


def test_learned_positions_are_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    create = timm.create_model
    monkeypatch.setattr(timm, 'create_model', lambda *a, pretrained=False, **o: create(*a, **o))
    options = {'frames': 2, **DECODER}
    given = {'model': 'test_vit', 'objective': 'SatMAETemporal', 'options': options, 'size': 32}
    task = Pretraining(**given, weights='test_vit')
    assert task.objective.position == 'index'
    assert 'learned positions' not in str(task.initial)
    assert 'position' not in task.hparams['options']


def test_an_evaluation_tells_that_dates_are_missing(runs: dict[str, Path]) -> None:
    path = str(runs['satmae_temporal'] / 'last.ckpt')
    bands = xscale.load(path).contract['bands']
    embedder = find_encoder(path, bands=bands, dtype='uint16')
    assert UNDATED in embedder.notes


@pytest.mark.parametrize('name', ['satmae_group', 'satmae_temporal'])
def test_it_is_fine_tuned(name: str, runs: dict[str, Path], tmp_path: Path) -> None:
    task = Classification(weights=str(runs[name] / 'last.ckpt'), num_classes=2, drop_path=0.0)
    bands = len(task.features.sensors[0].bands)
    image = 2000 * torch.rand(2, bands, 32, 32, generator=seeded())
    task.head.linear.weight.data.normal_(generator=seeded())
    task.criterion(task(image), torch.tensor([0, 1])).backward()
    trained = [n for n, p in task.named_parameters() if p.requires_grad]
    assert [n for n, p in task.named_parameters() if p.requires_grad and p.grad is None] == []
    assert ('embeds.swir.proj.weight' in trained) is (name == 'satmae_group')


def test_what_does_not_fit_is_said(folder: Path, tmp_path: Path) -> None:
    options = {'bands': BANDS, 'groups': GROUPS, **DECODER}
    given = {'model': 'test_vit', 'objective': 'SatMAEGroup', 'options': options}
    with pytest.raises(ConfigError, match='in_channels is 3; set in_channels: 6'):
        Pretraining(**given)
    with pytest.raises(ConfigError, match='images of the same bands'):
        Pretraining(**given, in_channels=6, groups={'a': 6, 'b': 1})
    dates = {'model': 'test_vit', 'objective': 'SatMAETemporal', 'options': DECODER}
    with pytest.raises(ConfigError, match=r'takes the groups of bands a, b;.* several dates'):
        Pretraining(**dates, groups={'a': 3, 'b': 3})
    with pytest.raises(ConfigError, match=r'visible: B2, .* name other groups in the options'):
        Pretraining(**given | {'options': {'bands': ['red', 'green', 'blue'], **DECODER}})
    with pytest.raises(ConfigError, match=r"group 'a\.b': a name without a dot"):
        Pretraining(**given | {'options': {'groups': {'a.b': ['red']}, **DECODER}})
    config = tmp_path / 'x.yaml'
    config.write_text(yaml.safe_dump(recipe('satmae_group', bands=BANDS[::-1], groups=GROUPS)))
    args = ['fit', '-c', str(config), '-c', 'datasets/folder.yaml', '--data.paths', str(folder)]
    args += ['--data.bands', '[B2,B3,B4,B8,B11,B12]', '--model.model', 'test_vit']
    args += ['--model.in_channels', '6', '--trainer.logger', 'false']
    assert main(args) == 2


def test_a_batch_of_other_dates_than_asked_for() -> None:
    task = Pretraining(
        model='test_vit', objective='SatMAETemporal', options={**DECODER, 'frames': 2}, size=32
    )
    batch = {'image': torch.rand(2, 3, 32, 32), 'gsd': torch.ones(2)}
    with pytest.raises(ConfigError, match=r'holds 1 images of each place .* takes 2'):
        task.make_views(batch, seeded())
    batch['image'] = torch.rand(2, 2, 3, 32, 32)
    view = task.make_views(batch, seeded())[0]
    assert view.image.shape == (4, 3, 32, 32)
    assert view.gsd.shape == (4,)
    single = Pretraining(model='test_vit', objective='MAE', options=DECODER, size=32)
    with pytest.raises(ConfigError, match=r'holds 2 images of each place .* takes 1'):
        single.make_views(batch, seeded())


def test_dates_of_a_place_are_cut_alike() -> None:
    options = {**DECODER, 'frames': 3}
    task = Pretraining(
        model='test_vit', objective='SatMAETemporal', options=options, size=32, scale=(0.2, 0.6)
    )
    image = torch.rand(2, 1, 3, 64, 64, generator=seeded()).expand(-1, 3, -1, -1, -1)
    view = task.make_views({'image': image, 'gsd': torch.ones(2)}, seeded())[0]
    each = view.image.unflatten(0, (2, 3))
    assert torch.equal(each[:, 0], each[:, 1])
    assert torch.equal(each[:, 0], each[:, 2])
    assert not torch.equal(each[0], each[1])
    assert view.gsd[:3].unique().numel() == 1


@pytest.mark.parametrize(
    ('bands', 'group', 'gsd', 'expected'),
    [
        (('B02', 'B03', 'B04', 'B08'), 'B2-B3-B4-B8', 10.0, [2, 1, 0]),
        (('B11', 'B8A', 'B04', 'B03', 'B02'), 'B11-B8A-B4-B3-B2', 20.0, [2, 3, 4]),
        (('B2', 'B3', 'B4'), 'blue-green-red', 30.0, [2, 1, 0]),
        (('R', 'G', 'B', 'N'), '4_bands', 1.0, [0, 1, 2]),
        (('B11', 'B12'), 'B11-B12', 20.0, [0, 0, 0]),
    ],
)
def test_true_colours(bands: tuple[str, ...], group: str, gsd: float, expected: list[int]) -> None:
    numbers = (0.0,) * len(bands)
    assert shown_bands(Sensor('x', bands, numbers, numbers, group), gsd) == expected
