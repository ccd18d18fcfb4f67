"""What attention maps tell: how much depends on the query, and where a token looks."""

import math

import torch
from torch import Tensor

from ..errors import ConfigError


def attention_nmi(maps: Tensor) -> Tensor:
    """Measure how much what is attended to depends on which token asks.

    The normalised mutual information between query and key tokens, I(q; k) / √(H(q) H(k)), with
    p(q) = 1/N and p(k | q) the attention (Park et al. 2023, "What do self-supervised vision
    transformers learn?", arXiv:2305.00729, section 3). 0: all tokens attend to the same, so
    they become alike. 1: each to one of its own.

    Args:
        maps: Attention of a block, each row summing to 1, shape (B, H, N, N).

    Returns:
        For each image and head, shape (B, H), float32; 0 where all attend to one single token.
    """
    maps = maps.double()
    count = maps.shape[-2]
    joint = maps / count
    key = joint.sum(-2)
    mutual = (torch.xlogy(joint, maps) - torch.xlogy(joint, key[..., None, :])).sum((-2, -1))
    entropy = -torch.xlogy(key, key).sum(-1)
    both = (math.log(count) * entropy).clamp(min=0).sqrt()
    nmi = torch.where(both > 1e-9, mutual / both.clamp(min=1e-9), 0.0)
    return nmi.clamp(0, 1).float()


def query_attention(maps: Tensor, query: int, prefix: int = 1) -> Tensor:
    """Show where one token looks, averaged over heads.

    Args:
        maps: Attention of a block on square images, shape (B, H, N, N).
        query: Number of the token; patch i is ``prefix + i``.
        prefix: Tokens before the patches (class, registers).

    Returns:
        Share of the attention each patch gets, shape (B, h, w).

    Raises:
        ConfigError: If there is no such token, or the patches make no square.
    """
    count = maps.shape[-1] - prefix
    side = math.isqrt(max(count, 0))
    if side * side != count or not count:
        raise ConfigError(
            f'{maps.shape[-1]} tokens with {prefix} before the patches make no square image; '
            'say how many are no patches (prefix)'
        )
    if not 0 <= query < maps.shape[-2]:
        raise ConfigError(f'there is no token {query}; there are 0 to {maps.shape[-2] - 1}')
    return maps[:, :, query, prefix:].mean(1).unflatten(-1, (side, side))


def class_attention(maps: Tensor, prefix: int = 1) -> Tensor:
    """Show where the class token looks, averaged over heads.

    Args:
        maps: Attention of a block on square images, shape (B, H, N, N).
        prefix: Tokens before the patches, the class token first.

    Returns:
        Share of the attention each patch gets, shape (B, h, w).
    """
    return query_attention(maps, 0, prefix)
