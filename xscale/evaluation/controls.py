"""What can be said of hidden patches without a model."""

import torch
from torch import Tensor

from ..errors import InputSizeError
from .checks import EvaluationError

#: Names of the answers: what a model must at least beat, and what tells how fine it paints.
MEAN, INTERPOLATION, OWN = 'mean of the view', 'interpolation', 'own mean colours'


def hidden_pixels(masked: Tensor, patch: int, height: int, width: int) -> Tensor:
    """Tell which pixels lie in hidden patches.

    Args:
        masked: True where a patch is hidden, row by row, shape (B, N).
        patch: Side of a patch in pixels.
        height: Height of the image in pixels.
        width: Width of the image in pixels.

    Returns:
        Shape (B, 1, H, W), bool.

    Raises:
        InputSizeError: If the sides are no multiple of the patch.
        EvaluationError: If there is another number of patches.
    """
    if height % patch or width % patch:
        raise InputSizeError((height, width), patch)
    rows, cols = height // patch, width // patch
    if masked.shape[-1] != rows * cols:
        raise EvaluationError(
            f'a mask of {masked.shape[-1]} patches came; an image of {height}×{width} px has '
            f'{rows * cols} patches of {patch} px'
        )
    return _spread(masked.unflatten(-1, (1, rows, cols)), patch)


def without_model(image: Tensor, valid: Tensor, masked: Tensor, patch: int) -> dict[str, Tensor]:
    """Predict images from the colours of their patches.

    Args:
        image: Shape (B, C, H, W).
        valid: True where a pixel holds data, shape (B, 1, H, W), bool.
        masked: True where a patch is hidden, row by row, shape (B, N).
        patch: Side of a patch in pixels.

    Returns:
        Images, each of shape (B, C, H, W), float32: :data:`MEAN`, the mean of all visible pixels;
        :data:`INTERPOLATION`, the mean colours of the visible patches weighted by the inverse
        cube of their distance; and, which no model can know, :data:`OWN`, each patch's own mean
        colour, the best that one colour a patch can be.

    Raises:
        InputSizeError: If the sides are no multiple of the patch.
        EvaluationError: If there is another number of patches.
    """
    height, width = image.shape[-2:]
    hidden = hidden_pixels(masked, patch, height, width)
    rows, cols = height // patch, width // patch
    known = image.float().masked_fill(~valid, 0.0)
    total = _sums(known, patch)
    count = _sums(valid.float(), patch)
    colours = total / count.clamp(min=1e-6)
    # Of each patch, the share of its pixels that is seen and holds data.
    seen = count * ~masked.unflatten(-1, (1, rows, cols))
    mean = (known * ~hidden).sum((2, 3)) / seen.sum((2, 3)).clamp(min=1e-6)
    places = torch.cartesian_prod(
        *(torch.arange(side, dtype=torch.float32, device=image.device) for side in (rows, cols))
    ).reshape(-1, 2)
    near = seen.flatten(2) / patch**2 / (torch.cdist(places, places) ** 3 + 1e-3)
    near = near / near.sum(-1, keepdim=True).clamp(min=1e-6)
    blended = (near @ colours.flatten(2).mT).mT.unflatten(-1, (rows, cols))
    return {
        MEAN: mean[:, :, None, None].expand_as(known),
        INTERPOLATION: _spread(blended, patch),
        OWN: _spread(colours, patch),
    }


def _sums(image: Tensor, patch: int) -> Tensor:
    """Sum the pixels of each patch, shape (B, C, rows, cols)."""
    return image.unflatten(-1, (-1, patch)).unflatten(-3, (-1, patch)).sum((-1, -3))


def _spread(grid: Tensor, patch: int) -> Tensor:
    """Give each pixel its patch's value, (B, C, rows, cols) to (B, C, H, W)."""
    return grid.repeat_interleave(patch, -2).repeat_interleave(patch, -1)
