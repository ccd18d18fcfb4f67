"""Features of a few classes that overlap, made from a seed."""

import torch
from torch import Tensor

from ..tiny import seeded


def clusters(
    count: int, classes: int, dim: int, *, noise: float = 1.5, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Draw features around one centre for each class, of unequal scale and far from 0.

    Returns:
        Features (count, dim) and labels (count,); centres are the same for every seed.
    """
    centres = torch.randn(classes, dim, generator=seeded(99))
    labels = torch.arange(count) % classes
    draws = torch.randn(count, dim, generator=seeded(seed))
    scale = torch.logspace(-2, 2, dim)
    return (centres[labels] + noise * draws) * scale + 3 * scale, labels


def several_labels(count: int, classes: int, dim: int, *, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Draw features that are the sum of the directions of their labels, and noise."""
    directions = torch.randn(classes, dim, generator=seeded(98))
    labels = torch.rand(count, classes, generator=seeded(seed)) < 0.3
    noise = torch.randn(count, dim, generator=seeded(seed + 1))
    return labels.float() @ directions + 0.8 * noise, labels
