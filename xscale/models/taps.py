"""What an encoder says of tokens after some of its blocks."""

from collections.abc import Sequence

from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from ..errors import ConfigError
from .vit import add_prefix


def number_blocks(encoder: VisionTransformer, taps: Sequence[int]) -> list[int]:
    """Turn numbers of blocks, of which negative ones count from the end, into those from 0.

    Args:
        encoder: The encoder.
        taps: Numbers of blocks, in rising order.

    Raises:
        ConfigError: If two are the same block, or one does not exist.
    """
    depth = len(encoder.blocks)
    numbers = [tap + depth if tap < 0 else tap for tap in taps]
    if numbers != sorted(set(numbers)) or not 0 <= numbers[0] <= numbers[-1] < depth:
        raise ConfigError(
            f'taps {", ".join(map(str, taps))} are blocks {", ".join(map(str, numbers))} of an '
            f'encoder of {depth} (0 to {depth - 1}); each must be another block, in rising order; '
            'name others with the option taps'
        )
    return numbers


def encode_taps(
    encoder: VisionTransformer,
    tokens: Tensor,
    taps: Sequence[int],
    *,
    normalize: bool = True,
    isolate: bool = False,
) -> tuple[Tensor, list[Tensor]]:
    """Run the transformer as :func:`~xscale.models.vit.encode` does, and keep what is said between.

    Args:
        encoder: The encoder.
        tokens: Patch tokens that already hold their positions, shape (B, K, D).
        taps: Numbers of blocks, from 0, in rising order.
        normalize: Whether to apply the final LayerNorm.
        isolate: Let no gradient through from one tap to what comes before the tap below it.

    Returns:
        What the encoder says in the end, prefix tokens and patches, shape (B, P + K, D); and what
        each of the blocks says, likewise. After the last block that is what it says in the end.
    """
    x, found = add_prefix(encoder, tokens), []
    for number, block in enumerate(encoder.blocks):
        if isolate and number - 1 in taps:
            x = x.detach()
        x = block(x, attn_mask=None)
        if number in taps:
            found.append(x)
    x = encoder.norm(x) if normalize else x
    return x, [*found[:-1], x] if len(encoder.blocks) - 1 in taps else found
