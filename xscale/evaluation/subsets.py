"""Some of the labels: few of each class, drawn by a seed."""

import torch
from torch import Tensor

from .checks import EvaluationError


def label_subset(labels: Tensor, share: float, seed: int = 0) -> Tensor:
    """Draw a share of the labels, of each class alike and at least one of each.

    With one seed, a smaller share lies within a larger one. Where images have several labels, the
    share is drawn over all, after one image for each class that is there.

    Args:
        labels: Shape (N,), int64, or (N, K), bool.
        share: Above 0, up to 1.
        seed: Decides the draw.

    Returns:
        Numbers of images, ascending, shape (n,), int64.

    Raises:
        EvaluationError: If the share is not one.
    """
    if not 0 < share <= 1:
        raise EvaluationError(f'a share of {share} of the labels came; above 0, up to 1 is needed')
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    if labels.ndim == 1:
        members = [order[labels[order] == label] for label in labels.unique()]
        drawn = [one[: max(1, round(share * len(one)))] for one in members]
        return torch.cat(drawn).sort().values
    first = [order[labels[order, label]][:1] for label in range(labels.shape[1])]
    needed = torch.cat(first).unique()
    others = order[~torch.isin(order, needed)]
    more = max(0, round(share * len(labels)) - len(needed))
    return torch.cat([needed, others[:more]]).sort().values


def at_most(labels: Tensor, count: int, seed: int = 0) -> Tensor:
    """Draw a number of images, of each class alike, as long as it goes round one of each.

    Args:
        labels: Shape (N,), int64, or (N, K), bool.
        count: How many, at least one for each class; all where there are no more.
        seed: Decides the draw.

    Returns:
        Numbers of images, ascending, shape (min(N, count),), int64.

    Raises:
        EvaluationError: If there are more classes than that.
    """
    if len(labels) <= count:
        return torch.arange(len(labels))
    classes = labels.any(0).sum() if labels.ndim == 2 else len(labels.unique())
    if count < classes:
        raise EvaluationError(
            f'{count} images were asked for, and there are {classes} classes; at least one of each '
            'is needed'
        )
    if labels.ndim == 2:
        return label_subset(labels, count / len(labels), seed)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    share = torch.empty(len(labels), dtype=torch.float64)
    for label in labels.unique():
        members = order[labels[order] == label]
        # The first of each class is 0, so all classes are there.
        share[members] = torch.arange(len(members), dtype=torch.float64) / len(members)
    return order[share[order].argsort(stable=True)[:count]].sort().values


def hold_out(labels: Tensor, images: Tensor, share: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Part labelled images in two, so that the first has each class that both have.

    Args:
        labels: Of all images, shape (N,), int64, or (N, K), bool.
        images: Numbers of those to part, shape (n,).
        share: Share of each class that goes to the second part; classes of one image do not.
        seed: Decides the draw.

    Returns:
        Numbers of images of the first and of the second part.
    """
    order = images[torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))]
    if labels.ndim == 2:
        count = round(share * len(order))
        return order[count:], order[:count]
    held = []
    for label in labels[order].unique():
        members = order[labels[order] == label]
        held.append(members[: max(1, round(share * len(members)))][: len(members) - 1])
    second = torch.cat(held)
    return order[~torch.isin(order, second)], second
