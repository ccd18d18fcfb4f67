"""Images as rows of patches."""

from torch import Tensor

from ..errors import InputSizeError


def patchify(image: Tensor, patch: int) -> Tensor:
    """Cut images into patches; inside a patch the order is row, column, channel.

    Args:
        image: Shape (B, C, H, W).
        patch: Side of a patch in pixels.

    Returns:
        Shape (B, N, patch² · C).

    Raises:
        InputSizeError: If H or W is no multiple of the patch.
    """
    batch, channels, height, width = image.shape
    if height % patch or width % patch:
        raise InputSizeError((height, width), patch)
    image = image.reshape(batch, channels, height // patch, patch, width // patch, patch)
    return image.permute(0, 2, 4, 3, 5, 1).reshape(batch, -1, patch * patch * channels)


def patch_validity(valid: Tensor, patch: int) -> Tensor:
    """Return the share of valid pixels of each patch.

    Args:
        valid: True where a pixel holds data, shape (B, 1, H, W).
        patch: Side of a patch in pixels.

    Returns:
        Shape (B, N, 1), float32.
    """
    return patchify(valid.float(), patch).mean(-1, keepdim=True)


def weighted_mean(tokens: Tensor, weight: Tensor) -> Tensor:
    """Average tokens; those without weight count nothing.

    Args:
        tokens: Shape (B, N, D).
        weight: Shape (B, N, 1).

    Returns:
        Shape (B, D), float32.
    """
    return (tokens.float() * weight).sum(1) / weight.sum(1).clamp(min=1e-6)


def unpatchify(patches: Tensor, patch: int, height: int, width: int) -> Tensor:
    """Undo :func:`patchify`.

    Args:
        patches: Shape (B, N, patch² · C).
        patch: Side of a patch in pixels.
        height: Height of the image in pixels.
        width: Width of the image in pixels.

    Returns:
        Shape (B, C, H, W).
    """
    rows, cols = height // patch, width // patch
    patches = patches.reshape(len(patches), rows, cols, patch, patch, -1)
    return patches.permute(0, 5, 1, 3, 2, 4).reshape(len(patches), -1, height, width)
