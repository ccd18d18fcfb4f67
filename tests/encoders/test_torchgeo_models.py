"""TorchGeo's models with weights from a seed, fed as their weights say."""

from functools import partial
from typing import Any

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torchgeo.models import get_model, get_model_weights, list_models, resnet18, scale_mae, swin_t
from torchvision.models._api import WeightsEnum

from xscale.encoders import find_encoder
from xscale.encoders.base import Embedder
from xscale.encoders.torchgeo_models import USABLE, weight_sensor
from xscale.errors import CheckpointError, ConfigError, UnknownNameError

from ..tiny import seeded

RGB = ('red', 'green', 'blue')
S2 = ('B01', 'B02', 'B03', 'B04', 'B05', 'B06', 'B07', 'B08', 'B8A', 'B09', 'B10', 'B11', 'B12')
GSD = torch.full((2,), float('nan'))


def drawn(weight: Any, **options: Any) -> dict[str, Tensor]:
    """Draw the state of weights, without their classifier as they come."""
    torch.manual_seed(4)
    model = get_model(weight.meta['model'], in_chans=weight.meta['in_chans'])
    return {k: v for k, v in model.state_dict().items() if not k.startswith(('head.', 'fc.'))}


@pytest.fixture
def weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw weights where TorchGeo would download them."""
    monkeypatch.setattr(WeightsEnum, 'get_state_dict', drawn)


def load(name: str, bands: tuple[str, ...], dtype: str = 'uint16') -> Embedder:
    return find_encoder(f'torchgeo:{name}', bands=bands, dtype=dtype)


@pytest.mark.usefixtures('weights')
@torch.inference_mode()
def test_resnet() -> None:
    """As TorchGeo's own model and transforms say, but for the size."""
    embedder = load('resnet18.SENTINEL2_ALL_MOCO', S2)
    weight = get_model_weights('resnet18')['SENTINEL2_ALL_MOCO']
    image = 3000 * torch.rand(2, 13, 224, 224, generator=seeded())
    model = resnet18(weight).eval()
    expected = model.forward_features(weight.transforms[-1](image.clone()))
    tokens, pooled = embedder(image, GSD)
    torch.testing.assert_close(tokens, expected.flatten(2).mT, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(pooled['mean'], expected.mean((2, 3)), rtol=1e-4, atol=1e-5)
    assert embedder.name == 'torchgeo:resnet18.SENTINEL2_ALL_MOCO'
    assert (embedder.kind, embedder.uses_gsd, embedder.any_size) == ('torchgeo', False, True)
    assert embedder.fit_data([1000.0] * 13, [500.0] * 13) == []
    (warning,) = embedder.fit_data([0.1] * 13, [0.05] * 13)
    assert 'values of 0..1' in warning
    again = load('resnet18.SENTINEL2_ALL_MOCO', S2)
    assert again.fingerprint == embedder.fingerprint


@pytest.mark.usefixtures('weights')
@torch.inference_mode()
def test_transformer() -> None:
    embedder = load('vit_small_patch16_224.SENTINEL2_ALL_MOCO', S2)
    image = 3000 * torch.rand(1, 13, 224, 224, generator=seeded())
    weight = get_model_weights('vit_small_patch16_224')['SENTINEL2_ALL_MOCO']
    model = get_model('vit_small_patch16_224', weights=weight).eval()
    expected = model.forward_features(image / 10000)
    tokens, pooled = embedder(image, GSD[:1])
    torch.testing.assert_close(tokens, expected[:, 1:], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(pooled['class'], expected[:, 0], rtol=1e-4, atol=1e-5)
    assert embedder.poolings == ('class', 'mean')
    assert embedder.input_side(64, False) == 64
    assert embedder(image[..., :64, :64], GSD[:1]).tokens.shape == (1, 16, 384)


@pytest.mark.usefixtures('weights')
@torch.inference_mode()
def test_swin(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    state = {k: v for k, v in swin_t().state_dict().items() if not k.startswith('head.')}
    monkeypatch.setattr(WeightsEnum, 'get_state_dict', lambda *_, **__: {'state_dict': state})
    embedder = load('swin_t', RGB, 'float32')
    (weight,) = get_model_weights('swin_t')
    model = swin_t(weight).eval()
    image = torch.rand(1, 3, 64, 64, generator=seeded())
    sensor = weight_sensor(weight)
    mean, std = (torch.tensor(values)[:, None, None] for values in (sensor.mean, sensor.std))
    maps = model.norm(model.features((image - mean) / std))
    tokens, pooled = embedder(image, GSD[:1])
    torch.testing.assert_close(tokens, maps.flatten(1, 2), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(pooled['mean'], maps.mean((1, 2)), rtol=1e-4, atol=1e-4)


@pytest.fixture
def small_scale_mae(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Scale-MAE be narrow and shallow."""
    init = VisionTransformer.__init__

    def small(self: VisionTransformer, *args: Any, **options: Any) -> None:
        init(self, *args, **options | {'embed_dim': 32, 'depth': 2, 'num_heads': 2})

    def state(*_: Any, **__: Any) -> dict[str, Tensor]:
        torch.manual_seed(5)
        model = scale_mae.scalemae_large_patch16()
        skipped = ('head.', 'pos_embed')
        return {k: v for k, v in model.state_dict().items() if not k.startswith(skipped)}

    monkeypatch.setattr(VisionTransformer, '__init__', small)
    monkeypatch.setattr(WeightsEnum, 'get_state_dict', state)


@pytest.mark.usefixtures('small_scale_mae')
@torch.inference_mode()
def test_scale_mae() -> None:
    """Each image with its own metres per pixel, as TorchGeo's model with that res."""
    embedder = load('scalemae_large_patch16', RGB, 'uint8')
    image, gsd = 255 * torch.rand(3, 3, 224, 224, generator=seeded()), torch.tensor([0.3, 1, 10.0])
    tokens, pooled = embedder(image, gsd)
    weight = next(iter(get_model_weights('scalemae_large_patch16')))
    for i, res in enumerate(gsd.tolist()):
        model = scale_mae.scalemae_large_patch16(weight, res=res).eval()
        expected = model.forward_features(weight.transforms(image[i : i + 1].clone()))
        torch.testing.assert_close(tokens[i], expected[0, 1:], rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(pooled['class'][i], expected[0, 0], rtol=1e-3, atol=1e-4)
    assert embedder.uses_gsd
    assert embedder.poolings == ('class', 'mean')
    assert embedder(image[..., :96, :96], gsd).tokens.shape[1] == 36
    assert embedder.fingerprint == load('scalemae_large_patch16', RGB, 'uint8').fingerprint
    with pytest.raises(ConfigError, match='needs metres per pixel'):
        embedder(image[:2], GSD)


@pytest.mark.usefixtures('weights')
@pytest.mark.parametrize(
    ('name', 'bands', 'dtype', 'chosen'),
    [
        ('resnet50', RGB, 'uint8', 'FMOW_RGB_GASSL'),
        ('resnet50', RGB, 'uint16', 'SENTINEL2_RGB_MOCO'),
        ('resnet50', S2, 'uint16', 'SENTINEL2_ALL_CLOSP'),
        ('vit_small_patch16_224', ('VV', 'VH'), 'float32', 'SENTINEL1_GRD'),
    ],
)
def test_weights_by_bands(name: str, bands: tuple[str, ...], dtype: str, chosen: str) -> None:
    embedder = load(name, bands, dtype)
    assert embedder.name.startswith(f'torchgeo:{name}.{chosen}')
    assert any('first of the weights' in note for note in embedder.notes)


def test_weights_of_every_usable_model_are_understood() -> None:
    """Their transforms become one normalisation, the same as applying them."""
    count = 0
    for name in list_models():
        if not name.startswith(USABLE) or name == 'resnet152':
            continue
        for weight in get_model_weights(name):
            sensor, count = weight_sensor(weight), count + 1
            image = 100 * torch.rand(1, len(sensor.bands), 8, 8, generator=seeded())
            mean, std = (torch.tensor(v)[:, None, None] for v in (sensor.mean, sensor.std))
            whole = weight.transforms
            steps = list(whole) if isinstance(whole, nn.Sequential) else [whole]
            values = nn.Sequential(*(one for one in steps if type(one).__name__ == 'Normalize'))
            expected = values(image.clone())
            torch.testing.assert_close((image - mean) / std, expected, rtol=1e-4, atol=1e-3)
    assert count > 50


@pytest.mark.usefixtures('weights')
def test_refused() -> None:
    with pytest.raises(UnknownNameError, match='SENTINEL2_RGB_MOCO'):
        load('resnet50.SENTINEL2_MOCO', RGB)
    with pytest.raises(ConfigError, match='dofa_base_patch16_224 needs more than an image'):
        load('dofa_base_patch16_224', RGB)
    with pytest.raises(ConfigError, match=r'no weights for the bands red; it has .*B4, B3, B2'):
        load('resnet50', ('red',))
    with pytest.raises(ConfigError, match=r'bands red, green, blue; .* trained on VV, VH'):
        load('resnet50.SENTINEL1_ALL_MOCO', RGB)


def test_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(error: Exception, *args: Any, **options: Any) -> None:
        raise error

    monkeypatch.setattr(WeightsEnum, 'get_state_dict', partial(fail, OSError('no route')))
    message = r'weights of torchgeo:resnet18\.SENTINEL2_RGB_MOCO could not be loaded: no route'
    with pytest.raises(CheckpointError, match=message):
        load('resnet18.SENTINEL2_RGB_MOCO', RGB)
