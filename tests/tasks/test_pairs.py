"""Training on pairs of rasters with other bands each, from the command line to a checkpoint."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
import yaml
from rasterio.transform import from_origin
from torchgeo.tasks import Classification

import xscale
from xscale.cli import main
from xscale.datasets import Rasters
from xscale.errors import ConfigError
from xscale.tasks import Pretraining
from xscale.tasks.bands import number_groups
from xscale.tasks.initial import load_initial

from ..data.stack.data import write_raster
from ..tiny import DECODER
from .runs import go_on, interrupt, losses

FINE, COARSE = ('B02', 'B03', 'B04', 'B08'), ('B05', 'B06', 'B07', 'B8A', 'B11', 'B12')
SHORT = ('--batch-size', '4', '--precision', '32-true')


@pytest.fixture(scope='module')
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sentinel-2 at 10 and 20 m, and a place with a day of aerial images beside it."""
    folder = tmp_path_factory.mktemp('images')
    rng = np.random.default_rng(0)
    shots = {
        's2/T33UUP_20200223_10m.tif': (10, 320, FINE, np.uint16, 300_000),
        's2/T33UUP_20200223_20m.tif': (20, 160, COARSE, np.uint16, 300_000),
        'naip/m_3607717_sw_18_1_20160620.tif': (1, 320, ('R', 'G', 'B', 'N'), np.uint8, 310_000),
    }
    for name, (gsd, size, bands, dtype, left) in shots.items():
        pixels = rng.integers(1, 250, (len(bands), size, size)).astype(dtype)
        write_raster(
            folder / name, pixels, grid=from_origin(left, 5_300_000, gsd, gsd), names=bands
        )
    return folder


def pretrain(images: Path, run: Path, *flags: str) -> int:
    return main(['pretrain', str(images), *SHORT, '--out', str(run), *flags])


def test_trains_across_sensors_of_other_bands(
    images: Path, tmp_path: Path, recipe: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / 'run'
    assert pretrain(images, run, '--pairs', '--pair-share', '0.7', '--max-steps', '3') == 0
    text = capsys.readouterr().out
    assert '70% of the tiles are pairs of two rasters' in text
    assert '1 pairs, of 10 and 20 m' in text
    assert len(losses(run)) == 3
    rates = [float(rate) for _, rate in losses(run, 'pair_rate')]
    assert all(0 <= rate <= 1 for rate in rates)
    assert any(rates)
    groups = yaml.safe_load((run / 'config.yaml').read_text())['model']['init_args']['groups']
    assert sorted(groups.values()) == [4, 4, 6]

    encoder = xscale.load(run / 'last.ckpt')
    by_bands = {sensor.bands: sensor.name for sensor in encoder.sensors}
    assert set(by_bands) == {FINE, COARSE, ('R', 'G', 'B', 'N')}
    for bands, name in by_bands.items():
        image = torch.randint(1, 250, (2, len(bands), 64, 64)).float()
        tokens, pooled = encoder(image, 10.0, name)
        assert tokens.shape[:2] == (2, 16)
        assert pooled.isfinite().all()
    six = torch.randint(1, 250, (1, 6, 64, 64)).float()
    with pytest.raises(ConfigError, match='6 bands came'):
        encoder(six, 10.0, by_bands[FINE])

    state = torch.load(run / 'last.ckpt', weights_only=True)['state_dict']
    assert sum(key.startswith('embeds.') for key in state) == 4
    channels = next(iter(groups.values()))
    task = Classification(
        model='test_vit', weights=str(run / 'last.ckpt'), in_channels=channels, num_classes=3
    )
    own = task.model.state_dict()
    shared = {key[6:]: value for key, value in state.items() if key.startswith('model.')}
    assert len(shared) > 20
    for key, value in shared.items():
        assert torch.equal(own[key], value), key


def test_goes_on_with_the_same_pairs(
    images: Path, tmp_path: Path, recipe: Callable[..., None], at: Callable[..., None]
) -> None:
    flags = ('--pairs', '--max-steps', '5')
    assert pretrain(images, tmp_path / 'whole', *flags) == 0
    at(2, interrupt)
    run = tmp_path / 'run'
    assert pretrain(images, run, *flags) == 130
    assert go_on(run) == 0
    assert losses(run) == losses(tmp_path / 'whole')
    assert losses(run, 'pair_rate') == losses(tmp_path / 'whole', 'pair_rate')
    once, again = (xscale.load(path / 'last.ckpt') for path in (run, tmp_path / 'whole'))
    for one, other in zip(once.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)


def test_starts_from_a_checkpoint_with_its_groups(
    images: Path, tmp_path: Path, recipe: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = tmp_path / 'first', tmp_path / 'second'
    assert pretrain(images, first, '--pairs', '--max-steps', '1') == 0
    init = ('--init', str(first / 'last.ckpt'))
    assert pretrain(images, second, '--pairs', '--max-steps', '1', '--lr', '1e-30', *init) == 0
    assert 'tensors of the embeds' in capsys.readouterr().out
    before, after = (xscale.load(run / 'last.ckpt').embeds for run in (first, second))
    for one, other in zip(before.parameters(), after.parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_groups_keep_their_weights_in_another_order() -> None:
    first = Pretraining('test_vit', in_channels=3, groups={'rgb': 3, 'swir': 3}, options=DECODER)
    state = {'rgb': first.model.patch_embed, 'swir': first.embeds['swir']}
    heads = {'rgb': first.objective.decoder.pred, 'swir': first.objective.heads['swir']}
    checkpoint = {'state_dict': first.state_dict(), 'hyper_parameters': dict(first.hparams)}
    turned = {'swir': 3, 'rgb': 3}
    second = Pretraining('test_vit', in_channels=3, groups=turned, options=DECODER)
    with TemporaryDirectory() as folder:
        torch.save(checkpoint, f'{folder}/a.ckpt')
        load_initial(second.objective, f'{folder}/a.ckpt', list(turned))
    own = second.model.patch_embed, second.embeds['rgb']
    for one, name in zip(own, ('swir', 'rgb'), strict=True):
        assert torch.equal(one.proj.weight, state[name].proj.weight)
    for one, name in zip(
        (second.objective.decoder.pred, second.objective.heads['rgb']), turned, strict=True
    ):
        assert torch.equal(one.weight, heads[name].weight)


def test_the_groups_of_sensors_move_with_the_task(images: Path) -> None:
    """As to a GPU, which Lightning does after ``setup``."""
    task = Pretraining('test_vit', in_channels=4, groups={'a': 4, 'b': 6}, options=DECODER)
    task.group_of = torch.tensor([1, 0])
    assert 'group_of' in dict(task.named_buffers())
    assert 'group_of' not in task.state_dict()
    assert task.to('meta').group_of.device.type == 'meta'


def test_layers_have_bands_of_their_own(
    images: Path, tmp_path: Path, recipe: Callable[..., None]
) -> None:
    layers = ('--layer', str(images / 's2'), 'B2,B3,B4', '--layer', str(images / 'naip'), 'red,nir')
    command = ['pretrain', *layers, *SHORT, '--max-steps', '2', '--out', str(tmp_path / 'run')]
    assert main(command) == 0
    encoder = xscale.load(tmp_path / 'run/last.ckpt')
    names = [sensor.name for sensor in encoder.sensors]
    assert names == ['s2: sentinel-2 B02,B03,B04 uint16', 'naip: naip R,N uint8']
    assert encoder(torch.ones(1, 2, 32, 32), 1.0, names[1]).pooled.isfinite().all()


def test_the_recipe(images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It says which groups to set, and runs with them."""
    bands = {'fine': ['B2', 'B3'], 'coarse': ['B5', 'B6', 'B7']}
    layers = {name: {'paths': f'{images}/s2', 'bands': own} for name, own in bands.items()}
    args = ['fit', '-c', 'tasks/pretrain/cross_scale_mae.yaml', '-c', 'datasets/pairs.yaml']
    args += [f'--data.layers={layers}', '--data.pairs={view: 64}', '--data.tile_size=128']
    args += ['--data.batch_size=4', '--data.num_workers=0', '--model.model=test_vit']
    args += ['--model.size=64']
    args += ['--trainer.max_steps=1', '--trainer.logger=CSVLogger']
    args += [f'--trainer.logger.save_dir={tmp_path}', f'--model.options={DECODER}']
    assert main(args) == 2
    assert 'set groups: {B2-B3: 2, B5-B6-B7: 3}' in capsys.readouterr().err
    assert main([*args, '--model.in_channels=2', '--model.groups={B2-B3: 2, B5-B6-B7: 3}']) == 0
    assert '100% of the tiles are pairs of two rasters' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('flags', 'error'),
    [
        (('--max-days', '3'), '--max-days says how to pair; it goes with --pairs'),
        (('--pair-share', '0.5'), '--pair-share says how to pair'),
        (('--pairs', '--pair-share', '2'), 'from 0 to 1'),
        (('--pairs', '--bands', 'B2'), 'no two rasters show the same ground'),
        (('--layer', 'a', 'red'), 'give no other DIR'),
    ],
)
def test_wrong_flags(
    flags: tuple[str, ...],
    error: str,
    images: Path,
    tmp_path: Path,
    recipe: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert pretrain(images, tmp_path / 'run', *flags) == 2
    assert error in capsys.readouterr().err


def test_groups_the_model_does_not_have(images: Path) -> None:
    """As it happens with a configuration of other data."""
    sensors = Rasters(images, mixed=True).sensors
    names = ('blue-green-red-nir', 'rededge071-rededge075-rededge078-nir08-swir16-swir22')
    taken = {'red-green-blue-nir': 4, names[1]: 6, names[0]: 4, 'one more': 3}
    assert sorted(number_groups(sensors, taken)) == [0, 1, 2]
    with pytest.raises(ConfigError, match=r'takes \{any: 4\}; set groups: \{.*and in_channels: 4'):
        number_groups(sensors, {'': 4})
    with pytest.raises(ConfigError, match=r'takes \{red-green-blue-nir: 3, '):
        number_groups(sensors, taken | {'red-green-blue-nir': 3})
    with pytest.raises(ConfigError, match='first group of bands, a, has 3 and in_channels is 4'):
        Pretraining('test_vit', in_channels=4, groups={'a': 3, 'b': 1}, options=DECODER)


def test_a_sheet_of_pairs(images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ['--size', '32', '--tiles', '4', '--pairs']
    assert main(['scan', str(images), '--preview', str(tmp_path), *flags]) == 0
    assert f'pairs: {tmp_path / "pairs.png"}' in capsys.readouterr().out
    assert (tmp_path / 'pairs.png').stat().st_size > 20_000
    assert main(['scan', str(images), '--pairs']) == 2
    assert 'say where to: --preview DIR' in capsys.readouterr().err
