"""The same image with fewer pixels, or with as many as an encoder takes."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import ConfigError

#: Share of a new pixel that must hold data for it to count.
LEAST_VALID = 0.5


class Resampled(NamedTuple):
    """Images at another size.

    Attributes:
        image: Shape (B, C, h, w), float32; 0 where there is no data.
        valid: True where a pixel holds data, shape (B, 1, h, w), bool.
        factor: New pixels per old pixel along a side, as it came out in whole pixels (the
            geometric mean of both sides). Divide the ground sample distance by it.
    """

    image: Tensor
    valid: Tensor
    factor: float


def downsample(image: Tensor, valid: Tensor, factor: float) -> Resampled:
    """Average images over coarser pixels, as a sensor of a coarser GSD would.

    Each new pixel is the mean of the ground it covers, parts of pixels included; pixels without
    data count nothing. For evaluation across scales as in Scale-MAE (Reed et al., ICCV 2023,
    arXiv:2212.14532).

    Args:
        image: Shape (B, C, H, W), in any unit.
        valid: True where a pixel holds data, shape (B, 1, H, W), bool.
        factor: Side of the result over that of the image, above 0, up to 1; the result has whole
            pixels, and at 1 is the image itself.

    Raises:
        ConfigError: If the factor is out of range, or leaves less than a pixel.
    """
    _check(image, valid)
    if not 0 < factor <= 1:
        raise ConfigError(
            f'a scale of {factor} came; above 0, up to 1 is needed (0.25 is a quarter of the side)'
        )
    height, width = image.shape[-2:]
    new = round(height * factor), round(width * factor)
    if not all(new):
        raise ConfigError(
            f'images of {height}×{width} px at a scale of {factor:.3g} have less than a pixel; '
            'use larger scales'
        )
    down, right = (
        _area(old, size).to(image.device, torch.float32)
        for old, size in zip((height, width), new, strict=True)
    )
    share = down @ valid.float() @ right.mT
    total = down @ image.float().masked_fill(~valid, 0.0) @ right.mT
    seen = share > LEAST_VALID - 1e-4
    mean = (total / share.clamp(min=1e-6)).masked_fill(~seen, 0.0)
    return Resampled(_within(mean, image, valid, seen), seen, _factor(new, (height, width)))


def _area(length: int, size: int) -> Tensor:
    """Write the mean over coarser pixels along one axis as a matrix, shape (size, length)."""
    step = length / size
    start = torch.arange(size, dtype=torch.float64)[:, None] * step
    pixel = torch.arange(length, dtype=torch.float64)
    covered = torch.minimum(start + step, pixel + 1) - torch.maximum(start, pixel)
    return covered.clamp(min=0) / step


def resample(image: Tensor, valid: Tensor, side: int) -> Resampled:
    """Bring square images to another side, for encoders that take only some.

    Bicubic with an anti-aliasing filter. A new pixel near missing ones is the weighted mean of
    those with data (bilinear, whose weights are not negative).

    Args:
        image: Shape (B, C, S, S), in any unit.
        valid: True where a pixel holds data, shape (B, 1, S, S), bool.
        side: Pixels of the result along a side.

    Returns:
        Values lie within the range that each band of each image had.

    Raises:
        ConfigError: If images are not square, or the side is below 1.
    """
    _check(image, valid)
    if image.shape[-1] != image.shape[-2] or side < 1:
        raise ConfigError(
            f'images of {image.shape[-2]}×{image.shape[-1]} px to {side} px; square images and a '
            'side of at least 1 px are needed: crop them first'
        )
    factor = side / image.shape[-1]
    known = image.float().masked_fill(~valid, 0.0)
    if side == image.shape[-1]:
        return Resampled(known, valid, factor)
    new = _interpolate(known, side, 'bicubic')
    if bool(valid.all()):
        return Resampled(_within(new, image, valid, valid.new_ones(1)), _all(valid, side), factor)
    gap = (~valid).float()
    lacking = _interpolate(gap, side, 'bilinear')
    share = 1 - lacking
    near = _interpolate(known, side, 'bilinear') / share.clamp(min=1e-6)
    touched = (_interpolate(gap, side, 'bicubic') != 0) | (lacking > 0)
    seen = share > LEAST_VALID - 1e-4
    new = torch.where(touched, near, new)
    return Resampled(_within(new, image, valid, seen), seen, factor)


def _interpolate(image: Tensor, side: int, mode: str) -> Tensor:
    return F.interpolate(image, (side, side), mode=mode, antialias=True)


def _all(valid: Tensor, side: int) -> Tensor:
    return valid.new_ones(len(valid), 1, side, side)


def _within(new: Tensor, image: Tensor, valid: Tensor, seen: Tensor) -> Tensor:
    """Cut values off at the range of the image's own, and set those without data to 0."""
    values = image.float()
    low = values.masked_fill(~valid, torch.inf).amin((2, 3), keepdim=True)
    high = values.masked_fill(~valid, -torch.inf).amax((2, 3), keepdim=True)
    # Without any data low is above high; what comes out is 0 in any case.
    return torch.minimum(torch.maximum(new, low), high).masked_fill(~seen, 0.0)


def _factor(new: tuple[int, int], old: tuple[int, int]) -> float:
    return float(((new[0] / old[0]) * (new[1] / old[1])) ** 0.5)


def _check(image: Tensor, valid: Tensor) -> None:
    """Refuse images whose mask is not theirs."""
    if image.ndim != 4 or valid.shape != (len(image), 1, *image.shape[-2:]):
        raise ConfigError(
            f'images of shape {tuple(image.shape)} with a mask of shape {tuple(valid.shape)} '
            'came; (B, C, H, W) and (B, 1, H, W) are needed'
        )
    if valid.dtype != torch.bool:
        raise ConfigError(f'a mask of type {valid.dtype} came; bool is needed')
