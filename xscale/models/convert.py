"""Checkpoints of the released implementations, read safely and renamed to ours."""

import argparse
import pickle
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import CheckpointError, MissingPathError
from .position import grid, sincos

State = dict[str, Tensor]

#: (embedding channels, blocks, patch) of the encoders timm knows by name.
ENCODERS = {
    (192, 12, 16): 'vit_tiny_patch16_224',
    (384, 12, 16): 'vit_small_patch16_224',
    (768, 12, 16): 'vit_base_patch16_224',
    (1024, 24, 16): 'vit_large_patch16_224',
    (1280, 32, 14): 'vit_huge_patch14_224',
}

#: Renaming rules, first match wins; '' drops the tensor. Tables of positions are computed anew.
MAE_KEYS = (
    (r'^(pos_embed|decoder_pos_embed)$', ''),
    (r'^(cls_token|patch_embed\.proj\..*|blocks\..*|norm\..*)$', r'encoder.\1'),
    (r'^mask_token$', r'decoder.mask_token'),
    (r'^decoder_(embed|blocks|norm|pred)\.', r'decoder.\1.'),
)
CROSS_SCALE_KEYS = (
    (r'^(encoder_pos_embed|decoder_pos_embed)$', ''),
    (r'^(cls_token|patch_embed\.proj\..*)$', r'encoder.\1'),
    (r'^encoder\.(\d+)\.', r'encoder.blocks.\1.'),
    (r'^encoder_norm\.', r'encoder.norm.'),
    (r'^decoder\.(\d+)\.', r'decoder.blocks.\1.'),
    (r'^mask_token$', r'decoder.mask_token'),
    (r'^decoder_(embed|norm|pred)\.', r'decoder.\1.'),
    (r'^(predictor\..*)$', r'\1'),
)
RULES = {'mae': MAE_KEYS, 'cross_scale_mae': CROSS_SCALE_KEYS}
#: The xFormers layout of Cross-Scale MAE, brought to the timm layout of the same.
XFORMERS_KEYS = (
    (r'^(en|de)coder\.(?:en|de)coders\.(\d+)\.wrap_att\.norm\.', r'\1coder.\2.norm1.'),
    (
        r'^(en|de)coder\.(?:en|de)coders\.(\d+)\.wrap_att\.sublayer\.layer\.proj\.',
        r'\1coder.\2.attn.proj.',
    ),
    (r'^(en|de)coder\.(?:en|de)coders\.(\d+)\.wrap_ff\.norm\.', r'\1coder.\2.norm2.'),
    (
        r'^(en|de)coder\.(?:en|de)coders\.(\d+)\.wrap_ff\.sublayer\.layer\.mlp\.0\.',
        r'\1coder.\2.mlp.fc1.',
    ),
    (
        r'^(en|de)coder\.(?:en|de)coders\.(\d+)\.wrap_ff\.sublayer\.layer\.mlp\.3\.',
        r'\1coder.\2.mlp.fc2.',
    ),
)
XFORMERS_QKV = re.compile(
    r'^(en|de)coder\.(?:en|de)coders\.(\d+)\.wrap_att\.sublayer\.layer'
    r'\.in_proj_container\.([qkv])_proj\.(weight|bias)$'
)


@dataclass
class Converted:
    """A released checkpoint under our names.

    Attributes:
        family: 'mae' or 'cross_scale_mae'.
        layout: 'timm' (pre-norm blocks) or 'xformers' (post-norm blocks).
        state: Tensors under ``encoder.``, ``decoder.`` and ``predictor.``.
        mapped: Old names and new.
        dropped: Old names of what is computed anew, and why it may be.
        patches: Patches of an image the position table was made for.
    """

    family: str
    layout: str
    state: State
    mapped: dict[str, str] = field(default_factory=dict)
    dropped: dict[str, str] = field(default_factory=dict)
    patches: int = 0


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint file; nothing in it is executed.

    Args:
        path: A file written by ``torch.save``. An ``argparse.Namespace`` inside is allowed.

    Raises:
        MissingPathError: If there is no such file.
        CheckpointError: If it is no checkpoint, or holds objects that may run code.
    """
    if Path(path).is_dir():
        raise CheckpointError(f'{path} is a folder; a checkpoint file in it is needed')
    if not Path(path).is_file():
        raise MissingPathError(path)
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            content = torch.load(path, map_location='cpu', weights_only=True)
    except pickle.UnpicklingError as error:
        # torch's own advice is to load it with what would run code.
        if 'GLOBAL' in str(error):
            why = 'was not loaded, for it names Python objects, which may run code'
        else:
            why = 'was not loaded, for it is no PyTorch file, or holds what may run code'
        raise CheckpointError(
            f'{path} {why}; only tensors, plain values and argparse.Namespace are accepted'
        ) from error
    except Exception as error:  # damaged bytes trip torch's reader in many ways
        raise CheckpointError(
            f'{path} is no PyTorch checkpoint, or is cut short: {error}'
        ) from error
    if not isinstance(content, dict):
        raise CheckpointError(
            f'{path} holds a {type(content).__name__}, not a dictionary of tensors'
        )
    return content


def tensors_of(content: Mapping[str, Any], path: str | Path) -> State:
    """Take the tensors out of a checkpoint's outer dictionary.

    Args:
        content: What :func:`read_checkpoint` returned.
        path: The file, for the message.

    Raises:
        CheckpointError: If there are none.
    """
    inner = content.get('model', content.get('state_dict', content))
    if not isinstance(inner, Mapping):
        raise CheckpointError(f"{path}: its entry 'model' holds no tensors")
    # A file saved from DistributedDataParallel has its names prefixed.
    state = {k.removeprefix('module.'): v for k, v in inner.items() if isinstance(v, Tensor)}
    if not state:
        raise CheckpointError(
            f'{path} holds no tensors; its entries are {", ".join(map(str, inner))}'
        )
    return state


def convert_state(state: State) -> Converted:
    """Rename a released state.

    Args:
        state: Tensors under the released names of MAE or Cross-Scale MAE.

    Returns:
        The same tensors under ours.

    Raises:
        CheckpointError: If the names belong to no known system, or a tensor is not known.
    """
    layout = 'timm'
    if any('.wrap_att.' in key for key in state):
        state, layout = _from_xformers(state), 'xformers'
    if 'encoder_pos_embed' in state:
        family = 'cross_scale_mae'
    elif 'pos_embed' in state and 'patch_embed.proj.weight' in state:
        family = 'mae'
    else:
        some = ', '.join(sorted(state)[:6])
        raise CheckpointError(
            f'this is neither MAE nor Cross-Scale MAE; its tensors begin with {some}'
        )
    result = Converted(family, layout, {})
    for key, tensor in state.items():
        _rename(key, tensor, RULES[family], result)
    table = 'encoder_pos_embed' if family == 'cross_scale_mae' else 'pos_embed'
    result.patches = state[table].shape[1] - 1
    return result


def _rename(key: str, tensor: Tensor, rules: Sequence[tuple[str, str]], result: Converted) -> None:
    for pattern, replacement in rules:
        if not re.search(pattern, key):
            continue
        if not replacement:
            _check_positions(key, tensor)
            result.dropped[key] = 'the sin-cos table, computed anew'
            return
        name = re.sub(pattern, replacement, key)
        result.state[name], result.mapped[key] = (
            tensor.float() if tensor.is_floating_point() else tensor,
            name,
        )
        return
    if key.startswith(('head.', 'fc_norm.')):
        result.dropped[key] = 'a classification head'
        return
    raise CheckpointError(
        f'the tensor {key} {tuple(tensor.shape)} is not known; nothing was converted'
    )


def _check_positions(key: str, table: Tensor) -> None:
    """Make sure a table of positions is the sin-cos table it is replaced by."""
    if not _is_sincos(table):
        raise CheckpointError(
            f'{key} {tuple(table.shape)} is not the sin-cos table of a square grid: this model '
            'learned its positions, and would not be the same with computed ones'
        )


def _is_sincos(table: Tensor) -> bool:
    if table.ndim != 3 or table.shape[2] % 4:
        return False
    side = round((table.shape[1] - 1) ** 0.5)
    if len(table) != 1 or side < 1 or side * side != table.shape[1] - 1:
        return False
    off = table[0, 1:].double() - sincos(grid(side, side), table.shape[2])
    # The class token's row is 0 there.
    return bool((off.abs() <= 1e-3).all() and (table[0, 0].abs() <= 1e-3).all())


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


def encoder_name(state: State) -> str:
    """Find the timm model whose encoder a converted state fills.

    Args:
        state: Tensors under our names.

    Raises:
        CheckpointError: If timm has no model of that size.
    """
    weight = state['encoder.patch_embed.proj.weight']
    blocks = {int(k.split('.')[2]) for k in state if k.startswith('encoder.blocks.')}
    size = (weight.shape[0], len(blocks), weight.shape[-1])
    if size not in ENCODERS:
        known = '; '.join(
            f'{n} ({d} channels, {b} blocks, patch {p})' for (d, b, p), n in ENCODERS.items()
        )
        raise CheckpointError(
            f'an encoder of {size[0]} channels, {size[1]} blocks and patch {size[2]} is none of '
            f'{known}'
        )
    return ENCODERS[size]
