"""Random masks over patch tokens."""

import torch
from torch import Tensor

from ..errors import ConfigError
from ..types import Masks


def masks_from_noise(noise: Tensor, ratio: float) -> Masks:
    """Hide the patches with the largest noise (MAE, He et al. 2022, section 3).

    Args:
        noise: One number a patch, shape (B, N).
        ratio: Share of the patches to hide; ``int(N * (1 - ratio))`` stay visible.

    Returns:
        The masks; visible patches in the order of rising noise.

    Raises:
        ConfigError: If no patch would stay visible.
    """
    count = noise.shape[1]
    visible = int(count * (1 - ratio))
    if not 0 < visible <= count:
        raise ConfigError(f'a mask ratio of {ratio} leaves {visible} of {count} patches visible')
    shuffle = noise.argsort(dim=1)
    restore = shuffle.argsort(dim=1)
    return Masks(keep=shuffle[:, :visible], restore=restore, masked=restore >= visible)


def random_masks(
    batch: int, count: int, ratio: float, generator: torch.Generator, device: torch.device
) -> Masks:
    """Draw a mask for each image.

    Args:
        batch: Images.
        count: Patches of each.
        ratio: Share of the patches to hide.
        generator: Source of the noise, on the CPU, so that every device gets the same masks.
        device: Where to put the masks.
    """
    return masks_from_noise(torch.rand(batch, count, generator=generator).to(device), ratio)


def repeat_masks(masks: Masks, times: int) -> Masks:
    """Hide the same places several times, in images that follow one another.

    Args:
        masks: Masks of N patches.
        times: How often.

    Returns:
        Masks of times · N patches, the visible ones of the first image first.
    """
    count, visible = masks.restore.shape[1], masks.keep.shape[1]
    starts = torch.arange(times, device=masks.keep.device)[:, None] * count
    shuffle = masks.restore.argsort(dim=1)
    kept, hidden = (
        (part[:, None] + starts).flatten(1) for part in (shuffle[:, :visible], shuffle[:, visible:])
    )
    restore = torch.cat([kept, hidden], dim=1).argsort(dim=1)
    return Masks(keep=kept, restore=restore, masked=masks.masked.repeat(1, times))


def gather_tokens(tokens: Tensor, index: Tensor) -> Tensor:
    """Pick tokens of each image.

    Args:
        tokens: Shape (1 or B, N, D).
        index: Shape (B, K).

    Returns:
        Shape (B, K, D).
    """
    if len(tokens) == 1:
        return tokens[0][index]
    return tokens.gather(1, index[..., None].expand(-1, -1, tokens.shape[-1]))
