"""Histograms of oriented gradients (Dalal and Triggs, CVPR 2005), as LocalMIM takes them."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def gradients(image: Tensor) -> Tensor:
    """Filter images with the 3×3 Sobel pair; the border is reflected.

    Differences are taken before they are smoothed, so that where the border mirrors the image they
    are exactly 0, and no rounding decides which way a gradient points.

    Args:
        image: Shape (B, C, H, W).

    Returns:
        Left minus right and upper minus lower, shape (B, 2, C, H, W), float32.
    """
    image = F.pad(image.float(), (1, 1, 1, 1), mode='reflect')
    across = image[..., :-2] - image[..., 2:]
    down = image[..., :-2, :] - image[..., 2:, :]
    across = across[..., :-2, :] + 2 * across[..., 1:-1, :] + across[..., 2:, :]
    down = down[..., :-2] + 2 * down[..., 1:-1] + down[..., 2:]
    return torch.stack([across, down], dim=1)


def histograms(gradient: Tensor, cells: Sequence[int], bins: int = 9) -> list[Tensor]:
    """Count in which directions the gradients of each cell point.

    The angle is atan2(across, down); opposite directions share a bin, and a pixel's whole
    magnitude goes into one bin. The bins of each band of a cell have the L2 norm 1.

    Args:
        gradient: As :func:`gradients` returns it, shape (B, 2, C, H, W).
        cells: Sides of square cells in pixels, which divide H and W.
        bins: Directions of half a turn.

    Returns:
        For each size of cells the bins of each band, cells row by row, (B, N, C · bins).
    """
    across, down = gradient.unbind(1)
    magnitude = gradient.square().sum(1).sqrt()
    which = (torch.atan2(across, down) / math.pi * bins).floor().long() % bins
    # Added into the cells: a plane for each bin would be many times the image.
    unit = math.gcd(*cells)
    into = _pixels(magnitude, unit)
    counted = into.new_zeros(*into.shape[:-1], bins)
    counted = counted.scatter_add_(-1, _pixels(which, unit), into)
    found = []
    for cell in cells:
        step = cell // unit
        # (B, C, rows, cols, bins)
        wide = counted.unflatten(3, (-1, step)).unflatten(2, (-1, step)).mean((3, 5))
        wide = F.normalize(wide / unit**2, dim=-1)
        found.append(wide.permute(0, 2, 3, 1, 4).flatten(3).flatten(1, 2))
    return found


def _pixels(image: Tensor, cell: int) -> Tensor:
    """List the pixels of each cell, (B, C, H, W) to (B, C, rows, cols, cell²)."""
    image = image.unflatten(3, (-1, cell)).unflatten(2, (-1, cell))
    return image.transpose(3, 4).flatten(4)


def draw_histograms(found: Tensor, rows: int, bins: int, side: int) -> Tensor:
    """Draw the directions of edges in each cell, the mean of the bands.

    What a bin has more than the least of its cell is drawn, so a cell without direction is black:
    as a white stroke along the edge, on a ground whose hue says the direction.

    Args:
        found: Histograms, negative values as 0, shape (B, N, C · bins).
        rows: Cells down.
        bins: Directions of half a turn.
        side: Side of a drawn cell in pixels.

    Returns:
        Colours 0 to 1, shape (B, 3, rows · side, …).
    """
    found = found.float().clamp(min=0).unflatten(-1, (-1, bins)).mean(-2)
    found = (found - found.amin(-1, keepdim=True)).unflatten(1, (rows, -1))
    turn = (torch.arange(bins, device=found.device) + 0.5) / bins
    across, down = (turn * math.pi).sin()[:, None, None], (turn * math.pi).cos()[:, None, None]
    place = torch.arange(side, device=found.device) - (side - 1) / 2
    # A gradient lies along (across, down), and its edge square to that.
    off = across * place + down * place[:, None]
    along = down * place - across * place[:, None]
    stroke = (1 - off.abs()).clamp(min=0) * (along.abs() <= (side - 1) / 2)
    hue = (
        0.5 + 0.5 * (2 * math.pi * (turn[:, None] - torch.arange(3, device=turn.device) / 3)).cos()
    )
    drawn = torch.einsum('bhwn,nyx->bhywx', found, stroke)[:, None]
    ground = torch.einsum('bhwn,nc->bchw', found, hue)[:, :, :, None, :, None]
    return (0.6 * ground + drawn).clamp(max=1).flatten(4).flatten(2, 3)
