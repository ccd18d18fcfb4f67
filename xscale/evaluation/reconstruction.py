"""How far hidden patches are from what was predicted for them."""

from typing import NamedTuple

import torch
from torch import Tensor

from .checks import EvaluationError
from .controls import hidden_pixels

#: Weights of the scales of MS-SSIM (Wang, Simoncelli and Bovik 2003), finest first, and the side
#: of its window in pixels.
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
WINDOW = 11

#: Standard deviations that black to white is of for SSIM. Eight-bit images of the ground span
#: about five of their own; the constants of SSIM were chosen on such images.
SPAN = 5.0


class ReconstructionErrors(NamedTuple):
    """Errors of each image; NaN for images of which nothing was hidden that holds data.

    Attributes:
        mse: Mean squared error over hidden pixels, in squared standard deviations, shape (B,).
        l1: Mean absolute error over hidden pixels, in standard deviations, shape (B,).
        ssim: Structural similarity of the whole image, −1 to 1, shape (B,).
        ms_ssim: Likewise over several scales, 0 to 1, shape (B,), NaN for images with missing
            pixels; None for images too small for two scales.
    """

    mse: Tensor
    l1: Tensor
    ssim: Tensor
    ms_ssim: Tensor | None


def composite(image: Tensor, prediction: Tensor, masked: Tensor, patch: int) -> Tensor:
    """Put predicted patches where patches were hidden.

    Args:
        image: Shape (B, C, H, W).
        prediction: Predicted images, of which only hidden patches are used, shape (B, C, H, W).
        masked: True where a patch was hidden, row by row, shape (B, N).
        patch: Side of a patch in pixels.

    Returns:
        Shape (B, C, H, W), float32.
    """
    hidden = hidden_pixels(masked, patch, *image.shape[-2:])
    return torch.where(hidden, prediction.float(), image.float())


def reconstruction_errors(
    image: Tensor, prediction: Tensor, valid: Tensor, masked: Tensor, patch: int
) -> ReconstructionErrors:
    """Compare predictions with the images.

    MSE and L1 are over hidden pixels that hold data, on normalised values. SSIM (Wang et al.,
    2004) and MS-SSIM (Wang et al., 2003) are of the :func:`composite`, by torchmetrics; values
    within ±2.5 deviations become 0 to 1 for them and others are cut off, since both were made for
    images that go from black to white. SSIM is averaged over pixels that hold data; the windows
    of MS-SSIM cannot be left out, so it is NaN for images with missing pixels.

    Args:
        image: Normalised pixels, shape (B, C, H, W).
        prediction: Predicted images, shape (B, C, H, W).
        valid: True where a pixel holds data, shape (B, 1, H, W), bool.
        masked: True where a patch was hidden, row by row, shape (B, N).
        patch: Side of a patch in pixels.

    Raises:
        EvaluationError: If the shapes do not fit, or the prediction is not finite.
        InputSizeError: If the sides are no multiple of the patch.
    """
    _check(image, prediction, valid)
    hidden = hidden_pixels(masked, patch, *image.shape[-2:])
    counted = (hidden & valid).expand_as(image)
    count = counted.sum((1, 2, 3))
    error = (prediction.float() - image.float()).masked_fill(~counted, 0.0)
    mse = error.square().sum((1, 2, 3)) / count
    l1 = error.abs().sum((1, 2, 3)) / count
    made = composite(image, prediction, masked, patch)
    first, second = (
        (one.masked_fill(~valid, 0.0) / SPAN + 0.5).clamp(0, 1) for one in (made, image.float())
    )
    nothing = count == 0
    ssim = _ssim(first, second, valid).masked_fill(nothing, torch.nan)
    multiple = _ms_ssim(first, second)
    if multiple is not None:
        multiple = multiple.masked_fill(nothing | ~valid.all((1, 2, 3)), torch.nan)
    return ReconstructionErrors(mse, l1, ssim, multiple)


def ms_ssim_scales(side: int) -> int:
    """Return how many scales of MS-SSIM fit into an image, at most five.

    At each the window must fit, and torchmetrics wants the side to be more than ten times the
    square of the number of scales less one.

    Args:
        side: The shorter side of the image in pixels.

    Returns:
        5 from 176 px on, 4 from 99, 3 from 44, 2 from 22, 1 from 11, else 0.
    """
    fit = [
        scales
        for scales in range(1, len(WEIGHTS) + 1)
        if side >> (scales - 1) >= WINDOW and side // max(1, scales - 1) ** 2 >= WINDOW
    ]
    return max(fit, default=0)


def _ssim(made: Tensor, image: Tensor, valid: Tensor) -> Tensor:
    """Average SSIM over the pixels that hold data, shape (B,); NaN below the window's side."""
    from torchmetrics.functional.image import structural_similarity_index_measure

    if min(image.shape[-2:]) < WINDOW:
        return image.new_full((len(image),), torch.nan)
    _, each = structural_similarity_index_measure(
        made, image, data_range=1.0, reduction='none', return_full_image=True
    )
    weight = valid.expand_as(each)
    return (each * weight).sum((1, 2, 3)) / weight.sum((1, 2, 3))


def _ms_ssim(made: Tensor, image: Tensor) -> Tensor | None:
    """Return MS-SSIM over as many scales as fit, shape (B,), or None."""
    from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

    scales = ms_ssim_scales(min(image.shape[-2:]))
    if scales < 2:
        return None
    total = sum(WEIGHTS[:scales])
    betas = tuple(weight / total for weight in WEIGHTS[:scales])
    found: Tensor = multiscale_structural_similarity_index_measure(
        made, image, data_range=1.0, reduction='none', betas=betas
    )
    # One image comes back without its axis.
    return found.reshape(len(image))


def _check(image: Tensor, prediction: Tensor, valid: Tensor) -> None:
    wanted = (len(image), 1, *image.shape[-2:])
    if image.ndim != 4 or prediction.shape != image.shape or valid.shape != wanted:
        raise EvaluationError(
            f'images {tuple(image.shape)}, predictions {tuple(prediction.shape)} and masks of '
            f'data {tuple(valid.shape)} came; (B, C, H, W) twice and (B, 1, H, W) are needed'
        )
    bad = int((~prediction.isfinite()).any(3).any(2).any(1).sum())
    if bad:
        raise EvaluationError(
            f'{bad} of {len(image)} predictions are not finite; predict in float32'
        )
