"""What a masked autoencoder is asked to predict."""

from torch import Tensor
from torch.nn import functional as F


def patch_statistics(patches: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean and the deviation of each patch's valid values.

    The variance is the unbiased one, plus 1e-6 (MAE, He et al. 2022).

    Args:
        patches: Values, shape (B, N, P).
        valid: 1 where a value counts, else 0, shape (B, N, P).

    Returns:
        Mean and deviation, each of shape (B, N, 1).
    """
    count = valid.sum(-1, keepdim=True)
    mean = (patches * valid).sum(-1, keepdim=True) / count.clamp(min=1)
    squares = ((patches - mean) * valid).square().sum(-1, keepdim=True)
    return mean, (squares / (count - 1).clamp(min=1) + 1e-6).sqrt()


def normalize_patches(patches: Tensor, valid: Tensor) -> Tensor:
    """Bring each patch to mean 0 and deviation 1 over its valid values (``norm_pix``).

    Args:
        patches: Values, shape (B, N, P).
        valid: 1 where a value counts, else 0, shape (B, N, P).

    Returns:
        Shape (B, N, P), 0 where a value does not count.
    """
    mean, deviation = patch_statistics(patches, valid)
    return (patches - mean) * valid / deviation


def whole_cells(valid: Tensor, cell: int, margin: int = 0) -> Tensor:
    """Tell which cells hold data in every pixel.

    Args:
        valid: True where a pixel holds data, shape (B, 1, H, W).
        cell: Side of a cell in pixels, which divides H and W.
        margin: How many pixels around a cell must hold data too, inside the image.

    Returns:
        Shape (B, N), bool.
    """
    missing = (~valid).float()
    if margin:
        missing = F.max_pool2d(missing, 2 * margin + 1, stride=1, padding=margin)
    return F.max_pool2d(missing, cell).flatten(1) == 0
