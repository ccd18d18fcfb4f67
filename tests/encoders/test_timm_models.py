"""timm's models with weights from a file, fed as timm says."""

from functools import partial
from pathlib import Path

import pytest
import timm
import torch
from torch import Tensor, nn

from xscale.encoders import find_encoder
from xscale.encoders.base import Embedder
from xscale.errors import CheckpointError, ConfigError, InputSizeError, UnknownNameError

from ..tiny import seeded

RGB = ('red', 'green', 'blue')


def drawn(name: str) -> nn.Module:
    """Build a model whose weights come from a seed."""
    torch.manual_seed(3)
    return timm.create_model(name, num_classes=0).eval()


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let timm find the weights of its models in files, without a network."""
    create = timm.create_model

    def from_file(name: str, **options: object) -> nn.Module:
        file = tmp_path / f'{name}.pth'
        if not file.exists():
            torch.manual_seed(3)
            torch.save(create(name, num_classes=0).state_dict(), file)
        return create(name, pretrained_cfg_overlay={'file': str(file)}, **options)

    monkeypatch.setattr(timm, 'create_model', from_file)


def load(name: str, dtype: str = 'uint8', bands: tuple[str, ...] = RGB) -> Embedder:
    return find_encoder(name, bands=bands, dtype=dtype)


def image(side: int) -> Tensor:
    return torch.rand(2, 3, side, side, generator=seeded())


def standard(x: Tensor, name: str) -> Tensor:
    config = timm.get_pretrained_cfg(name)
    mean, std = (torch.tensor(values)[:, None, None] for values in (config.mean, config.std))
    return (x - mean) / std


GSD = torch.full((2,), float('nan'))


@pytest.mark.usefixtures('weights')
@torch.inference_mode()
def test_transformer() -> None:
    """Tokens and class token are timm's own; bytes are divided by 255."""
    embedder, x = load('timm:test_vit'), image(160)
    tokens, pooled = embedder(255 * x, GSD)
    expected = drawn('test_vit').forward_features(standard(x, 'test_vit'))
    torch.testing.assert_close(tokens, expected[:, 1:], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(pooled['class'], expected[:, 0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(pooled['mean'], expected[:, 1:].mean(1), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(load('test_vit', 'float32')(x, GSD).tokens, tokens)
    assert (embedder.name, embedder.kind, embedder.uses_gsd) == ('timm:test_vit', 'timm', False)
    assert embedder.poolings == ('class', 'mean')
    assert embedder.notes == ['values are divided by 255, for it was trained on 0..1']
    assert embedder.fit_data([120.0] * 3, [50.0] * 3) == []
    assert len(load('test_vit', 'float32').fit_data([120.0] * 3, [50.0] * 3)) == 1


@pytest.mark.usefixtures('weights')
def test_transformer_of_any_size() -> None:
    embedder = load('test_vit')
    assert embedder.any_size
    assert [embedder.input_side(s, False) for s in (5, 100, 160)] == [16, 96, 160]
    assert embedder.input_side(100, True) == 160
    assert embedder(image(96), GSD).tokens.shape == (2, 36, 64)
    with pytest.raises(InputSizeError, match='patches of 16 px'):
        embedder(image(90), GSD)


@pytest.mark.usefixtures('weights')
@torch.inference_mode()
@pytest.mark.parametrize('name', ['test_resnet', 'test_convnext'])
def test_convolutions(name: str) -> None:
    """The places of the last map are the tokens."""
    embedder, x = load(name, 'float32'), image(70)
    maps = drawn(name).forward_features(standard(x, name))
    tokens, pooled = embedder(x, GSD)
    torch.testing.assert_close(tokens, maps.flatten(2).mT, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(pooled['mean'], maps.mean((2, 3)), rtol=1e-4, atol=1e-5)
    assert embedder.poolings == ('mean',)
    assert [embedder.input_side(s, False) for s in (5, 70, 151)] == [32, 70, 151]
    embedder(image(32), GSD)
    with pytest.raises(ConfigError, match='no side below 32 px, and 20×20 px came'):
        embedder(image(20), GSD)


@pytest.mark.usefixtures('weights')
@torch.inference_mode()
def test_channels_last() -> None:
    name = 'swin_tiny_patch4_window7_224'
    embedder, x = load(name, 'float32'), image(224)[:1]
    maps = drawn(name).forward_features(standard(x, name))
    tokens, pooled = embedder(x, GSD[:1])
    torch.testing.assert_close(tokens, maps.flatten(1, 2), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(pooled['mean'], maps.mean((1, 2)), rtol=1e-4, atol=1e-4)
    assert embedder.input_side(100, False) == 96
    assert embedder(image(96)[:1], GSD[:1]).tokens.shape == (1, 9, 768)


@pytest.mark.usefixtures('weights')
def test_fixed_size() -> None:
    embedder = load('resmlp_12_224')
    assert not embedder.any_size
    assert embedder.input_side(100, False) == 224
    assert embedder(image(224), GSD).tokens.shape == (2, 196, 384)
    with pytest.raises(ConfigError, match='takes images of 224×224 px alone, and 192×192 px came'):
        embedder(image(192), GSD)


@pytest.mark.usefixtures('weights')
def test_missing_pixels() -> None:
    """What a pixel without data holds does not matter, and its tokens do not count."""
    embedder, x = load('test_resnet', 'float32'), image(64)
    valid = torch.ones(2, 1, 64, 64, dtype=torch.bool)
    valid[..., 32:] = False
    tokens, pooled = embedder(x.where(valid, 1e6), GSD, valid)
    torch.testing.assert_close(embedder(x.where(valid, float('nan')), GSD), (tokens, pooled))
    grid = tokens.unflatten(1, (2, 2))
    torch.testing.assert_close(pooled['mean'], grid[:, :, 0].mean(1))
    nothing = embedder(x, GSD, torch.zeros_like(valid)).pooled['mean']
    assert torch.equal(nothing, torch.zeros_like(nothing))


@pytest.mark.usefixtures('weights')
def test_bands_and_names() -> None:
    assert (
        load('test_vit', bands=('nir', 'blue', 'green', 'red'))
        .notes[0]
        .endswith('it sees red, green, blue')
    )
    with pytest.raises(ConfigError, match=r'bands VV, VH; .* red, green, blue'):
        load('test_vit', bands=('VV', 'VH'))
    with pytest.raises(UnknownNameError, match=r'test_vit\.other.*r160_in1k'):
        load('timm:test_vit.other')
    # Known to timm, which has no weights for it.
    with pytest.raises(CheckpointError, match='random:mixer_s32_224 takes random'):
        load('mixer_s32_224')
    assert load('test_vit').fingerprint != load('test_vit', 'float32').fingerprint
    assert load('test_vit').fingerprint == load('test_vit').fingerprint


@pytest.mark.parametrize('error', [OSError('no route to host.'), RuntimeError('bad hash')])
def test_no_network(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(_: Exception, *args: object, **options: object) -> nn.Module:
        raise error

    monkeypatch.setattr(timm, 'create_model', partial(fail, error))
    message = 'weights of timm:test_vit could not be loaded: .*where there is a network'
    with pytest.raises(CheckpointError, match=message):
        load('test_vit')
