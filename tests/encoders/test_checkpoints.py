"""Checkpoints, released files and controls as encoders to compare."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import xscale
from xscale.encoders import find_encoder
from xscale.errors import CheckpointError, ConfigError, InputSizeError, XScaleError
from xscale.models.checkpoint import CONTRACT, load
from xscale.models.vit import create_encoder

from ..models.test_convert import Maker
from ..tiny import seeded

RGB = ('red', 'green', 'blue')
AERIAL = {'name': 'aerial', 'bands': list(RGB), 'mean': [100.0] * 3, 'std': [50.0] * 3}
SENTINEL = {'name': 's2', 'bands': ['B04', 'B03', 'B02'], 'mean': [1000.0] * 3, 'std': [600.0] * 3}


def content(*sensors: dict[str, Any], seed: int = 0, **options: Any) -> dict[str, Any]:
    torch.manual_seed(seed)
    model = create_encoder('test_vit', 3)
    return {
        'state_dict': {f'model.{key}': tensor for key, tensor in model.state_dict().items()},
        'hyper_parameters': {'model': 'test_vit', 'in_channels': 3, 'options': options},
        CONTRACT: {'sensors': list(sensors or [AERIAL]), 'size': 64, 'gsd': [1.0, 10.0]},
    }


@pytest.fixture
def ckpt(tmp_path: Path) -> Path:
    folder = tmp_path / 'mae'
    folder.mkdir()
    torch.save(content(), folder / 'last.ckpt')
    return folder / 'last.ckpt'


def pixels(side: int = 32, batch: int = 2) -> Tensor:
    return 100 + 50 * torch.randn(batch, 3, side, side, generator=seeded())


def gsd(batch: int = 2, value: float = 1.0) -> Tensor:
    return torch.full((batch,), value)


def test_checkpoint_of_ours(ckpt: Path) -> None:
    """One pass says what the encoder says, pooled in both ways; bands may come in any order."""
    embedder = xscale.find_encoder(str(ckpt), bands=RGB[::-1], dtype='uint8')
    image = pixels()
    tokens, pooled = embedder(image, gsd())
    assert embedder.fit_data([100.0] * 3, [50.0] * 3) == []
    for pooling in ('mean', 'class'):
        expected = load(ckpt, pooling=pooling)(image.flip(1), 1.0)
        torch.testing.assert_close(pooled[pooling], expected.pooled)
        torch.testing.assert_close(tokens, expected.tokens)
    assert list(pooled) == list(embedder.poolings) == ['mean', 'class']
    assert (embedder.name, embedder.kind, embedder.uses_gsd) == ('mae', 'checkpoint', False)
    assert embedder.notes == ['of the bands blue, green, red it sees red, green, blue']
    assert not any(weight.requires_grad for weight in embedder.parameters())
    assert not embedder.training


def test_sides(ckpt: Path) -> None:
    embedder = find_encoder(str(ckpt), bands=RGB, dtype='uint8')
    sides = [embedder.input_side(side, False) for side in (1, 16, 19, 25, 150)]
    assert sides == [16, 16, 16, 32, 144]
    assert embedder.any_size
    assert embedder.input_side(150, True) == 64
    with pytest.raises(InputSizeError):
        embedder(pixels(30), gsd())


def test_pooling_that_was_trained_comes_first(ckpt: Path) -> None:
    held = content()
    held[CONTRACT]['pooling'] = 'class'
    torch.save(held, ckpt)
    assert find_encoder(str(ckpt), bands=RGB, dtype='uint8').poolings == ('class', 'mean')


def test_gsd(ckpt: Path) -> None:
    """Needed where it counts, and not to be guessed; where it does not count it may lack."""
    unknown = torch.tensor([1.0, float('nan')])
    plain = find_encoder(str(ckpt), bands=RGB, dtype='uint8')
    torch.testing.assert_close(plain(pixels(), unknown), plain(pixels(), gsd()))
    torch.save(content(position='gsd'), ckpt)
    scaled = find_encoder(str(ckpt), bands=RGB, dtype='uint8')
    assert scaled.uses_gsd
    one, other = (scaled(pixels(), gsd(value=value)).pooled['mean'] for value in (1.0, 3.0))
    assert not torch.allclose(one, other, atol=1e-3)
    with pytest.raises(ConfigError, match='mae needs metres per pixel, and of 1 of 2 images'):
        scaled(pixels(), unknown)
    assert scaled.fingerprint != plain.fingerprint


def test_missing_pixels(ckpt: Path) -> None:
    embedder = find_encoder(str(ckpt), bands=RGB, dtype='float32')
    image, valid = pixels(), torch.ones(2, 1, 32, 32, dtype=torch.bool)
    valid[..., :12] = False
    marked = embedder(image.where(valid, 777.0), gsd(), valid)
    torch.testing.assert_close(embedder(image.where(valid, float('nan')), gsd()), marked)
    assert not torch.allclose(embedder(image, gsd()).pooled['mean'], marked.pooled['mean'])


def test_sensor_by_values(ckpt: Path) -> None:
    torch.save(content(AERIAL, SENTINEL), ckpt)
    embedder = find_encoder(str(ckpt), bands=RGB, dtype='uint16')
    with pytest.raises(ConfigError, match="'aerial', 's2'; name one"):
        embedder(pixels(), gsd())
    before = embedder.fingerprint
    assert embedder.fit_data([1100.0] * 3, [500.0] * 3) == []
    assert embedder.fingerprint != before
    image = 10 * pixels()
    expected = load(ckpt)(image, 1.0, sensor='s2').pooled
    torch.testing.assert_close(embedder(image, gsd()).pooled['mean'], expected)
    named = find_encoder(str(ckpt), bands=RGB, dtype='uint16', sensor='aerial')
    (warning,) = named.fit_data([1100.0] * 3, [500.0] * 3)
    assert 'cannot be in the units of aerial' in warning


def test_fingerprint(ckpt: Path) -> None:
    """The same file says the same; one weight, one mean or other bands say another."""

    def found(held: dict[str, Any], bands: tuple[str, ...] = RGB) -> str:
        torch.save(held, ckpt)
        return find_encoder(str(ckpt), bands=bands, dtype='uint8').fingerprint

    first = found(content())
    assert first == found(content())
    changed = content()
    changed['state_dict']['model.blocks.1.mlp.fc1.bias'][3] += 1e-6
    others = [
        found(changed),
        found(content(AERIAL | {'mean': [101.0, 100.0, 100.0]})),
        found(content(normalize_encoder=False)),
        found(content(), RGB[::-1]),
    ]
    assert len({first, *others}) == 5


def test_wrong_bands(ckpt: Path) -> None:
    with pytest.raises(ConfigError, match=r'bands VV, VH; .* trained on red, green, blue'):
        find_encoder(str(ckpt), bands=('VV', 'VH'), dtype='float32')
    embedder = find_encoder(str(ckpt), bands=RGB, dtype='uint8')
    with pytest.raises(ConfigError, match='4 bands came, 3 are needed'):
        embedder(torch.zeros(1, 4, 32, 32), gsd(1))


def test_released_file(tmp_path: Path) -> None:
    """Converted in memory: as its own model says of values of 0..1, from bytes."""
    file = tmp_path / 'mae_tiny.pth'
    torch.save({'model': Maker().mae(full=False)}, file)
    embedder = find_encoder(str(file), bands=RGB, dtype='uint8')
    assert embedder.notes == ['values are divided by 255, for it was trained on 0..1']
    assert embedder.own_size == 224
    import timm

    model = timm.create_model('vit_tiny_patch16_224', num_classes=0).eval()
    model.load_state_dict(Maker().mae(full=False))
    mean, std = (
        torch.tensor(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    image = 255 * torch.rand(1, 3, 224, 224, generator=seeded(1))
    expected = model.forward_features((image / 255 - mean) / std)
    pooled = embedder(image, gsd(1)).pooled
    torch.testing.assert_close(pooled['class'], expected[:, 0], rtol=1e-4, atol=2e-5)
    torch.testing.assert_close(pooled['mean'], expected[:, 1:].mean(1), rtol=1e-4, atol=2e-5)
    assert list(tmp_path.iterdir()) == [file]


def test_image_statistics() -> None:
    embedder = find_encoder('image-stats', bands=('a', 'b'), dtype='uint8')
    image = torch.rand(2, 2, 5, 5, generator=seeded()) * 100
    valid = torch.rand(2, 1, 5, 5, generator=seeded(1)) > 0.4
    tokens, pooled = embedder(image.where(valid, -9999.0), gsd(), valid)
    assert tokens is None
    for i in range(2):
        seen = image[i][:, valid[i, 0]]
        expected = torch.cat([seen.mean(1), seen.std(1, correction=0)])
        torch.testing.assert_close(pooled['mean'][i], expected)
    empty = embedder(image, gsd(), torch.zeros_like(valid)).pooled['mean']
    assert torch.equal(empty, torch.zeros(2, 4))
    assert embedder.input_side(37, True) == embedder.input_side(37, False) == 37


def test_random() -> None:
    """The same weights each time, whatever the global seed, which is left alone."""
    torch.manual_seed(1)
    one = find_encoder('random:test_vit', bands=('a', 'b'), dtype='uint16')
    after = torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(1), after)
    torch.manual_seed(2)
    two = find_encoder('random:test_vit', bands=('a', 'b'), dtype='uint16')
    image = torch.rand(2, 2, 32, 32, generator=seeded())
    with pytest.raises(ConfigError, match='fit_data'):
        one(image, gsd())
    for each in (one, two):
        each.fit_data([0.5, 0.4], [0.3, 0.2])
    assert one.fingerprint == two.fingerprint
    torch.testing.assert_close(one(image, gsd()), two(image, gsd()), rtol=0, atol=0)
    # Other units with their own statistics are the same images.
    two.fit_data([500.0, 400.0], [300.0, 200.0])
    torch.testing.assert_close(two(1000 * image, gsd()), one(image, gsd()), rtol=1e-4, atol=1e-5)
    assert one.fingerprint != two.fingerprint
    with pytest.raises(ConfigError, match='1 means and 2 deviations'):
        one.fit_data([0.5], [0.3, 0.2])


def test_random_weights_of_a_checkpoint(ckpt: Path) -> None:
    held = content(position='gsd', seed=5)
    held[CONTRACT]['footprints'] = torch.tensor([[10.0, 40.0, 11.0, 41.0]])
    torch.save(held, ckpt)
    trained, drawn = (
        find_encoder(f'{prefix}{ckpt}', bands=RGB, dtype='uint8') for prefix in ('', 'random:')
    )
    assert (drawn.name, drawn.kind, drawn.uses_gsd) == ('random:mae', 'random', True)
    assert drawn.own_size == trained.own_size
    # Random weights have seen no ground.
    assert 'footprints' in trained.contract
    assert 'footprints' not in drawn.contract
    assert drawn.fingerprint != trained.fingerprint
    assert drawn.fit_data([0.4] * 3, [0.2] * 3) == trained.fit_data([0.4] * 3, [0.2] * 3) != []
    mean = [each(pixels(), gsd()).pooled['mean'] for each in (drawn, trained)]
    assert not torch.allclose(*mean, atol=0.1)


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('vit_smal_patch16_224', "'vit_smal_patch16_224' is no encoder: .*near.* vit_small_patch"),
        ('timm:vit_smal_patch16_224', 'near it are: vit_small_patch16_224'),
        ('random:vit_smal_patch16_224', 'near it are: random:vit_small_patch16_224'),
        ('runs/none/last.ckpt', r'no such file \(looked from (.|\n)*image-stats'),
        ('torchgeo:scalemae_larg_patch16', 'scalemae_large_patch16'),
        ('random:resnet18', 'resnet18 is not a plain vision transformer'),
    ],
)
def test_unknown(name: str, message: str) -> None:
    with pytest.raises(XScaleError, match=message):
        find_encoder(name, bands=RGB, dtype='uint8')


def test_a_folder(ckpt: Path) -> None:
    with pytest.raises(CheckpointError, match=r'mae is a folder; name a checkpoint in it'):
        find_encoder(str(ckpt.parent), bands=RGB, dtype='uint8')


def test_a_probe_can_be_trained_on_features(ckpt: Path) -> None:
    embedder = find_encoder(str(ckpt), bands=RGB, dtype='uint8')
    features = embedder(pixels(), gsd()).pooled['mean']
    assert not features.requires_grad
    torch.nn.Linear(64, 2)(features).sum().backward()


def test_no_bands() -> None:
    with pytest.raises(ConfigError, match='name no bands'):
        find_encoder('image-stats', bands=(), dtype='uint8')
