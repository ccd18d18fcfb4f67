"""Checkpoints of LocalMIM become ours, or are refused, through the command line."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from timm.models import _registry, vision_transformer
from torch import Tensor
from torchgeo.tasks import Classification

import xscale
from xscale.cli import main
from xscale.models.released import build
from xscale.models.released.family import State
from xscale.tasks import Pretraining

from ..reference import Case
from .converted import IMAGENET, put, refused, run, without

NAME = 'vit_reference_patch16_64'


@pytest.fixture
def case(monkeypatch: pytest.MonkeyPatch) -> Case:
    """The reference, whose small encoder is made known to timm and to us."""
    case = Case('local_mim')
    c = case.config
    sizes = {
        'img_size': c['img_size'],
        'patch_size': c['patch_size'],
        'embed_dim': c['embed_dim'],
        'depth': c['depth'],
        'num_heads': c['num_heads'],
    }

    def create(**options: Any) -> vision_transformer.VisionTransformer:
        taken = {'in_chans', 'num_classes', 'drop_path_rate'} & options.keys()
        return vision_transformer.VisionTransformer(**sizes | {k: options[k] for k in taken})

    create.__module__ = vision_transformer.__name__
    monkeypatch.setitem(_registry._model_entrypoints, NAME, create)
    size = c['embed_dim'], c['depth'], c['patch_size']
    monkeypatch.setitem(build.ENCODERS, size, NAME)
    return case


@torch.inference_mode()
def test_features(case: Case, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The encoder says what the released one says of whole images."""
    code, out = run(tmp_path, case.state)
    assert code == 0
    said = capsys.readouterr().out
    assert f'local_mim (timm layout), {NAME}, 64 px' in said
    assert f'mapped:  {12 * 7 + 5} tensors of the encoder' in said
    assert f'mapped:  {3 * 2 + 4 * 17 + 8 + 4 + 2 + 2} tensors of the local' in said
    assert 'dropped: hog_enc.3.conv.weight (the Sobel kernels, which are fixed)' in said
    assert 'missing' not in said
    mean, std = (torch.tensor(values)[:, None, None] for values in IMAGENET)
    encoder = xscale.load(out, pooling='class')
    tokens, first = encoder(case['input.imgs'] * std + mean, 1.0)
    case.check('encoder_unmasked_tap3', torch.cat([first[:, None], tokens], dim=1))


def test_goes_on(case: Case, tmp_path: Path) -> None:
    """As a checkpoint of ours: for TorchGeo, bit for bit, and to be trained on."""
    biases = {f'hog_enc.{k}.conv.bias': torch.tensor([0.1 * k, -1.0]) for k in range(4)}
    code, out = run(tmp_path, case.state | biases)
    assert code == 0
    theirs = Classification(model=NAME, weights=str(out), num_classes=2).model.state_dict()
    for name, tensor in xscale.load(out).model.state_dict().items():
        assert torch.equal(theirs[name], tensor), name
    assert torch.equal(theirs['norm.weight'], case.state['norm.3.weight'])
    content = torch.load(out, weights_only=True)
    options = content['hyper_parameters']['options']
    assert options == {'bins': 9, 'dim': 32, 'depth': 1, 'hog_bias': True}
    task = Pretraining(
        model=NAME, objective='LocalMIM', options=options, weights=str(out), size=64, gsd=1.0
    )
    assert task.initial
    assert (task.initial.missing, task.initial.unused) == ({}, ())
    assert torch.equal(task.objective.local.targets.hog_bias, torch.stack(list(biases.values())))


REFUSED: dict[str, tuple[Callable[[State], None], str]] = {
    'other kernels': (put('hog_enc.2.conv.weight', 2, 1, 3, 3), r'hog_enc\.2.*not the Sobel pair'),
    'unknown tensor': (put('norm.4.weight', 32), r'norm\.4\.weight \(32,\) is not known'),
    'learned positions': (put('pos_embed', 1, 17, 32), 'learned its positions'),
    'missing block': (without(r'blocks\.6\.'), '32 channels, 6 blocks'),
    'missing tensor': (without(r'blocks\.2\.mlp\.fc1\.bias'), r'blocks\.2\.mlp\.fc1\.bias'),
    'wrong decoder': (put('decoder.1.embed.weight', 16, 32), r'decoders\.1\.embed\.weight'),
}


@pytest.mark.parametrize('change', REFUSED)
def test_refused(
    case: Case, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: str
) -> None:
    refused(case.state, *REFUSED[change], tmp_path, capsys)


class Hostile:
    """Runs code when it is unpickled the usual way."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[Callable[[], None], tuple[()]]:
        return partial(self.witness.touch), ()


def test_nothing_is_executed(
    case: Case, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    witness = tmp_path / 'witness'
    state: dict[str, Tensor | Hostile] = dict(case.state)
    file = tmp_path / 'hostile.pth'
    torch.save({'model': state | {'norm.3.extra': Hostile(witness)}}, file)
    assert main(['convert', str(file), '--out', str(tmp_path / 'ours.ckpt')]) == 2
    assert 'may run code' in capsys.readouterr().err
    assert not witness.exists()
    assert timm.is_model(NAME)
