"""A released file of Scale-MAE, or what could pass for one, through the command line."""

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from lightning.pytorch import Trainer
from timm.models import vision_transformer
from torch import Tensor

import xscale
from xscale.cli import main
from xscale.encoders.checkpoints import CheckpointEmbedder
from xscale.models.convert import State
from xscale.models.released.build import ENCODERS
from xscale.tasks import Classification
from xscale.tasks.initial import load_initial
from xscale.tasks.pretraining import Pretraining

from ..reference import Case
from ..tasks.scenes import OurScenes
from .test_convert import BLOCK, DECODER, DIM, IMAGENET, Maker, run

WIDTH = 16


def head(maker: Maker, name: str) -> State:
    half, quarter = WIDTH // 2, WIDTH // 4
    state = maker.linear(f'{name}.proj', WIDTH, DECODER, 1, 1)
    for i in range(2):
        block = f'{name}.conv_blocks.{i}'
        state |= maker.linear(f'{block}.convs.1', half, 2, 3, 3)
        state |= maker.linear(f'{block}.convs.3', WIDTH, half, 1, 1)
        state |= maker.linear(f'{block}.residual', WIDTH, WIDTH, 1, 1)
    state |= maker.norm(f'{name}.pred.0.ln', WIDTH)
    state |= {f'{name}.pred.1.weight': maker.draw(WIDTH, half, 4, 4)}
    state |= {f'{name}.pred.1.bias': maker.draw(half)}
    state |= maker.linear(f'{name}.pred.3', quarter, 2, 3, 3)
    state |= maker.linear(f'{name}.pred.5', half, quarter, 1, 1)
    state |= {f'{name}.pred.7.weight': maker.draw(half, 3, 2, 2)}
    return state | {f'{name}.pred.7.bias': maker.draw(3)}


def scale_mae() -> State:
    """Make random tensors under the released names."""
    maker = Maker()
    state = maker.mae()
    del state['decoder_pred.weight'], state['decoder_pred.bias']
    for name in ('fpn1.0', 'fpn1.3', 'fpn2.0'):
        state |= maker.linear(f'fpn.{name}', DECODER, DECODER, 2, 2)
    state |= maker.norm('fpn.fpn1.1.ln', DECODER)
    state |= head(maker, 'fcn_high') | head(maker, 'fcn_low')
    state |= {'mask_token_decoder': maker.draw(1, 1, DECODER)}
    return state | {'decoder_pos_embed': torch.zeros(1, 197, DECODER)}


def released(state: State, **more: Any) -> dict[str, Any]:
    args = argparse.Namespace(model='mae_vit_tiny', band_config=[7, 56], norm_pix_loss=True)
    return {'model': state, 'optimizer': {}, 'epoch': 799, 'args': args} | more


def test_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = run(tmp_path, released(scale_mae()))
    assert code == 0
    report = capsys.readouterr().out
    assert 'scale_mae (timm layout), vit_tiny_patch16_224, 224 px' in report
    assert f'{len(BLOCK) * 12 + 5} tensors of the encoder' in report
    assert f'{len(BLOCK) + 5} tensors of the decoder' in report
    for part, count in (('upsampling', 8), ('high', 24), ('low', 24)):
        assert f'mapped:  {count} tensors of the {part}' in report
    assert 'dropped: pos_embed (a table that is not read: positions come from the GSD)' in report
    assert 'dropped: mask_token_decoder (a mask token that is not read)' in report
    assert 'missing' not in report
    content = torch.load(out, weights_only=True)
    assert content['hyper_parameters']['objective'] == 'ScaleMAE'
    task = Pretraining(**content['hyper_parameters'])
    task.load_state_dict(content['state_dict'])


@torch.inference_mode()
def test_features_are_those_of_the_reference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reference state, written as such a file: the class token, at each image's own GSD."""
    case = Case('scale_mae')
    c = case.config

    def vit_reference(pretrained: bool = False, **options: Any) -> Any:
        names = ('img_size', 'patch_size', 'embed_dim', 'depth', 'num_heads')
        sizes = {name: c[name] for name in names}
        create = vision_transformer._create_vision_transformer
        return create('test_vit', pretrained=pretrained, **sizes | options)

    vit_reference.__module__ = vision_transformer.__name__
    entrypoints = timm.models._registry._model_entrypoints
    monkeypatch.setitem(entrypoints, 'vit_reference', vit_reference)
    size = c['embed_dim'], c['depth'], c['patch_size']
    monkeypatch.setitem(ENCODERS, size, 'vit_reference')
    code, out = run(tmp_path, released(case.state))
    assert code == 0
    mean, std = (torch.tensor(values)[:, None, None] for values in IMAGENET)
    encoder = xscale.load(out)
    assert (encoder.position, encoder.pooling) == ('gsd', 'class')
    tokens, pooled = encoder(case['input.imgs'] * std + mean, case['input.input_res'])
    case.check('knn_feats', pooled)
    case.check('encoder_unmasked', torch.cat([pooled[:, None], tokens], dim=1))


def test_evaluates_fine_tunes_and_starts_a_pretraining(tmp_path: Path) -> None:
    """The released file itself goes where a checkpoint of ours does."""
    file = tmp_path / 'scalemae.pth'
    torch.save(released(scale_mae()), file)
    embedder = xscale.find_encoder(str(file), bands=('red', 'green', 'blue'), dtype='uint8')
    assert isinstance(embedder, CheckpointEmbedder)
    assert embedder.poolings == ('class', 'mean')
    assert embedder.uses_gsd
    image = 255 * torch.rand(2, 3, 64, 64)
    fine, coarse = (embedder(image, torch.full((2,), gsd)).pooled['class'] for gsd in (1.0, 10.0))
    assert fine.shape == (2, DIM)
    assert not torch.allclose(fine, coarse, atol=1e-2)

    task = Classification(weights=str(file), num_classes=2, warmup=0, dtype='uint8')
    quiet: dict[str, Any] = {
        'logger': False,
        'enable_checkpointing': False,
        'enable_progress_bar': False,
        'enable_model_summary': False,
    }
    trainer = Trainer(max_steps=1, accelerator='cpu', default_root_dir=tmp_path, **quiet)
    trainer.fit(task, datamodule=OurScenes())
    assert task.features.position == 'gsd'

    options = {'decoder_dim': DECODER, 'decoder_depth': 1, 'head_dim': WIDTH}
    model = Pretraining(model='vit_tiny_patch16_224', objective='ScaleMAE', options=options)
    initial = load_initial(model.objective, str(file))
    assert not initial.missing
    assert not initial.unused


class Hostile:
    """Unpickled with trust, it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f'mkdir {self.folder}',)


def test_hostile(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An argparse.Namespace is read; what hides in one is not."""
    proof = tmp_path / 'proof'
    content = released(scale_mae())
    content['args'].hook = Hostile(proof)
    code, out = run(tmp_path, content)
    assert code == 2
    assert 'may run code' in capsys.readouterr().err
    assert not out.exists()
    assert not proof.exists()


REFUSED: dict[str, tuple[Callable[[State], Any], str]] = {
    'another tensor': (lambda s: s.update(surprise=torch.zeros(3)), 'surprise'),
    'another layer': (
        lambda s: s.update({'fcn_high.pred.9.weight': torch.zeros(3)}),
        r'high.grow.9.weight is (3,) and nothing is expected',
    ),
    'a head that lacks bands': (
        lambda s: s.update({'fcn_low.pred.7.weight': torch.zeros(8, 2, 2, 2)}),
        'low.out.weight',
    ),
    'no square grid': (
        lambda s: s.update(pos_embed=torch.zeros(1, 196, DIM)),
        'pos_embed (1, 196, 192) is no table of a square grid',
    ),
    'no table': (lambda s: s.update(pos_embed=torch.zeros(197)), 'pos_embed (197,)'),
    'more bands': (
        lambda s: s.update({'patch_embed.proj.weight': torch.zeros(DIM, 4, 16, 16)}),
        'takes 4 bands',
    ),
}


@pytest.mark.parametrize('case', REFUSED)
def test_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], case: str) -> None:
    change, message = REFUSED[case]
    state: dict[str, Tensor] = scale_mae()
    change(state)
    code, out = run(tmp_path, released(state))
    assert code == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ''
    assert not out.exists()


def test_an_encoder_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without its decoder it is still known by its second mask token."""
    state = {
        key: value
        for key, value in scale_mae().items()
        if not key.startswith(('decoder_', 'fpn.', 'fcn_')) and key != 'mask_token'
    }
    code, out = run(tmp_path, released(state))
    assert code == 0
    assert 'missing' in capsys.readouterr().out
    assert xscale.load(out).position == 'gsd'


def test_converts_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = run(tmp_path, released(scale_mae()))
    assert code == 0
    assert main(['convert', str(out), '--out', str(tmp_path / 'again.ckpt')]) == 2
    assert 'a checkpoint of xscale already' in capsys.readouterr().err
