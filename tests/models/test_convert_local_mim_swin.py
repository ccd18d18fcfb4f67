"""LocalMIM's files of a Swin become ours, or are refused, through the command line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torchgeo.tasks.utils import extract_backbone

import xscale
from xscale.encoders import find_encoder
from xscale.models.masking import gather_tokens, masks_in_order
from xscale.models.released import local_mim_swin
from xscale.models.released.family import State
from xscale.models.swin import embed_cells, encode_stages
from xscale.models.tokens import patchify
from xscale.tasks import Pretraining

from ..reference import Case
from ..tiny import name_swin
from .converted import IMAGENET, put, refused, run, without

NAME = 'swin_reference_patch4_window7_224'


@pytest.fixture
def case(monkeypatch: pytest.MonkeyPatch) -> Case:
    """The reference, whose small encoder is made known to timm and to us."""
    case = Case('local_mim_swin')
    c = case.config
    sizes = {name: c[name] for name in ('img_size', 'embed_dim', 'depths', 'num_heads')}
    name_swin(NAME, sizes, monkeypatch)
    monkeypatch.setitem(local_mim_swin.SWINS, (c['embed_dim'], tuple(c['depths']), 7), NAME)
    return case


@torch.inference_mode()
def test_features(case: Case, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The encoder says of visible cells what the released one says, and of images what timm's."""
    code, out = run(tmp_path, case.state)
    assert code == 0
    said = capsys.readouterr().out
    assert f'local_mim_swin (timm layout), {NAME}, 224 px' in said
    assert 'dropped: encoder.layers.1.blocks.0.attn.relative_position_index (places in a' in said
    assert 'dropped: decoder.0.pos_embed (the sin-cos table, computed anew)' in said
    assert 'missing' not in said
    encoder = xscale.load(out)
    model: Any = encoder.model
    order = case['input.randperm'].expand(case.config['batch'], -1)
    keep = masks_in_order(order, 37).keep
    tokens = embed_cells(model, gather_tokens(patchify(case['input.imgs'], 32), keep))
    made = encode_stages(model, tokens, keep, (7, 7), released_places=True)
    case.check('encoder_visible_tap3', model.norm(made[3]))
    assert 'load it with xscale.load, or timm; TorchGeo loads none' in said
    theirs: Any = timm.create_model(NAME, num_classes=0)
    theirs.load_state_dict(extract_backbone(str(out))[1])
    for name, tensor in model.state_dict().items():
        assert torch.equal(theirs.state_dict()[name], tensor), name
    mean, std = (torch.tensor(values)[:, None, None] for values in IMAGENET)
    tokens, pooled = encoder(case['input.imgs'] * std + mean, 1.0)
    torch.testing.assert_close(pooled, tokens.mean(1))
    expected = theirs.eval().forward_features(case['input.imgs']).flatten(1, 2)
    # timm adds 1e-5 to variances, where the released code adds 1e-6.
    torch.testing.assert_close(tokens, expected, rtol=1e-3, atol=1e-3)
    for part in model.modules():
        if isinstance(part, torch.nn.LayerNorm):
            assert part.eps == 1e-6


@torch.inference_mode()
def test_the_file_itself_is_an_encoder(case: Case, tmp_path: Path) -> None:
    _, out = run(tmp_path, case.state)
    bands, image = ('red', 'green', 'blue'), torch.rand(1, 3, 64, 64)
    released = find_encoder(str(tmp_path / 'released.pth'), bands=bands, dtype='uint8')
    ours = find_encoder(str(out), bands=bands, dtype='uint8')
    for embedder in (released, ours):
        embedder.fit_data([0.5] * 3, [0.2] * 3)
    assert (ours.patch, ours.own_size, ours.poolings) == (32, 224, ('mean',))
    one, other = (embedder(image, torch.ones(1)) for embedder in (released, ours))
    assert torch.equal(one.pooled['mean'], other.pooled['mean'])


@pytest.mark.parametrize('hog', [False, True])
def test_goes_on(case: Case, tmp_path: Path, hog: bool) -> None:
    """As a checkpoint of ours it is trained on, with all that the file holds."""
    state = case.state
    if hog:
        for k in range(4):
            for kind in ('weight', 'bias'):
                key = f'decoder.{k}.pred.{kind}'
                state[key] = state[key][:54]
    code, out = run(tmp_path, state)
    assert code == 0
    options = torch.load(out, weights_only=True)['hyper_parameters']['options']
    target = {'target': 'hog', 'bins': 18} if hog else {'target': 'pixels', 'norm_pix': True}
    assert options == {'norm_eps': 1e-6, 'dim': 16, 'depth': 1} | target
    task = Pretraining(
        model=NAME, objective='LocalMIMSwin', options=options, weights=str(out), size=64, gsd=1.0
    )
    assert task.initial
    assert (task.initial.missing, task.initial.unused) == ({}, ())
    assert torch.equal(task.model.norm.weight, state['encoder.norm.3.weight'])


def test_a_file_of_the_encoder(
    case: Case, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = {key: tensor for key, tensor in case.state.items() if key.startswith('encoder.')}
    code, out = run(tmp_path, state)
    assert code == 0
    assert 'the encoder is whole' in capsys.readouterr().out
    assert xscale.load(out).contract['size'] == 224


REFUSED: dict[str, tuple[Callable[[State], None], str]] = {
    'other places': (
        put('encoder.layers.0.blocks.0.attn.relative_position_index', 49, 49),
        r'layers\.0.*does not count places of a window',
    ),
    'learned positions': (put('decoder.1.pos_embed', 1, 196, 16), 'learned its positions'),
    'unknown tensor': (put('encoder.cls_token', 1, 1, 8), r'cls_token \(1, 1, 8\) is not known'),
    'missing block': (
        without(r'encoder\.layers\.1\.blocks\.1\.'),
        'a Swin of 8 channels, blocks 2, 1, 1, 1 and window 7 is none of swin_tiny',
    ),
    'missing tensor': (
        without(r'encoder\.layers\.1\.blocks\.1\.mlp\.fc1\.bias'),
        r'layers\.1\.blocks\.1\.mlp\.fc1\.bias',
    ),
    'wrong decoder': (put('decoder.1.embed.weight', 8, 32), r'decoders\.1\.embed\.weight'),
}


@pytest.mark.parametrize('change', REFUSED)
def test_refused(
    case: Case, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: str
) -> None:
    refused(case.state, *REFUSED[change], tmp_path, capsys)
