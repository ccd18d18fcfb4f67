"""Cross-Scale MAE (Tang et al., NeurIPS 2023, arXiv:2401.15855)."""

import re
from typing import Any

import torch
from torch import Tensor

from ...errors import CheckpointError
from .family import CLASSIFIER, SINCOS, Family, Input, State, decoder_options

_BLOCK = r'^(en|de)coder\.(?:en|de)coders\.(\d+)'
_ATTENTION = rf'{_BLOCK}\.wrap_att\.sublayer\.layer'
_FORWARD = rf'{_BLOCK}\.wrap_ff'

#: The xFormers layout, brought to the timm layout of the same.
XFORMERS_KEYS = (
    (rf'{_BLOCK}\.wrap_att\.norm\.', r'\1coder.\2.norm1.'),
    (rf'{_ATTENTION}\.proj\.', r'\1coder.\2.attn.proj.'),
    (rf'{_FORWARD}\.norm\.', r'\1coder.\2.norm2.'),
    (rf'{_FORWARD}\.sublayer\.layer\.mlp\.0\.', r'\1coder.\2.mlp.fc1.'),
    (rf'{_FORWARD}\.sublayer\.layer\.mlp\.3\.', r'\1coder.\2.mlp.fc2.'),
)
XFORMERS_QKV = re.compile(rf'{_ATTENTION}\.in_proj_container\.([qkv])_proj\.(weight|bias)$')


def _layout(state: State) -> tuple[State, str]:
    if any('.wrap_att.' in key for key in state):
        return _from_xformers(state), 'xformers'
    return state, 'timm'


def _from_xformers(state: State) -> State:
    """Bring the xFormers layout to the timm layout: join q, k and v, rename the rest."""
    result: State = {}
    joined: dict[str, dict[str, Tensor]] = {}
    for key, tensor in state.items():
        if match := XFORMERS_QKV.match(key):
            side, number, letter, kind = match.groups()
            joined.setdefault(f'{side}coder.{number}.attn.qkv.{kind}', {})[letter] = tensor
            continue
        for pattern, replacement in XFORMERS_KEYS:
            key = re.sub(pattern, replacement, key)
        result[key] = tensor
    for key, parts in joined.items():
        if set(parts) != set('qkv'):
            raise CheckpointError(f'{key}: only {", ".join(sorted(parts))} of q, k, v are there')
        result[key] = torch.cat([parts[letter] for letter in 'qkv'])
    return result


def _options(state: State, patches: int) -> dict[str, Any]:
    """Reproduce the released code; a file without its cross-prediction head goes without it."""
    options = decoder_options(state) | {
        'normalize_encoder': False,
        'align': 'index',
        'direction': 'fine_to_coarse',
        'stop_gradient': False,
        'predictor_norm': 'token_batch',
        'predictor_tokens': patches,
    }
    if 'predictor.0.weight' in state:
        return options | {'predictor_hidden': state['predictor.0.weight'].shape[0]}
    return options | {'weights': {'cross_prediction': 0.0}}


CROSS_SCALE_MAE = Family(
    name='cross_scale_mae',
    title='Cross-Scale MAE',
    recognised=lambda state: 'encoder_pos_embed' in state,
    rules=(
        (r'^(encoder_pos_embed|decoder_pos_embed)$', SINCOS),
        (r'^(cls_token|patch_embed\.proj\..*)$', r'encoder.\1'),
        (r'^encoder\.(\d+)\.', r'encoder.blocks.\1.'),
        (r'^encoder_norm\.', r'encoder.norm.'),
        (r'^decoder\.(\d+)\.', r'decoder.blocks.\1.'),
        (r'^mask_token$', r'decoder.mask_token'),
        (r'^decoder_(embed|norm|pred)\.', r'decoder.\1.'),
        (r'^(predictor\..*)$', r'\1'),
        CLASSIFIER,
    ),
    input=Input(
        'fMoW-RGB, 0..1',
        (0.43392888, 0.43578541, 0.40744025),
        (0.19828456, 0.19250111, 0.19454683),
    ),
    objective='CrossScaleMAE',
    options=_options,
    patches=lambda state: state['encoder_pos_embed'].shape[1] - 1,
    layout=_layout,
)
