"""A run of LocalMIM on a Swin, from GeoTIFFs to what is measured and trained on it."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from lightning.pytorch import Trainer
from torchgeo.main import main as torchgeo_main
from torchgeo.tasks import Classification as TorchGeoClassification
from torchgeo.tasks.utils import extract_backbone

import xscale
from xscale.cli import main
from xscale.errors import ConfigError
from xscale.recipes import pretraining_recipe
from xscale.tasks import Classification, Pretraining, Segmentation, load_predictor

from ..data.labelled.data import write_photos
from ..tiny import SWIN, name_swin
from .runs import go_on, interrupt, losses, start
from .scenes import OurScenes

NAME = 'swin_tests_patch4_window4_128'
TERMS = [f'train_local_{k}' for k in range(4)]


@pytest.fixture(scope='module', autouse=True)
def small() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        name_swin(NAME, SWIN, monkeypatch)
        yield


def pretrain(world: Path, run: Path, *flags: str) -> int:
    own = ('--objective', 'local_mim_swin', '--model', NAME, '--size', '64', '--save-every', '3')
    return start(world, run, *own, '--max-steps', '3', *flags)


@pytest.fixture(scope='module')
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photos(tmp_path_factory.mktemp('photos'))


@pytest.fixture(scope='module')
def run(world: Path, photos: Path, small: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of three steps, measured on photos."""
    out = tmp_path_factory.mktemp('runs') / 'run'
    assert pretrain(world, out, '--knn', str(photos)) == 0
    return out


def test_leaves_a_whole_run(run: Path) -> None:
    assert (run / 'pictures' / 'step_000003.png').stat().st_size > 10_000
    for term in TERMS:
        assert len(losses(run, term)) == 3, term
    assert len(losses(run, 'feature_std')) > 0
    encoder = xscale.load(run / 'last.ckpt')
    image = 255 * torch.rand(2, 3, 96, 64)
    tokens, pooled = encoder(image, 1.0, sensor='naip R,G,B uint8')
    assert (tokens.shape, pooled.shape) == ((2, 6, 128), (2, 128))
    assert encoder.poolings == ('mean',)
    # What TorchGeo reads of a checkpoint is timm's model, bit for bit, though it cannot put it
    # into a Swin.
    name, state = extract_backbone(str(run / 'last.ckpt'))
    assert name == NAME
    assert state.keys() == encoder.model.state_dict().keys()
    for key, tensor in encoder.model.state_dict().items():
        assert torch.equal(state[key], tensor), key
    with pytest.raises(AttributeError, match='out_features'):
        TorchGeoClassification(model=NAME, weights=str(run / 'last.ckpt'), num_classes=2)


def test_another_run_begins_with_it(run: Path) -> None:
    task = Pretraining(model=NAME, objective='LocalMIMSwin', weights=str(run / 'last.ckpt'))
    assert task.initial
    assert (task.initial.missing, task.initial.unused) == ({}, ())
    assert not task.initial.learned_positions


def test_goes_on_to_the_bit(
    world: Path,
    run: Path,
    tmp_path: Path,
    at: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    at(1, interrupt)
    assert pretrain(world, tmp_path / 'other') == 130
    assert len(losses(tmp_path / 'other')) == 2
    assert go_on(tmp_path / 'other') == 0
    assert 'for xscale.load and xscale.tasks\n' in capsys.readouterr().out
    assert losses(tmp_path / 'other') == losses(run)


def test_both_command_lines(run: Path, tmp_path: Path) -> None:
    """The configuration of a run is one for ``xscale fit`` and ``torchgeo fit``."""
    config = yaml.safe_load((run / 'config.yaml').read_text())
    assert config['model']['init_args']['options']['norm_pix'] is True
    config['trainer']['callbacks'] = []
    for number, command in enumerate((main, torchgeo_main)):
        out = tmp_path / str(number)
        for logger in config['trainer']['logger']:
            logger['init_args']['save_dir'] = str(out)
        path = tmp_path / f'{number}.yaml'
        path.write_text(yaml.safe_dump(config))
        command(['fit', '--config', str(path)])
        assert losses(out) == losses(run)


def test_is_measured(run: Path, photos: Path, tmp_path: Path) -> None:
    """By every protocol beside its random weights, and by neighbours while it is trained."""
    assert [step for step, _ in losses(run, 'val_knn')] == [2]
    out = tmp_path / 'out'
    quick = ('--bootstrap', '20', '--seeds', '1', '--labels', '100', '--scales', '25,100')
    sensor = ('--sensor', 'naip R,G,B uint8')
    args = ['evaluate', str(run / 'last.ckpt'), str(photos), '--out', str(out), *quick, *sensor]
    assert main(args) == 0
    models = json.loads((out / 'results.json').read_text())['models']
    assert set(models) == {'run', 'random:run', 'image-stats'}
    assert set(models['run']['poolings']) == {'mean'}
    assert {'knn', 'linear', 'robustness'} <= set(models['run']['poolings']['mean'])


@pytest.mark.parametrize('train', ['full', 'frozen'])
@pytest.mark.parametrize('kind', [Classification, Segmentation])
def test_stands_under_a_task(run: Path, tmp_path: Path, kind: Any, train: str) -> None:
    sensor = {'weights': str(run / 'last.ckpt'), 'sensor': 'naip R,G,B uint8', 'train': train}
    own = {'decoder': 'linear'} if kind is Segmentation else {}
    task = kind(num_classes=2, **sensor, **own)
    trainer = Trainer(
        max_epochs=1,
        default_root_dir=tmp_path,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        accelerator='cpu',
    )
    trainer.fit(task, OurScenes())
    trainer.save_checkpoint(tmp_path / 'task.ckpt')
    predictor = load_predictor(tmp_path / 'task.ckpt')
    image, gsd = torch.full((2, 3, 64, 64), 100.0), torch.ones(2)
    valid = torch.ones(2, 1, 64, 64).bool()
    made = task.eval().head(task.features, image, gsd, valid)
    torch.testing.assert_close(predictor(image, 1.0), made)
    # DistributedDataParallel stops at a parameter without a gradient.
    made.sum().backward()
    assert all(p.grad is not None for p in task.parameters() if p.requires_grad)


def test_what_it_cannot_do(run: Path) -> None:
    weights: dict[str, Any] = {'weights': str(run / 'last.ckpt'), 'sensor': 'naip R,G,B uint8'}
    with pytest.raises(ConfigError, match="choose decoder 'linear', or a plain"):
        Segmentation(num_classes=2, decoder='dpt', **weights)
    with pytest.raises(ConfigError, match="no class token; use pooling='mean'"):
        Classification(num_classes=2, pooling='class', **weights)
    with pytest.raises(ConfigError, match='a Swin, such as'):
        Pretraining(model=NAME, objective='MAE')
    with pytest.raises(ConfigError, match='size 100 is no multiple of the patch, 32 px'):
        Pretraining(model=NAME, objective='LocalMIMSwin', size=100)
    with pytest.raises(ConfigError, match="leave position 'gsd' out"):
        Pretraining(model=NAME, objective='LocalMIMSwin', options={'position': 'gsd'})


def test_recipe_by_name() -> None:
    for name in ('LocalMIMSwin', 'local_mim_swin'):
        assert pretraining_recipe(name).name == 'local_mim_swin.yaml'
