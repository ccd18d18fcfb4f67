"""LocalMIM with a Swin (Wang et al., CVPR 2023, arXiv:2303.05251)."""

import re
from math import isqrt
from typing import Any

import torch
from timm.models.swin_transformer import get_relative_position_index
from torch import Tensor

from ...errors import CheckpointError
from .family import CLASSIFIER, Drop, Family, State, check_sincos
from .local_mim import SOBEL, join_biases
from .mae import IMAGENET

#: (channels, blocks of each stage, side of a window) of the encoders timm knows by name.
SWINS = {
    (96, (2, 2, 6, 2), 7): 'swin_tiny_patch4_window7_224',
    (96, (2, 2, 18, 2), 7): 'swin_small_patch4_window7_224',
    (128, (2, 2, 18, 2), 7): 'swin_base_patch4_window7_224',
    (192, (2, 2, 18, 2), 7): 'swin_large_patch4_window7_224',
    (128, (2, 2, 18, 2), 12): 'swin_base_patch4_window12_384',
    (192, (2, 2, 18, 2), 12): 'swin_large_patch4_window12_384',
}

_MERGED = re.compile(r'layers\.\d\.downsample\.(norm\.(weight|bias)|reduction\.weight)$')
_TABLE = 'encoder.layers.0.blocks.0.attn.relative_position_bias_table'
_DECODER = 'local.decoders.0'

#: Cells of an image: the released code takes 224 px alone.
CELLS = 49


def swap_merged(tensor: Tensor) -> Tensor:
    """Bring four tokens that are merged from rows first to columns first, or back.

    Args:
        tensor: Shape (…, 4 · D).
    """
    return tensor.unflatten(-1, (2, 2, -1)).transpose(-3, -2).flatten(-3)


def _layout(state: State) -> tuple[State, str]:
    """Merge four tokens column by column, as timm does, where the released code goes by rows."""
    swapped = {
        key: swap_merged(tensor) if _MERGED.search(key) else tensor
        for key, tensor in join_biases(state).items()
    }
    return swapped, 'timm'


def _check_index(key: str, index: Tensor) -> None:
    side = isqrt(len(index))
    if not torch.equal(index, get_relative_position_index(side, side)):
        raise CheckpointError(f'{key} {tuple(index.shape)} does not count places of a window')


def _check_places(key: str, table: Tensor) -> None:
    check_sincos(key, torch.nn.functional.pad(table, (0, 0, 1, 0)))


def _options(state: State, patches: int) -> dict[str, Any]:
    """Read the sizes of the decoders off their tensors; a file of the encoder has none."""
    epsilon: dict[str, Any] = {'norm_eps': 1e-6}
    if f'{_DECODER}.embed.weight' not in state:
        return epsilon
    bands = state['encoder.patch_embed.proj.weight'].shape[1]
    values = state[f'{_DECODER}.pred.weight'].shape[0] // bands
    depth = {key.split('.')[4] for key in state if key.startswith(f'{_DECODER}.blocks.')}
    # A cell of the first tap has 8×8 px. Pixels are normalised in the published recipe.
    target: dict[str, Any] = {'target': 'hog', 'bins': values}
    if values == 64:
        target = {'target': 'pixels', 'norm_pix': True}
    biased = {'hog_bias': True} if 'local.targets.hog_bias' in state else {}
    sizes = {'dim': 2 * state[f'{_DECODER}.embed.weight'].shape[0], 'depth': len(depth)}
    return epsilon | target | biased | sizes


def swin_name(state: State) -> str:
    """Find the timm model whose encoder a converted state fills.

    Args:
        state: Tensors under our names.

    Raises:
        CheckpointError: If timm has no model of that size.
    """
    blocks = {(int(k.split('.')[2]), k.split('.')[4]) for k in state if '.blocks.' in k[:26]}
    stages = range(1 + max(stage for stage, _ in blocks))
    depths = tuple(sum(stage == own for own, _ in blocks) for stage in stages)
    channels = state['encoder.patch_embed.proj.weight'].shape[0]
    size = channels, depths, (isqrt(len(state[_TABLE])) + 1) // 2
    if size not in SWINS:
        known = '; '.join(
            f'{name} ({c} channels, blocks {", ".join(map(str, d))}, window {w})'
            for (c, d, w), name in SWINS.items()
        )
        raise CheckpointError(
            f'a Swin of {size[0]} channels, blocks {", ".join(map(str, depths))} and window '
            f'{size[2]} is none of {known}'
        )
    return SWINS[size]


LOCAL_MIM_SWIN = Family(
    name='local_mim_swin',
    title='LocalMIM',
    recognised=lambda state: 'encoder.norm.3.weight' in state,
    rules=(
        (r'\.relative_position_index$', Drop('places in a window, counted anew', _check_index)),
        (r'^decoder\.\d\.pos_embed$', Drop('the sin-cos table, computed anew', _check_places)),
        (r'^hog_enc\.\d\.conv\.weight$', SOBEL),
        (r'^hog_bias$', r'local.targets.hog_bias'),
        # Tokens are merged at the end of a stage there, and at the beginning of the next here.
        *(
            (rf'^encoder\.layers\.{stage}\.downsample\.', f'encoder.layers.{stage + 1}.downsample.')
            for stage in range(3)
        ),
        (r'^encoder\.(patch_embed|layers)\.', r'encoder.\1.'),
        # The last tap reads what the encoder says in the end.
        (r'^encoder\.norm\.3\.', r'encoder.norm.'),
        (r'^encoder\.norm\.([012])\.', r'local.norms.\1.'),
        (r'^decoder\.(\d)\.(embed|mask_token|blocks|norm|pred)', r'local.decoders.\1.\2'),
        CLASSIFIER,
    ),
    input=IMAGENET,
    objective='LocalMIMSwin',
    options=_options,
    patches=lambda state: CELLS,
    layout=_layout,
)
