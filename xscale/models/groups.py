"""Groups of bands: each has its own patch embedding, and all share one encoder."""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy

import torch
from timm.layers import PatchEmbed
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from .local import keep_positions


def create_embeds(
    encoder: VisionTransformer, groups: Mapping[str, int], init: str = 'xavier'
) -> nn.ModuleDict:
    """Build the patch embeddings of groups of bands beyond the first, whose is the encoder's.

    Args:
        encoder: The encoder.
        groups: Number of bands of each group, by name.
        init: Weights to start from, one of :data:`~xscale.models.local.INITS`.
    """
    own = encoder.patch_embed
    embeds = nn.ModuleDict()
    for name, channels in groups.items():
        embeds[name] = embed = PatchEmbed(
            img_size=own.img_size,
            patch_size=own.patch_size,
            in_chans=channels,
            embed_dim=own.proj.out_channels,
        )
        embed.norm = deepcopy(own.norm)
        init_patch_embed(embed, init)
    return embeds


def init_patch_embed(embed: PatchEmbed, init: str = 'xavier') -> None:
    """Initialise a patch embedding as MAE does: Xavier weights, as of one linear layer.

    Args:
        embed: The patch embedding.
        init: 'local' keeps the channels free that tell near positions apart.
    """
    weight = embed.proj.weight
    nn.init.xavier_uniform_(weight.view(len(weight), -1))
    if init == 'local':
        keep_positions(weight)


def by_group(
    functions: Sequence[Callable[[Tensor], Tensor]], x: Tensor, group: Tensor | None
) -> Tensor:
    """Apply to each image what is meant for its group.

    A function without images is applied to none, so that under DistributedDataParallel every
    parameter takes part in every step.

    Args:
        functions: One for each group, all of one shape of output.
        x: Shape (B, …).
        group: Which group each image is of, shape (B,); None for the first.

    Returns:
        Shape (B, …).
    """
    if len(functions) == 1:
        return functions[0](x)
    if group is None:
        group = torch.zeros(len(x), dtype=torch.int64, device=x.device)
    rows = [(group == number).nonzero()[:, 0] for number in range(len(functions))]
    parts = [function(x[own]) for function, own in zip(functions, rows, strict=True)]
    return torch.cat(parts)[torch.cat(rows).argsort()]


def narrow(patches: Tensor, channels: int, patch: int) -> Tensor:
    """Keep the first channels of patches.

    Args:
        patches: Rows in (row, column, channel) order, shape (B, N, patch² · C).
        channels: How many to keep.
        patch: Side of a patch in pixels.

    Returns:
        Shape (B, N, patch² · channels).
    """
    return patches.unflatten(-1, (patch * patch, -1))[..., :channels].flatten(-2)


def widen(patches: Tensor, channels: int, patch: int) -> Tensor:
    """Fill up the channels of patches with 0.

    Args:
        patches: Rows in (row, column, channel) order, shape (B, N, patch² · C).
        channels: How many there are to be.
        patch: Side of a patch in pixels.

    Returns:
        Shape (B, N, patch² · channels).
    """
    pixels = patches.unflatten(-1, (patch * patch, -1))
    return nn.functional.pad(pixels, (0, channels - pixels.shape[-1])).flatten(-2)
