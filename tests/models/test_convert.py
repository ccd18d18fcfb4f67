"""Released checkpoints become ours, or are refused, through the command line."""

import argparse
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import Tensor
from torch.nn import functional as F
from torchgeo.tasks import Classification

import xscale
from xscale.cli import main
from xscale.models.convert import State
from xscale.models.position import grid, sincos

from ..tiny import seeded

DIM, DEPTH, HEADS, PATCH, DECODER = 192, 12, 3, 16, 32
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
FMOW = (0.43392888, 0.43578541, 0.40744025), (0.19828456, 0.19250111, 0.19454683)

#: Tensors of a block in timm's layout, and their shapes at one channel.
BLOCK = {
    'norm1.weight': (1,), 'norm1.bias': (1,), 'attn.qkv.weight': (3, 1), 'attn.qkv.bias': (3,),
    'attn.proj.weight': (1, 1), 'attn.proj.bias': (1,), 'norm2.weight': (1,), 'norm2.bias': (1,),
    'mlp.fc1.weight': (4, 1), 'mlp.fc1.bias': (4,), 'mlp.fc2.weight': (1, 4), 'mlp.fc2.bias': (1,),
}  # fmt: skip
#: The same in xFormers' post-norm layout.
XFORMERS = {
    'norm1': 'wrap_att.norm', 'norm2': 'wrap_ff.norm', 'attn.proj': 'wrap_att.sublayer.layer.proj',
    'mlp.fc1': 'wrap_ff.sublayer.layer.mlp.0', 'mlp.fc2': 'wrap_ff.sublayer.layer.mlp.3',
}  # fmt: skip


class Maker:
    """Makes random tensors under the released names."""

    def __init__(self) -> None:
        self.generator = seeded()

    def draw(self, *shape: int) -> Tensor:
        return 0.05 * torch.randn(*shape, generator=self.generator)

    def blocks(self, prefix: str, depth: int, dim: int) -> State:
        return {
            f'{prefix}.{i}.{name}': self.draw(*(n * dim for n in shape))
            # Scales about 1, so that what comes before a norm still shows after it.
            + float(name.startswith('norm') and name.endswith('weight'))
            for i in range(depth)
            for name, shape in BLOCK.items()
        }

    def linear(self, name: str, *shape: int) -> State:
        return {f'{name}.weight': self.draw(*shape), f'{name}.bias': self.draw(shape[0])}

    def norm(self, name: str, dim: int) -> State:
        return {f'{name}.weight': 1 + self.draw(dim), f'{name}.bias': self.draw(dim)}

    def stem(self) -> State:
        return {'cls_token': self.draw(1, 1, DIM)} | self.linear(
            'patch_embed.proj', DIM, 3, PATCH, PATCH
        )

    def decoder(self, blocks: str, side: int) -> State:
        return (
            {'mask_token': self.draw(1, 1, DECODER), 'decoder_pos_embed': table(side, DECODER)}
            | self.linear('decoder_embed', DECODER, DIM)
            | self.blocks(blocks, 1, DECODER)
            | self.norm('decoder_norm', DECODER)
            | self.linear('decoder_pred', 3 * PATCH**2, DECODER)
        )

    def mae(self, *, full: bool = True) -> State:
        state = self.stem() | {'pos_embed': table(14, DIM)}
        state |= self.blocks('blocks', DEPTH, DIM) | self.norm('norm', DIM)
        return state | (self.decoder('decoder_blocks', 14) if full else {})

    def cross_scale(self) -> State:
        state = self.stem() | {'encoder_pos_embed': table(8, DIM)}
        state |= self.blocks('encoder', DEPTH, DIM) | self.norm('encoder_norm', DIM)
        state |= self.decoder('decoder', 8)
        state |= self.linear('predictor.0', 48, DECODER) | self.norm('predictor.1', 64)
        state |= {
            'predictor.1.running_mean': self.draw(64),
            'predictor.1.running_var': torch.ones(64),
        }
        state |= {'predictor.1.num_batches_tracked': torch.tensor(7)}
        return state | self.linear('predictor.3', DECODER, 48)

    def xformers(self) -> State:
        state: State = {}
        for key, tensor in self.cross_scale().items():
            side, _, rest = key.partition('.')
            if side not in ('encoder', 'decoder'):
                state[key] = tensor
                continue
            number, name, kind = (
                rest.split('.', 1)[0],
                rest.split('.', 1)[1].rpartition('.')[0],
                key.rpartition('.')[2],
            )
            start = f'{side}.{side}s.{number}'
            if name in XFORMERS:
                state[f'{start}.{XFORMERS[name]}.{kind}'] = tensor
                continue
            for letter, part in zip('qkv', tensor.chunk(3), strict=True):
                inner = f'wrap_att.sublayer.layer.in_proj_container.{letter}_proj.{kind}'
                state[f'{start}.{inner}'] = part.clone()
        return state


def table(side: int, dim: int) -> Tensor:
    return torch.cat([torch.zeros(1, dim), sincos(grid(side, side), dim).float()])[None]


def released(state: State) -> dict[str, Any]:
    """Wrap a state as the training scripts save it."""
    return {
        'model': state,
        'optimizer': {'state': {}, 'param_groups': []},
        'epoch': 399,
        'scaler': {},
        'args': argparse.Namespace(model='mae_vit_tiny', lr=None),
    }


def run(folder: Path, content: Any) -> tuple[int, Path]:
    file, out = folder / 'released.pth', folder / 'new' / 'ours.ckpt'
    torch.save(content, file)
    return main(['convert', str(file), '--out', str(out)]), out


def pixels(side: int) -> Tensor:
    return torch.rand(2, 3, side, side, generator=seeded(3))


def normalized(image: Tensor, statistics: tuple[tuple[float, ...], ...]) -> Tensor:
    mean, std = (torch.tensor(values)[:, None, None] for values in statistics)
    return (image - mean) / std


@pytest.mark.parametrize('full', [True, False], ids=['full', 'encoder only'])
@torch.inference_mode()
def test_mae(tmp_path: Path, capsys: pytest.CaptureFixture[str], full: bool) -> None:
    state = Maker().mae(full=full)
    code, out = run(tmp_path, {'model': state})
    assert code == 0
    model = timm.create_model('vit_tiny_patch16_224', num_classes=0).eval()
    model.load_state_dict(
        {k: v for k, v in state.items() if 'decoder' not in k and k != 'mask_token'}
    )
    image = pixels(224)
    tokens, _ = xscale.load(out)(image, 1.0)
    expected = model.forward_features(normalized(image, IMAGENET))[:, 1:]
    torch.testing.assert_close(tokens, expected, rtol=1e-4, atol=2e-5)
    report = capsys.readouterr().out
    assert 'mae (timm layout), vit_tiny_patch16_224, 224 px' in report
    assert f'mapped:  {len(BLOCK) * DEPTH + 5} tensors of the encoder' in report
    assert f'mapped:  {(len(BLOCK) + 7) * full} tensors of the decoder' in report
    assert 'dropped: pos_embed (the sin-cos table, computed anew)' in report
    assert ('dropped: decoder_pos_embed' in report) == full
    # The recipe's decoder has eight blocks.
    missing = f'missing: {len(BLOCK) * 8 + 7} tensors of the decoder; the encoder is whole'
    assert (missing in report) != full
    assert f'written: {out}' in report


@torch.inference_mode()
def test_cross_scale_mae(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its features are those before the final LayerNorm, which it never used."""
    state = Maker().cross_scale()
    code, out = run(tmp_path, released(state))
    assert code == 0
    assert 'cross_scale_mae (timm layout), vit_tiny_patch16_224, 128 px' in capsys.readouterr().out
    model = timm.create_model('vit_tiny_patch16_224', num_classes=0, img_size=128).eval()
    renamed = {
        k.replace('encoder.', 'blocks.'): v for k, v in state.items() if k.startswith('encoder.')
    }
    renamed |= {k: v for k, v in state.items() if k.startswith(('cls_token', 'patch_embed'))}
    renamed['pos_embed'] = state['encoder_pos_embed']
    missing, unexpected = model.load_state_dict(renamed, strict=False)
    assert (missing, unexpected) == (['norm.weight', 'norm.bias'], [])
    model.norm = torch.nn.Identity()
    image = pixels(128)
    tokens, _ = xscale.load(out)(image, 1.0)
    expected = model.forward_features(normalized(image, FMOW))[:, 1:]
    torch.testing.assert_close(tokens, expected, rtol=1e-4, atol=2e-5)


@torch.inference_mode()
def test_xformers_layout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Features written out from the file's own tensors; TorchGeo cannot take them for timm's."""
    state = Maker().xformers()
    code, out = run(tmp_path, released(state))
    assert code == 0
    assert 'load it with xscale.load' in capsys.readouterr().out
    image = pixels(128)
    x = F.conv2d(
        normalized(image, FMOW),
        state['patch_embed.proj.weight'],
        state['patch_embed.proj.bias'],
        PATCH,
    )
    x = x.flatten(2).mT + state['encoder_pos_embed'][:, 1:]
    x = torch.cat([state['cls_token'].expand(2, -1, -1), x], dim=1)
    for i in range(DEPTH):
        x = post_norm_block(state, f'encoder.encoders.{i}', x)
    tokens, _ = xscale.load(out)(image, 1.0)
    torch.testing.assert_close(tokens, x[:, 1:], rtol=1e-4, atol=2e-5)
    with pytest.raises(KeyError, match='patch_embed'):
        Classification(model='vit_tiny_patch16_224', weights=str(out), num_classes=2)


def post_norm_block(state: State, prefix: str, x: Tensor) -> Tensor:
    def get(name: str) -> tuple[Tensor, Tensor]:
        return state[f'{prefix}.{name}.weight'], state[f'{prefix}.{name}.bias']

    layer = 'wrap_att.sublayer.layer'
    q, k, v = (
        F.linear(x, *get(f'{layer}.in_proj_container.{letter}_proj')).unflatten(-1, (HEADS, -1))
        for letter in 'qkv'
    )
    scores = torch.einsum('bnhd,bmhd->bhnm', q, k) / (DIM // HEADS) ** 0.5
    attended = torch.einsum('bhnm,bmhd->bnhd', scores.softmax(-1), v).flatten(2)
    x = F.layer_norm(x + F.linear(attended, *get(f'{layer}.proj')), (DIM,), *get('wrap_att.norm'))
    hidden = F.gelu(F.linear(x, *get('wrap_ff.sublayer.layer.mlp.0')))
    x = x + F.linear(hidden, *get('wrap_ff.sublayer.layer.mlp.3'))
    return F.layer_norm(x, (DIM,), *get('wrap_ff.norm'))


def test_torchgeo_loads_the_timm_layout_bit_for_bit(tmp_path: Path) -> None:
    state = Maker().cross_scale()
    code, out = run(tmp_path, released(state))
    assert code == 0
    model = Classification(model='vit_tiny_patch16_224', weights=str(out), num_classes=2).model
    held = model.state_dict()
    assert torch.equal(held['pos_embed'], table(14, DIM))
    for name in held.keys() - {'pos_embed', 'head.weight', 'head.bias'}:
        old = name.replace('blocks.', 'encoder.')
        old = old.replace('norm.', 'encoder_norm.') if old.startswith('norm.') else old
        assert torch.equal(held[name], state[old]), name


def test_distributed_half_precision(tmp_path: Path) -> None:
    """Names under 'module.' and tensors in half precision are read too."""
    state = Maker().mae(full=False)
    held = {f'module.{k}': v.half() for k, v in state.items()}
    code, out = run(tmp_path, {'model': held})
    assert code == 0
    weight = xscale.load(out).model.blocks[3].mlp.fc1.weight
    assert torch.equal(weight, state['blocks.3.mlp.fc1.weight'].half().float())


def _set(key: str, *shape: int) -> Callable[[State], None]:
    return lambda state: state.update({key: 0.1 * torch.randn(*shape, generator=seeded())})


REFUSED: dict[str, tuple[Callable[[State], Any], str]] = {
    'unknown tensor': (_set('surprise.weight', 4), r'surprise\.weight \(4,\) is not known'),
    'learned positions': (_set('pos_embed', 1, 197, DIM), 'learned its positions'),
    'learned decoder positions': (
        _set('decoder_pos_embed', 1, 197, DECODER),
        'learned its positions',
    ),
    'no square grid': (lambda s: s.update(pos_embed=s['pos_embed'][:, :-5]), 'square grid'),
    'flat positions': (lambda s: s.update(pos_embed=s['pos_embed'][0]), 'pos_embed'),
    'no number as position': (
        lambda s: s['pos_embed'].fill_(float('nan')),
        'learned its positions',
    ),
    'learned class position': (lambda s: s['pos_embed'][:, 0].fill_(0.1), 'learned its positions'),
    'odd depth': (
        lambda s: [s.pop(k) for k in list(s) if k.startswith('blocks.11.')],
        '192 channels, 11 blocks and patch 16 is none of vit_tiny',
    ),
    'odd patch': (_set('patch_embed.proj.weight', DIM, 3, 8, 8), 'patch 8 is none of'),
    'more bands': (_set('patch_embed.proj.weight', DIM, 6, PATCH, PATCH), 'takes 6 bands'),
    'wrong shape': (_set('blocks.2.mlp.fc1.weight', 10, DIM), r'blocks\.2\.mlp\.fc1\.weight'),
    'wrong decoder': (_set('decoder_pred.weight', 12, DECODER), r'decoder\.pred\.weight'),
    'missing tensor': (lambda s: s.pop('blocks.5.attn.qkv.bias'), r'blocks\.5\.attn\.qkv\.bias'),
    'missing norm': (
        lambda s: [s.pop('norm.weight'), s.pop('norm.bias')],
        r'encoder\.norm\.weight',
    ),
    'another model': (lambda s: s.pop('pos_embed'), 'neither MAE nor Cross-Scale MAE'),
}


@pytest.mark.parametrize('case', REFUSED)
def test_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], case: str) -> None:
    change, message = REFUSED[case]
    state = Maker().mae()
    change(state)
    code, out = run(tmp_path, {'model': state})
    _check_refused(code, out, capsys, message)


def _check_refused(code: int, out: Path, capsys: pytest.CaptureFixture[str], message: str) -> None:
    assert code == 2
    captured = capsys.readouterr()
    assert captured.err.startswith('xscale: error: ')
    assert re.search(message, captured.err), captured.err
    assert captured.out == ''
    assert not out.exists()


def test_xformers_with_a_part_of_qkv(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = Maker().xformers()
    state = {k: v for k, v in state.items() if 'encoders.4.' not in k or 'k_proj' not in k}
    code, out = run(tmp_path, released(state))
    _check_refused(code, out, capsys, r'encoder\.4\.attn\.qkv\.weight: only q, v')


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ({'epoch': 3}, 'holds no tensors; its entries are epoch'),
        ({'model': 'vit'}, "'model' holds no tensors"),
        ({'model': {'fc.weight': torch.zeros(2, 2)}}, 'neither MAE nor'),
        ([1, 2], 'not a dictionary'),
    ],
    ids=['no tensors', 'a name', 'another model', 'a list'],
)
def test_no_checkpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: Any, message: str
) -> None:
    code, out = run(tmp_path, content)
    _check_refused(code, out, capsys, message)


def test_ours_already(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, first = run(tmp_path, {'model': Maker().mae(full=False)})
    assert code == 0
    capsys.readouterr()
    second = tmp_path / 'second.ckpt'
    code = main(['convert', str(first), '--out', str(second)])
    _check_refused(code, second, capsys, 'a checkpoint of xscale already')


def test_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / 'ours.ckpt'
    code = main(['convert', str(tmp_path / 'nowhere.pth'), '--out', str(out)])
    _check_refused(code, out, capsys, r'nowhere\.pth does not exist')
