"""Scale-MAE (Reed et al., ICCV 2023, arXiv:2212.14532)."""

from typing import Any

from torch import Tensor

from ...errors import CheckpointError
from .family import CLASSIFIER, Drop, Family, State, count_blocks, decoder_options
from .mae import IMAGENET


def _square(key: str, table: Tensor) -> None:
    side = round(max(0, table.shape[1] - 1) ** 0.5) if table.ndim == 3 else 0
    if side < 1 or side * side != table.shape[1] - 1:
        raise CheckpointError(f'{key} {tuple(table.shape)} is no table of a square grid')


#: Positions are computed from the ground sample distance of each image in its stead, as released.
UNREAD_TABLE = Drop('a table that is not read: positions come from the GSD', _square)


def _options(state: State, patches: int) -> dict[str, Any]:
    options = decoder_options(state) | {
        'position': 'gsd',
        'high_loss': 'mse',
        'sum_bands': True,
    }
    if 'high.proj.weight' in state:
        options['head_dim'] = state['high.proj.weight'].shape[0]
        options['head_layers'] = count_blocks(state, 'high')
    return options


SCALE_MAE = Family(
    name='scale_mae',
    title='Scale-MAE',
    recognised=lambda state: (
        'mask_token_decoder' in state
        or any(key.startswith(('fpn.', 'fcn_high.', 'fcn_low.')) for key in state)
    ),
    rules=(
        (r'^(pos_embed|decoder_pos_embed)$', UNREAD_TABLE),
        (r'^mask_token_decoder$', Drop('a mask token that is not read')),
        (r'^(cls_token|patch_embed\.proj\..*|blocks\..*|norm\..*)$', r'encoder.\1'),
        (r'^mask_token$', r'decoder.mask_token'),
        (r'^decoder_(embed|blocks|norm)\.', r'decoder.\1.'),
        (r'^fpn\.fpn1\.(\d)\.(?:ln\.)?', r'upsampling.four.\1.'),
        (r'^fpn\.fpn2\.0\.', r'upsampling.two.'),
        (r'^fcn_(high|low)\.proj\.', r'\1.proj.'),
        (r'^fcn_(high|low)\.conv_blocks\.(\d+)\.residual\.', r'\1.blocks.\2.skip.'),
        (r'^fcn_(high|low)\.conv_blocks\.(\d+)\.convs\.(\d)\.', r'\1.blocks.\2.convs.\3.'),
        (r'^fcn_(high|low)\.pred\.7\.', r'\1.out.'),
        (r'^fcn_(high|low)\.pred\.(\d)\.(?:ln\.)?', r'\1.grow.\2.'),
        CLASSIFIER,
    ),
    input=IMAGENET,
    objective='ScaleMAE',
    options=_options,
    pooling='class',
)
