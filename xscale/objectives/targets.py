"""What a masked autoencoder is asked to predict."""

from torch import Tensor


def normalize_patches(patches: Tensor, valid: Tensor) -> Tensor:
    """Bring each patch to mean 0 and deviation 1 over its valid values (``norm_pix``).

    The variance is the unbiased one, plus 1e-6 (MAE, He et al. 2022).

    Args:
        patches: Values, shape (B, N, P).
        valid: 1 where a value counts, else 0, shape (B, N, P).

    Returns:
        Shape (B, N, P), 0 where a value does not count.
    """
    count = valid.sum(-1, keepdim=True)
    mean = (patches * valid).sum(-1, keepdim=True) / count.clamp(min=1)
    deviation = (patches - mean) * valid
    variance = deviation.square().sum(-1, keepdim=True) / (count - 1).clamp(min=1)
    return deviation / (variance + 1e-6).sqrt()
