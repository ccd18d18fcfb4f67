"""SatMAE (Cong et al., NeurIPS 2022, arXiv:2207.08051) on groups of bands, and on dates.

Its model of one image in red, green and blue has the names of MAE.
"""

from typing import Any

import torch
from torch import Tensor

from ...errors import CheckpointError
from ..band_groups import SENTINEL2
from ..position import code
from .cross_scale_mae import CROSS_SCALE_MAE
from .family import Drop, Family, Input, State, decoder_options
from .mae import MAE

#: The channels of its images: those of Sentinel-2 without B1, B9 and B10.
BANDS = ('B2', 'B3', 'B4', 'B5', 'B6', 'B7', 'B8', 'B8A', 'B11', 'B12')

#: Mean and deviation of each in fMoW-Sentinel, reflectance times 10,000.
MEAN = (
    *(1184.3824625, 1120.77120066, 1136.26026392, 1263.73947144, 1645.40315151),
    *(1846.87040806, 1762.59530783, 1972.62420416, 1732.16362238, 1247.91870117),
)
STD = (
    *(650.2842772, 712.12507725, 965.23119807, 948.9819932, 1108.06650639),
    *(1258.36394548, 1233.1492281, 1364.38688993, 1310.36996126, 1087.6020813),
)


def _check_code(key: str, table: Tensor) -> None:
    """Make sure that codes of groups are the sin-cos codes they are replaced by."""
    own = code(torch.arange(table.shape[1]), table.shape[2])
    if not ((table[0].double() - own).abs() <= 1e-3).all():
        raise CheckpointError(
            f'{key} {tuple(table.shape)} is not the sin-cos code of the numbers of groups: this '
            'model learned its own, and would not be the same with computed ones'
        )


def _check_zero(key: str, table: Tensor) -> None:
    if table.any():
        raise CheckpointError(
            f'{key} {tuple(table.shape)} is not 0: this model learned a position of its class '
            'token, and would not be the same without'
        )


def _group_options(state: State, patches: int) -> dict[str, Any]:
    bands = {'groups': SENTINEL2, 'bands': list(BANDS), 'released_order': True}
    return decoder_options(state) | bands


def _group_widths(released: State) -> dict[str, Any]:
    names = {'channel_embed': 'group_dim', 'decoder_channel_embed': 'decoder_group_dim'}
    return {own: released[key].shape[2] for key, own in names.items() if key in released}


def _time_widths(released: State) -> dict[str, Any]:
    """Return what positions leave of the channels to each of year, month and hour."""
    widths = {'time_dim': _left(released['pos_embed'], released['cls_token'])}
    if {'mask_token', 'decoder_pos_embed'} <= set(released):
        left = _left(released['decoder_pos_embed'], released['mask_token'])
        widths['decoder_time_dim'] = left
    return widths


def _left(table: Tensor, token: Tensor) -> int:
    return (token.shape[2] - table.shape[2]) // 3


_OTHERS = list(SENTINEL2)[1:]

SATMAE_GROUP = Family(
    name='satmae_group',
    title='SatMAE',
    recognised=lambda state: {'patch_embed.0.proj.weight', 'pos_embed'} <= set(state),
    rules=(
        (r'^(decoder_)?channel_embed$', Drop('the codes of groups, computed anew', _check_code)),
        (r'^channel_cls_embed$', Drop('the code of the class token, which is 0', _check_zero)),
        (r'^patch_embed\.0\.', r'encoder.patch_embed.'),
        (r'^decoder_pred\.0\.', r'decoder.pred.'),
        *((rf'^patch_embed\.{i}\.', f'embeds.{name}.') for i, name in enumerate(_OTHERS, 1)),
        *((rf'^decoder_pred\.{i}\.', f'heads.{name}.') for i, name in enumerate(_OTHERS, 1)),
        *MAE.rules,
    ),
    # It was fed the range of two deviations around the mean as 0..1, in steps of 1/255, and
    # nothing beyond it.
    input=Input(
        'fMoW-Sentinel, mean ± 2 deviations as 0..1',
        tuple(mean - 2 * std for mean, std in zip(MEAN, STD, strict=True)),
        tuple(4 * std for std in STD),
        BANDS,
    ),
    objective='SatMAEGroup',
    options=_group_options,
    widths=_group_widths,
)

SATMAE_TEMPORAL = Family(
    name='satmae_temporal',
    title='SatMAE',
    recognised=lambda state: (
        'patch_embed.proj.weight' in state
        and {'pos_embed', 'cls_token'} <= set(state)
        and state['pos_embed'].shape[-1] < state['cls_token'].shape[-1]
    ),
    rules=MAE.rules,
    input=CROSS_SCALE_MAE.input,
    objective='SatMAETemporal',
    options=lambda state, patches: decoder_options(state) | {'frames': 3},
    widths=_time_widths,
)
