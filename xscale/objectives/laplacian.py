"""Low and high frequencies of images, as Scale-MAE is asked for them (Reed et al. 2023, sec. 3)."""

from torch import Tensor
from torch.nn import functional as F

from .terms import VALUE_LOSSES

type Size = tuple[int, int]

#: Losses of frequencies.
LOSSES = {'mse': VALUE_LOSSES['mse'][0], 'l1': VALUE_LOSSES['mae'][0]}


def area_resize(image: Tensor, valid: Tensor, size: Size) -> tuple[Tensor, Tensor]:
    """Average images over the cells of another grid; pixels without data count nothing.

    Args:
        image: Shape (B, C, H, W).
        valid: True where a pixel holds data, shape (B, 1, H, W).
        size: Height h and width w of the result; with more pixels than the image has, they repeat.

    Returns:
        Means, shape (B, C, h, w), 0 where there is no data, and the share of each cell that holds
        data, shape (B, 1, h, w).
    """
    share = F.interpolate(valid.to(image.dtype), size, mode='area')
    total = F.interpolate(image * valid, size, mode='area')
    return total / share.clamp(min=1e-6), share


def smooth(image: Tensor, valid: Tensor, cells: Size, size: Size) -> Tensor:
    """Keep what a few cells can say: average over them, and blend from one to the next.

    Args:
        image: Shape (B, C, H, W).
        valid: True where a pixel holds data, shape (B, 1, H, W).
        cells: Cells down and right.
        size: Height h and width w of the result.

    Returns:
        Shape (B, C, h, w).
    """
    mean, share = area_resize(image, valid, cells)
    # A cell without data lends its neighbours nothing.
    there = (share > 0).to(mean.dtype)
    blended, weight = (
        F.interpolate(part, size, mode='bilinear', align_corners=False) for part in (mean, there)
    )
    return blended / weight.clamp(min=1e-6)


def low_target(
    image: Tensor, valid: Tensor, size: Size, through: int | None = None
) -> tuple[Tensor, Tensor]:
    """Return the low frequencies of images: their means over larger pixels.

    Args:
        image: Shape (B, C, H, W).
        valid: True where a pixel holds data, shape (B, 1, H, W).
        size: Height h and width w of the result.
        through: Side in pixels that they are averaged to before; None for none.

    Returns:
        Shape (B, C, h, w), and True where a pixel holds data, shape (B, 1, h, w).
    """
    if through is not None:
        image, share = area_resize(image, valid, (through, through))
        valid = share > 0
    mean, share = area_resize(image, valid, size)
    return mean, share > 0


def high_target(image: Tensor, valid: Tensor, cells: Size) -> Tensor:
    """Return the high frequencies of images: what a few cells cannot say.

    Args:
        image: Shape (B, C, H, W).
        valid: True where a pixel holds data, shape (B, 1, H, W).
        cells: Cells down and right.

    Returns:
        Shape (B, C, H, W), 0 where there is no data.
    """
    height, width = image.shape[-2:]
    return (image - smooth(image, valid, cells, (height, width))) * valid


def combine(low: Tensor, high: Tensor, cells: Size, valid: Tensor) -> Tensor:
    """Make an image of its low and its high frequencies.

    Args:
        low: Shape (B, C, h, w).
        high: Shape (B, C, H, W).
        cells: The cells of :func:`high_target`.
        valid: True where a pixel of the low frequencies holds data, shape (B, 1, h, w).

    Returns:
        Shape (B, C, H, W).
    """
    height, width = high.shape[-2:]
    return smooth(low, valid, cells, (height, width)) + high


def hidden_pixels(masked: Tensor, rows: int, image: Tensor) -> Tensor:
    """Tell which pixels lie in hidden patches.

    Args:
        masked: True where a patch is hidden, row by row, shape (B, N).
        rows: Patches down.
        image: Any image of the patches' ground, shape (B, C, H, W).

    Returns:
        Shape (B, 1, H, W), bool.
    """
    hidden = masked.unflatten(1, (rows, -1))[:, None].float()
    return F.interpolate(hidden, image.shape[-2:], mode='nearest') > 0


def frequency_loss(
    prediction: Tensor,
    target: Tensor,
    pixels: Tensor,
    bands: Tensor,
    loss: str = 'mse',
    *,
    sum_bands: bool = False,
) -> Tensor:
    """Average a loss over the pixels and bands that count.

    Args:
        prediction: Shape (B, C, H, W).
        target: Shape (B, C, H, W).
        pixels: True where a pixel counts, shape (B, 1, H, W).
        bands: True where a band of it does, shape (B or 1, C, H or 1, W or 1).
        loss: 'mse' or 'l1'.
        sum_bands: Sum over the bands and do not average, as the released code does.
    """
    values = pixels & bands
    error = LOSSES[loss](prediction.float(), target) * values
    return error.sum() / (pixels if sum_bands else values).sum().clamp(min=1)
