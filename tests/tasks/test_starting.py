"""Encoders that downstream tasks start from."""

from pathlib import Path

import pytest
import timm
import torch
from torch import nn

import xscale
from xscale.errors import CheckpointError, MissingPathError
from xscale.models.checkpoint import CONTRACT
from xscale.models.groups import create_embeds
from xscale.models.vit import create_encoder
from xscale.tasks import Classification
from xscale.tasks.starting import start_encoder

from ..models.test_convert import Maker
from ..tiny import seeded
from .scenes import write_checkpoint


def test_released_file(tmp_path: Path) -> None:
    """Fed bytes, as its own model says of values of 0..1."""
    file = tmp_path / 'mae_tiny.pth'
    torch.save({'model': Maker().mae(full=False)}, file)
    task = Classification(weights=str(file), num_classes=2, train='linear')
    assert task.hparams['model'].startswith('vit_tiny')
    model = timm.create_model('vit_tiny_patch16_224', num_classes=0).eval()
    model.load_state_dict(Maker().mae(full=False))
    mean, std = (
        torch.tensor(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    image = torch.rand(1, 3, 224, 224, generator=seeded(1))
    with torch.no_grad():
        expected = model.forward_features((image - mean) / std)
        tokens, _ = task.features(image, 1.0)
    torch.testing.assert_close(tokens, expected[:, 1:], rtol=1e-4, atol=2e-5)


def test_timm_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their positions were learned, are resampled, and go on learning in full training."""
    create = timm.create_model

    def published(name: str, pretrained: bool = False, **options: object) -> nn.Module:
        torch.manual_seed(3)
        return create(name, **options)

    monkeypatch.setattr(timm, 'create_model', published)
    task = Classification(weights='test_vit', num_classes=2, drop_path=0.0).eval()
    assert task.model.pos_embed.requires_grad
    assert task.hparams['options']['position'] == 'table'
    assert task.features.pooling == 'class'
    image = torch.rand(2, 3, 160, 160, generator=seeded())
    sensor = task.features.sensors[0]
    mean, std = (torch.tensor(v)[:, None, None] for v in (sensor.mean, sensor.std))
    model = published('test_vit', num_classes=0).eval()
    with torch.no_grad():
        expected = model.forward_features((image - mean) / std)  # type: ignore[operator]
        tokens, pooled = task.features(image, 1.0)
        assert task.features(image[..., :96, :64], 1.0).tokens.shape == (2, 24, 64)
    torch.testing.assert_close(tokens, expected[:, 1:], rtol=1e-4, atol=2e-5)
    torch.testing.assert_close(pooled, expected[:, 0], rtol=1e-4, atol=2e-5)


def test_one_sensor_of_several_groups_of_bands(tmp_path: Path) -> None:
    """The patch embedding of its group becomes the encoder's own."""
    torch.manual_seed(0)
    model = create_encoder('test_vit', 3)
    embeds = create_embeds(model, {'radar': 2})
    rgb = {'name': 'rgb', 'bands': ['r', 'g', 'b'], 'mean': [0.0] * 3, 'std': [1.0] * 3}
    radar = {'name': 's1', 'bands': ['vv', 'vh'], 'mean': [-9.0] * 2, 'std': [4.0] * 2}
    state = {f'model.{key}': tensor for key, tensor in model.state_dict().items()}
    state |= {f'embeds.{key}': tensor for key, tensor in embeds.state_dict().items()}
    groups = {'optical': 3, 'radar': 2}
    path = tmp_path / 'two.ckpt'
    torch.save(
        {
            'state_dict': state,
            'hyper_parameters': {'model': 'test_vit', 'in_channels': 3, 'groups': groups},
            CONTRACT: {
                'sensors': [rgb | {'group': 'optical'}, radar | {'group': 'radar'}],
                'size': 64,
            },
        },
        path,
    )
    image = torch.randn(2, 2, 32, 32, generator=seeded())
    expected = xscale.load(path)(image, 1.0, sensor='s1').tokens
    single = start_encoder(str(path), sensor='s1').encoder.eval()
    torch.testing.assert_close(single(image, 1.0).tokens, expected)
    task = Classification(weights=str(path), sensor='s1', num_classes=2)
    assert task.hparams['in_channels'] == 2


def test_what_cannot_be_started_from(tmp_path: Path) -> None:
    with pytest.raises(MissingPathError):
        start_encoder('no/such.ckpt')
    path = write_checkpoint(tmp_path / 'x.ckpt')
    with pytest.raises(CheckpointError, match='holds test_vit and model is vit_base'):
        start_encoder(str(path), model='vit_base_patch16_224')
