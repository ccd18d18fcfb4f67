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
    visible = check_visible(int(count * (1 - ratio)), count, ratio)
    shuffle = noise.argsort(dim=1)
    restore = shuffle.argsort(dim=1)
    return Masks(keep=shuffle[:, :visible], restore=restore, masked=restore >= visible)


def check_visible(visible: int, count: int, ratio: float) -> int:
    """Make sure that a patch stays visible.

    Args:
        visible: How many do.
        count: Patches of an image.
        ratio: Share of the patches to hide, as it was asked for.

    Returns:
        How many stay visible.

    Raises:
        ConfigError: If none would.
    """
    if not 0 < visible <= count:
        raise ConfigError(f'a mask ratio of {ratio} leaves {visible} of {count} patches visible')
    return visible


def masks_in_order(noise: Tensor, hidden: int) -> Masks:
    """Hide the patches with the least noise, and leave the others in the order of the image.

    Args:
        noise: One number a patch, shape (B, N).
        hidden: How many to hide.
    """
    masked = noise.argsort(dim=1).argsort(dim=1) < hidden
    shuffle = masked.int().argsort(dim=1, stable=True)
    keep = shuffle[:, : noise.shape[1] - hidden]
    return Masks(keep=keep, restore=shuffle.argsort(dim=1), masked=masked)


def refine_masks(masks: Masks, cols: int, times: int) -> Masks:
    """Hide the same places of a finer grid.

    Args:
        masks: Masks of a grid, row by row.
        cols: Its columns.
        times: How many places of the finer grid lie along the side of one.

    Returns:
        Masks of the finer grid, row by row; visible places in the order of those they lie in, and
        row by row in each.
    """
    inner = torch.arange(times, device=masks.keep.device)
    inside = (inner[:, None] * cols * times + inner).flatten()
    shuffle = masks.restore.argsort(dim=1)
    first = shuffle // cols * cols * times**2 + shuffle % cols * times
    shuffle = (first[..., None] + inside).flatten(1)
    visible = masks.keep.shape[1] * times**2
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
