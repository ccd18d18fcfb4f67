"""SatMAE's files become ours and say the same, through the command line and our tasks."""

import argparse
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torchgeo.tasks import Classification as TorchGeoClassification

import xscale
from xscale.cli import main
from xscale.comparison import attended
from xscale.errors import CheckpointError, ConfigError
from xscale.models.band_groups import BandGroups
from xscale.models.frames import Frames
from xscale.models.released import build
from xscale.models.released.satmae import BANDS, MEAN, STD
from xscale.tasks import Classification
from xscale.tasks.starting import use_sensor

from ..reference import Case

NAMES = {'satmae_group_channel_independent': 'vit_satmae_groups', 'satmae_temporal': 'vit_dates'}

type Convert = Callable[..., tuple[Case, Path]]

#: What a file holds besides its tensors.
REST: dict[str, Any] = {
    'optimizer': {'state': {}},
    'epoch': 199,
    'scaler': None,
    'args': argparse.Namespace(model='mae_vit_base_patch16', lr=1e-4),
}


def known_to_timm(case: Case) -> None:
    """Let timm know the reference's model by a name, as it does the published ones."""
    c = case.config
    size = {'img_size': c['img_size'], 'patch_size': c['patch_size'], 'depth': c['depth']}
    size |= {'embed_dim': c['embed_dim'], 'num_heads': c['num_heads'], 'mlp_ratio': c['mlp_ratio']}

    def create(pretrained: bool = False, **options: Any) -> VisionTransformer:
        own = {k: v for k, v in options.items() if k in ('in_chans', 'num_classes')}
        return VisionTransformer(norm_layer=partial(nn.LayerNorm, eps=1e-6), **size | own)

    create.__name__, create.__module__ = NAMES[case.about['case']], VisionTransformer.__module__
    timm.models.register_model(create)


@pytest.fixture
def converted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Convert:
    """Write the state of a case as the released code does, and convert it."""

    def convert(name: str, without: tuple[str, ...] = ()) -> tuple[Case, Path]:
        case = Case(name)
        if not timm.is_model(NAMES[name]):
            known_to_timm(case)
        size = case.config['embed_dim'], case.config['depth'], case.config['patch_size']
        monkeypatch.setitem(build.ENCODERS, size, NAMES[name])
        state = {k: v for k, v in case.state.items() if not k.startswith(without)}
        torch.save({'model': state, **REST}, tmp_path / 'released.pth')
        out = tmp_path / 'ours.ckpt'
        assert main(['convert', str(tmp_path / 'released.pth'), '--out', str(out)]) == 0
        return case, out

    return convert


def raw(image: Tensor) -> Tensor:
    """Return reflectance that the encoder normalises to these values."""
    low, width = (torch.tensor(v)[:, None, None] for v in (MEAN, STD))
    return image * 4 * width + low - 2 * width


def test_groups(converted: Convert, capsys: pytest.CaptureFixture[str]) -> None:
    case, path = converted('satmae_group_channel_independent')
    said = capsys.readouterr().out
    assert 'satmae_group' in said
    assert 'load it with xscale.load' in said
    assert 'dropped: channel_embed' in said
    assert 'missing' not in said
    encoder = xscale.load(path)
    assert encoder.sensors[0].bands == BANDS
    assert isinstance(encoder.layout, BandGroups)
    expected = case['expected.encoder_unmasked']
    with torch.no_grad():
        image = raw(case['input.imgs'])
        tokens, pooled = encoder(image, 10.0)
        first = xscale.load(path, pooling='class')(image, 10.0).pooled
    by_group = expected[:, 1:].unflatten(1, (3, -1))
    torch.testing.assert_close(tokens, by_group.mean(1), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(pooled, expected[:, 1:].mean(1), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(first, expected[:, 0], atol=1e-4, rtol=1e-4)
    # As it is compared with others, whether the file was converted or not.
    for file in (path, path.with_name('released.pth')):
        embedder = xscale.find_encoder(str(file), bands=BANDS, dtype='uint16')
        features = embedder(image, torch.full((2,), 10.0)).pooled['mean']
        torch.testing.assert_close(features, pooled, atol=1e-4, rtol=1e-4)
    with pytest.raises(ConfigError, match='groups of bands'):
        attended(embedder, (image, torch.full((2,), 10.0), torch.ones(2, 1, 32, 32).bool()))
    control = xscale.find_encoder(f'random:{path}', bands=BANDS, dtype='uint16')
    assert not torch.allclose(control(image, torch.full((2,), 10.0)).pooled['mean'], pooled)


def test_groups_are_not_loaded_as_timms(
    converted: Convert,
) -> None:
    """TorchGeo knows no groups: it finds no weights in the file, and says so."""
    _, path = converted('satmae_group_channel_independent')
    assert not [k for k in torch.load(path)['state_dict'] if k.startswith('model.')]
    with pytest.raises(KeyError, match='patch_embed'):
        TorchGeoClassification(
            model='vit_satmae_groups', weights=str(path), in_channels=4, num_classes=2
        )


def test_groups_are_fine_tuned(converted: Convert, tmp_path: Path) -> None:
    case, path = converted('satmae_group_channel_independent')
    task = Classification(weights=str(path), num_classes=2, drop_path=0.0)
    image = raw(case['input.imgs'])
    batch = {'image': image, 'label': torch.tensor([0, 1]), 'gsd': torch.full((2,), 10.0)}
    task.head.linear.weight.data.normal_()
    task.criterion(task(batch['image']), batch['label']).backward()
    lacking = [n for n, p in task.named_parameters() if p.requires_grad and p.grad is None]
    assert lacking == []
    # A second task is what a checkpoint of the first says.
    again = Classification(**{k: v for k, v in task.hparams.items() if not k.startswith('_')})
    again.load_state_dict(task.state_dict())
    use_sensor(again.features, task.features.sensors[0])
    torch.testing.assert_close(again.eval()(image), task.eval()(image))


def test_dates(converted: Convert) -> None:
    """Its encoder takes any number of dates; fMoW's statistics are of red, green and blue."""
    case, path = converted('satmae_temporal', ('decoder_', 'mask_token'))
    encoder = xscale.load(path)
    assert isinstance(encoder.layout, Frames)
    assert (encoder.layout.frames, encoder.layout.dims[0]) == (3, 128)
    sensor = encoder.sensors[0]
    mean, std = (torch.tensor(v)[:, None, None] for v in (sensor.mean, sensor.std))
    image = case['input.imgs'] * std + mean
    year, month, hour = case['input.timestamps'].unbind(-1)
    stamps = [
        [
            f'{2002 + y:04}-{m + 1:02}-01T{h:02}'
            for y, m, h in zip(*(part[i].tolist() for part in (year, month, hour)), strict=True)
        ]
        for i in range(2)
    ]
    time = torch.from_numpy(np.array(stamps, 'M8[s]').astype(np.float64))
    expected = case['expected.encoder_unmasked'][:, 1:].unflatten(1, (3, -1))
    with torch.no_grad():
        tokens, _ = encoder(image, 1.0, time=time)
        single, _ = encoder(image[:, 0], 1.0, time=time[:, 0])
        undated, _ = encoder(image[:, 0], 1.0)
    torch.testing.assert_close(tokens, expected.mean(1), atol=1e-4, rtol=1e-4)
    assert single.shape == tokens.shape
    assert not torch.allclose(single, undated, atol=1e-3)


def _set(key: str, value: Any) -> Callable[[dict[str, Tensor]], None]:
    return lambda state: state.__setitem__(key, value)


REFUSED: dict[str, tuple[Callable[[dict[str, Tensor]], Any], str]] = {
    'learned codes': (
        lambda s: s.__setitem__('channel_embed', s['channel_embed'] + 1),
        'channel_embed .* is not the sin-cos code',
    ),
    'a class token with a place': (
        _set('channel_cls_embed', torch.ones(1, 1, 16)),
        'channel_cls_embed .* is not 0',
    ),
    'a fourth group': (_set('patch_embed.3.proj.weight', torch.zeros(64, 1, 8, 8)), 'not known'),
    'a group less': (lambda s: s.pop('patch_embed.2.proj.bias'), r'embeds\.swir\.proj\.bias'),
}


@pytest.mark.parametrize('name', REFUSED)
def test_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    case = Case('satmae_group_channel_independent')
    if not timm.is_model(NAMES['satmae_group_channel_independent']):
        known_to_timm(case)
    monkeypatch.setitem(build.ENCODERS, (64, 2, 8), NAMES['satmae_group_channel_independent'])
    change, message = REFUSED[name]
    change(state := case.state)
    torch.save({'model': state, **REST}, tmp_path / 'released.pth')
    out = tmp_path / 'ours.ckpt'
    assert main(['convert', str(tmp_path / 'released.pth'), '--out', str(out)]) == 2
    assert re.search(message, capsys.readouterr().err)
    assert not out.exists()


def test_a_file_that_would_run_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Hostile:
        def __reduce__(self) -> Any:
            return (tmp_path / 'ran').touch, ()

    state = {'patch_embed.0.proj.weight': torch.zeros(1, 1, 8, 8)}
    torch.save({'model': state, **REST, 'scaler': Hostile()}, tmp_path / 'x.pth')
    assert main(['convert', str(tmp_path / 'x.pth'), '--out', str(tmp_path / 'o.ckpt')]) == 2
    assert 'may run code' in capsys.readouterr().err
    assert not (tmp_path / 'ran').exists()
    with pytest.raises(CheckpointError):
        xscale.load(tmp_path / 'x.pth')
