"""What each token attends to, block by block."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from timm.layers import Attention
from torch import Tensor, nn

from ..errors import ConfigError


@torch.no_grad()
def attention_maps[T](
    model: nn.Module, run: Callable[[], Any], use: Callable[[Tensor], T]
) -> list[T]:
    """Run a model and look at the attention of each block, one at a time.

    The backends never hold the attention, so it is computed once more from what goes into each
    layer; the output of the model does not change. Only what ``use`` returns is kept.

    Args:
        model: Any module that holds attention layers of timm's kind, as our encoders do.
        run: Runs the model, such as ``lambda: embedder(image, gsd)``.
        use: Makes of a block's attention what is wanted. It gets the softmax over keys, shape
            (B, H, N, N), float32: prefix tokens (class, registers) first, then the patches in
            row-major order.

    Returns:
        What ``use`` returned for each block, in the order they ran.

    Raises:
        ConfigError: If the model holds no such layer.
    """
    found: list[T] = []

    def look(layer: Attention, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        found.append(use(softmax_of(layer, *args, **kwargs)))

    layers = [layer for layer in model.modules() if isinstance(layer, Attention)]
    if not layers:
        raise ConfigError(f'{type(model).__name__} holds no attention layers to look into')
    hooks = [layer.register_forward_pre_hook(look, with_kwargs=True) for layer in layers]
    try:
        run()
    finally:
        for hook in hooks:
            hook.remove()
    return found


def softmax_of(
    layer: Attention, x: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False
) -> Tensor:
    """Compute the attention of a layer on its input.

    Args:
        layer: The layer.
        x: Tokens, shape (B, N, D).
        attn_mask: Bias added to the scores, broadcastable to (B, H, N, N).
        is_causal: Not supported; images have no direction.

    Returns:
        Shape (B, H, N, N), float32; each row sums to 1.
    """
    batch, count, _ = x.shape
    qkv = layer.qkv(x).reshape(batch, count, 3, layer.num_heads, -1)
    query, key = qkv.permute(2, 0, 3, 1, 4)[:2]
    query, key = layer.q_norm(query).float(), layer.k_norm(key).float()
    scores = query * query.shape[-1] ** -0.5 @ key.mT
    return (scores if attn_mask is None else scores + attn_mask.float()).softmax(-1)
