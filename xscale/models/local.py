"""Weights to start from whose attention looks at the patches nearby."""

import math
from collections.abc import Iterable

import torch
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from ..errors import UnknownNameError
from .position import position_channels

#: Weights to start from: 'xavier', as MAE has them; 'local', those of :func:`start_local`.
INITS = ('xavier', 'local')

#: How fast attention falls off: the logits of patches one, two and three patches away are about
#: 1, 3.4 and 6 less than a patch's own, on tokens normalised to twice the size of their positions.
SHARPNESS = 2.0

#: Share of what a token attends to that a block adds to it.
COPIED = 0.25

#: Deviation of what is written into a token, beside positions of about 0.7.
CONTENT = 0.5


def check_init(init: str) -> None:
    """Make sure that there are such weights to start from.

    Args:
        init: One of :data:`INITS`.

    Raises:
        UnknownNameError: If it is none of them.
    """
    if init not in INITS:
        raise UnknownNameError('init', init, INITS)


@torch.no_grad()
def start_local(blocks: Iterable[Block]) -> None:
    """Let every block copy from the patches around each patch, until it learns better.

    A vision transformer has to learn which patches are neighbours: with random weights its
    attention is the same everywhere, and a masked autoencoder predicts the mean of the image for
    hundreds of steps. As in mimetic initialisation (Trockman and Kolter 2023, arXiv:2305.09828) the
    product of query and key is the identity, but on those channels alone that tell near positions
    apart, and nothing is written into these, so attention depends on the distance and not on
    whether a patch is hidden. The product of value and projection is a positive share of the
    identity, where classifiers have a negative one: what is hidden is like what is near it.

    Args:
        blocks: Blocks for tokens of sin-cos positions of patches; all draws are from torch's global
            generator, as in :mod:`torch.nn.init`.
    """
    for block in blocks:
        attention = block.attn
        channels = position_channels(attention.qkv.in_features)
        query, key, value = attention.qkv.weight.chunk(3)
        for head in range(attention.num_heads):
            rows = slice(head * attention.head_dim, (head + 1) * attention.head_dim)
            query[rows, channels] = key[rows, channels] = _projection(attention.head_dim, query)
        nn.init.orthogonal_(value, math.sqrt(COPIED))
        attention.proj.weight.copy_(value.mT)
        for layer in (attention.proj, block.mlp.fc2):
            keep_positions(layer.weight)


@torch.no_grad()
def keep_positions(weight: Tensor) -> None:
    """Write nothing into the channels that tell near positions apart.

    Args:
        weight: Of a layer that writes into tokens, shape (D, …).
    """
    weight[position_channels(len(weight))] = 0


def _projection(head_dim: int, query: Tensor) -> Tensor:
    """Draw what queries and keys of a head both are: a rotation of the positions' channels."""
    dim = query.shape[1]
    count = len(position_channels(dim))
    # Frequencies lie evenly in the logarithm, dim / 4 of them from 1 to 1 / 10000.
    density = dim / 4 / math.log(10000)
    gain = SHARPNESS / density * math.sqrt(head_dim) * count / min(count, head_dim)
    return nn.init.orthogonal_(query.new_empty(head_dim, count), math.sqrt(gain))
