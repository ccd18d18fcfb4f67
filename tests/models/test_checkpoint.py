"""A checkpoint of ours as a module, and files that are refused."""

import contextlib
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

import xscale
from xscale.errors import (
    CheckpointError,
    ConfigError,
    InputSizeError,
    MissingPathError,
    UnknownNameError,
    XScaleError,
)
from xscale.models.checkpoint import CONTRACT, Encoder, load
from xscale.models.convert import read_checkpoint
from xscale.models.vit import create_encoder

from ..tiny import encoder, seeded

FINE = {'name': 'fine', 'bands': ['red', 'nir'], 'mean': [100.0, 60.0], 'std': [20.0, 10.0]}
COARSE = {'name': 'coarse', 'bands': ['red', 'nir'], 'mean': [0.3, 0.4], 'std': [0.1, 0.2]}


def content(*sensors: dict[str, Any], **options: Any) -> dict[str, Any]:
    torch.manual_seed(0)
    model = create_encoder('test_vit', 2, block=options.get('block', 'pre_norm'))
    return {
        'state_dict': {f'model.{key}': tensor for key, tensor in model.state_dict().items()}
        | {'objective.decoder.mask_token': torch.zeros(1, 1, 8)},
        'hyper_parameters': {'model': 'test_vit', 'in_channels': 2, 'options': options or None},
        CONTRACT: {'sensors': list(sensors or [FINE]), 'size': 64, 'gsd': [1.0, 10.0]},
    }


def saved(folder: Path, held: Any) -> Path:
    torch.save(held, folder / 'a.ckpt')
    return folder / 'a.ckpt'


def bands(sensor: dict[str, Any] = FINE, *size: int) -> torch.Tensor:
    """Draw values in a sensor's own units."""
    mean, std = (torch.tensor(sensor[key])[:, None, None] for key in ('mean', 'std'))
    return torch.randn(3, 2, *(size or (32, 48)), generator=seeded()) * std + mean


@torch.inference_mode()
def test_load(tmp_path: Path) -> None:
    held = content()
    encoder = xscale.load(saved(tmp_path, held))
    assert not encoder.training
    assert encoder.contract == held[CONTRACT]
    tokens, pooled = encoder(bands(), 2.0)
    assert tokens.shape == (3, 6, 64)
    torch.testing.assert_close(pooled, tokens.mean(1))
    each = encoder(bands(), torch.full((3,), 2.0))
    assert torch.equal(each.tokens, tokens)
    with pytest.raises(InputSizeError):
        encoder(bands(FINE, 30, 32), 2.0)
    with pytest.raises(ConfigError, match='3 bands came, 2 are needed: red, nir'):
        encoder(torch.zeros(1, 3, 32, 32), 2.0)
    with pytest.raises(ConfigError, match='this encoder takes one image of each place'):
        encoder(torch.zeros(1, 2, 2, 32, 32), 2.0)


@torch.inference_mode()
def test_it_normalises_by_itself(tmp_path: Path) -> None:
    """timm's own model on normalised pixels, at its own size, says the same."""
    held = content()
    loaded = load(saved(tmp_path, held), pooling='class')
    image = bands(FINE, 160, 160)
    mean, std = (torch.tensor(FINE[key])[:, None, None] for key in ('mean', 'std'))
    expected = create_encoder('test_vit', 2).eval()
    expected.load_state_dict({k[6:]: v for k, v in held['state_dict'].items() if k[:6] == 'model.'})
    features = expected.forward_features((image - mean) / std)
    tokens, pooled = loaded(image, 1.0)
    torch.testing.assert_close(tokens, features[:, 1:], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(pooled, features[:, 0], rtol=1e-4, atol=1e-5)
    # The same scene in the units of another sensor.
    other = Encoder(expected, {'sensors': [FINE, COARSE]})
    mean, std = (torch.tensor(COARSE[key])[:, None, None] for key in ('mean', 'std'))
    again = other(bands(COARSE, 160, 160), 1.0, sensor='coarse').tokens
    torch.testing.assert_close(again, tokens, rtol=1e-3, atol=1e-4)


@torch.inference_mode()
def test_several_sensors_need_naming(tmp_path: Path) -> None:
    loaded = load(saved(tmp_path, content(FINE, COARSE)))
    with pytest.raises(ConfigError, match="sensor='fine', or 'coarse'"):
        loaded(bands(), 1.0)
    with pytest.raises(UnknownNameError, match='other'):
        loaded(bands(), 1.0, sensor='other')
    by_name = [loaded(bands(), 1.0, sensor=name).pooled for name in ('fine', 'coarse')]
    assert not torch.allclose(*by_name, atol=1e-3)
    assert torch.equal(by_name[1], loaded(bands(), 1.0, sensor=1).pooled)
    mixed = loaded(bands(), 1.0, sensor=torch.tensor([0, 1, 0])).pooled
    torch.testing.assert_close(mixed[1], by_name[1][1])
    torch.testing.assert_close(mixed[2], by_name[0][2])


@torch.inference_mode()
def test_missing_pixels(tmp_path: Path) -> None:
    """Not finite in any band, or marked: the pixel becomes the mean, whatever it holds."""
    loaded = load(saved(tmp_path, content()))
    image, valid = bands(), torch.ones(3, 1, 32, 48, dtype=torch.bool)
    valid[:, :, 4:20, 7:30] = False
    mean = torch.tensor(FINE['mean'])[:, None, None]
    expected = loaded(image.where(valid, mean), 1.0).tokens
    assert not torch.allclose(expected, loaded(image, 1.0).tokens, atol=1e-3)
    for value in (float('nan'), float('inf')):
        broken = image.clone()
        broken[:, 1:] = broken[:, 1:].where(valid, value)
        for marks in (None, torch.ones_like(valid)):
            torch.testing.assert_close(loaded(broken, 1.0, valid=marks).tokens, expected)
    marked = loaded(image.where(valid, -9999.0), 1.0, valid=valid)
    torch.testing.assert_close(marked.tokens, expected)


@torch.inference_mode()
def test_options_of_the_training_are_kept(tmp_path: Path) -> None:
    """Ground sample distance counts where it did in training, and only there."""
    plain = load(saved(tmp_path, content()))
    assert torch.equal(plain(bands(), 1.0).tokens, plain(bands(), 3.0).tokens)
    scaled = load(saved(tmp_path, content(position='gsd', normalize_encoder=False)))
    fine, coarse = (scaled(bands(), gsd).tokens for gsd in (1.0, 3.0))
    assert not torch.allclose(fine, coarse, atol=1e-2)
    # Not normalised: the mean over channels is not zero.
    assert plain(bands(), 1.0).tokens.mean(-1).abs().max() < 1e-5
    assert fine.mean(-1).abs().max() > 1e-3
    post = load(saved(tmp_path, content(block='post_norm')))
    assert type(post.model.blocks[0]).__name__ == 'PostNormBlock'


def test_pooling(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match='pooling'):
        load(saved(tmp_path, content()), pooling='max')
    headless = encoder(class_token=False, global_pool='avg', reg_tokens=1, in_chans=2)
    with pytest.raises(ConfigError, match='no class token'):
        Encoder(headless, {'sensors': [FINE]}, pooling='class')


class Hostile:
    """Unpickled with trust, it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f'mkdir {self.folder}',)


@pytest.mark.parametrize('form', ['zip', 'legacy', 'pickle'])
def test_hostile(tmp_path: Path, form: str) -> None:
    file, proof = tmp_path / 'a.ckpt', tmp_path / 'proof'
    held = content() | {'extra': Hostile(proof)}
    if form == 'pickle':
        file.write_bytes(pickle.dumps(held['extra'], protocol=2))
    else:
        torch.save(held, file, _use_new_zipfile_serialization=form == 'zip')
    with pytest.raises(CheckpointError, match='may run code'):
        load(file)
    assert not proof.exists()


@pytest.mark.parametrize('legacy', [False, True])
def test_damaged(tmp_path: Path, legacy: bool) -> None:
    """Cut short or with bytes turned over: an error of ours, or tensors; never a traceback."""
    file = saved(tmp_path, {'model': {'a': torch.randn(40)}})
    if legacy:
        torch.save(torch.load(file), file, _use_new_zipfile_serialization=False)
    whole, draw = file.read_bytes(), seeded()
    for cut in range(0, len(whole), 37):
        file.write_bytes(whole[:cut])
        with pytest.raises(CheckpointError):
            read_checkpoint(file)
    for _ in range(60):
        bent = bytearray(whole)
        for place in torch.randint(len(whole), (4,), generator=draw).tolist():
            bent[place] ^= 0xFF
        file.write_bytes(bent)
        with contextlib.suppress(XScaleError):
            read_checkpoint(file)


@pytest.mark.parametrize(
    'data',
    [
        b'',
        b'epoch,loss\n1,2\n',
        b'version https://git-lfs.github.com/spec/v1\n',
        b'II*\0' + bytes(99),
        b'.',
    ],
    ids=['empty', 'text', 'lfs', 'tiff', 'dot'],
)
def test_no_checkpoint(tmp_path: Path, data: bytes) -> None:
    (tmp_path / 'a.ckpt').write_bytes(data)
    with pytest.raises(CheckpointError, match=r'a\.ckpt'):
        load(tmp_path / 'a.ckpt')


def test_not_ours(tmp_path: Path) -> None:
    with pytest.raises(MissingPathError, match='nowhere'):
        load(tmp_path / 'nowhere.ckpt')
    with pytest.raises(CheckpointError, match='xscale convert'):
        load(saved(tmp_path, {'model': {'cls_token': torch.zeros(1, 1, 8)}}))
    with pytest.raises(CheckpointError, match='holds a list'):
        load(saved(tmp_path, [torch.zeros(3)]))


def test_incomplete(tmp_path: Path) -> None:
    held = content()
    del held['state_dict']['model.blocks.3.mlp.fc1.weight']
    with pytest.raises(
        CheckpointError, match=r'does not fill test_vit: (.|\n)*blocks\.3\.mlp\.fc1'
    ):
        load(saved(tmp_path, held))
