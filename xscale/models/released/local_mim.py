"""LocalMIM with a ViT (Wang et al., CVPR 2023, arXiv:2303.05251)."""

import re
from typing import Any

import torch
from torch import Tensor

from ...errors import CheckpointError
from .family import CLASSIFIER, SINCOS, Drop, Family, State
from .mae import IMAGENET

_BIAS = re.compile(r'^hog_enc\.(\d)\.conv\.bias$')
_DECODER = 'local.decoders.0'

#: The last layer of each decoder, which follows layers that enlarge or shrink a map.
_LAST = r'^decoder\.(?:(0)\.pred\.4|([13])\.pred\.1|(2)\.pred\.0)\.'


def _layout(state: State) -> tuple[State, str]:
    """Turn 1×1 convolutions into linear layers, and join what the taps add to gradients."""
    result = {
        key: tensor.flatten(1) if '.pred.' in key and tensor.shape[2:] == (1, 1) else tensor
        for key, tensor in join_biases(state).items()
    }
    return result, 'timm'


def join_biases(state: State) -> State:
    """Make one tensor of what the taps add to gradients.

    Args:
        state: Tensors under the released names.
    """
    result = {key: tensor for key, tensor in state.items() if not _BIAS.match(key)}
    biases = [state[key] for key in sorted(state) if _BIAS.match(key)]
    return result | {'hog_bias': torch.stack(biases)} if biases else result


def check_sobel(key: str, kernel: Tensor) -> None:
    """Make sure that a filter is the one that gradients are computed with.

    Args:
        key: Its name.
        kernel: Shape (2, 1, 3, 3).

    Raises:
        CheckpointError: If it is not.
    """
    across = torch.tensor([[1.0, 0, -1], [2, 0, -2], [1, 0, -1]])
    if not torch.equal(kernel.float(), torch.stack([across, across.T])[:, None]):
        raise CheckpointError(
            f'{key} {tuple(kernel.shape)} is not the Sobel pair that gradients are computed with'
        )


#: For the filters of histograms.
SOBEL = Drop('the Sobel kernels, which are fixed', check_sobel)


def _options(state: State, patches: int) -> dict[str, Any]:
    """Read the sizes of the decoders off their tensors; a file of the encoder has none."""
    if f'{_DECODER}.embed.weight' not in state:
        return {}
    bands = state['encoder.patch_embed.proj.weight'].shape[1]
    depth = {key.split('.')[4] for key in state if key.startswith(f'{_DECODER}.blocks.')}
    biased = {'hog_bias': True} if 'local.targets.hog_bias' in state else {}
    return biased | {
        'bins': state[f'{_DECODER}.pred.weight'].shape[0] // bands,
        'dim': state[f'{_DECODER}.embed.weight'].shape[0],
        'depth': len(depth),
    }


LOCAL_MIM = Family(
    name='local_mim',
    title='LocalMIM',
    recognised=lambda state: 'norm.3.weight' in state,
    rules=(
        (r'^(pos_embed|decoder\.\d\.pos_embed)$', SINCOS),
        (r'^hog_enc\.\d\.conv\.weight$', SOBEL),
        (r'^hog_bias$', r'local.targets.hog_bias'),
        (r'^(cls_token|patch_embed\.proj\..*|blocks\..*)$', r'encoder.\1'),
        # The last tap reads what the encoder says in the end.
        (r'^norm\.3\.', r'encoder.norm.'),
        (r'^norm\.([012])\.', r'local.norms.\1.'),
        (_LAST, r'local.decoders.\1\2\3.pred.'),
        (r'^decoder\.(\d)\.pred\.', r'local.decoders.\1.resize.'),
        (r'^decoder\.(\d)\.(embed|mask_token|blocks|norm)', r'local.decoders.\1.\2'),
        CLASSIFIER,
    ),
    input=IMAGENET,
    objective='LocalMIM',
    options=_options,
    layout=_layout,
)
