"""The word of ``--precision``, as Lightning and autocast know it."""

import torch

from ..errors import UnknownNameError

#: Precisions that keep places on the ground in full.
PRECISIONS = ('32-true', '64-true', 'bf16-mixed', '16-mixed')


def resolve_precision(precision: str) -> str:
    """Turn 'auto' into what Lightning knows: bf16 where the device computes it fast.

    Args:
        precision: 'auto', or a word of Lightning's.

    Raises:
        UnknownNameError: If there is no such word.
    """
    if precision != 'auto':
        if precision not in PRECISIONS:
            raise UnknownNameError('precision', precision, ['auto', *PRECISIONS])
        return precision
    if torch.cuda.is_available():
        return (
            'bf16-mixed' if torch.cuda.is_bf16_supported(including_emulation=False) else '32-true'
        )
    fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return 'bf16-mixed' if fast else '32-true'


def autocast_dtype(precision: str) -> torch.dtype | None:
    """Return what a model is computed in where it is only asked.

    Args:
        precision: As :func:`resolve_precision` takes it.

    Returns:
        The type of its products; None for float32.

    Raises:
        UnknownNameError: If there is no such word.
    """
    kinds = {'32-true': None, 'bf16-mixed': torch.bfloat16, '16-mixed': torch.float16}
    resolved = resolve_precision(precision)
    if resolved not in kinds:
        raise UnknownNameError('precision', precision, ['auto', *kinds])
    return kinds[resolved]
