"""Labels and masks that a model can learn from, or an error that says which cannot."""

from typing import Any

import torch
from torch import Tensor

from ..errors import ConfigError
from ..types import Sample

#: Entries of a batch that may name the files of its samples.
NAMES = ('path', 'filepath', 'filename', 'image_path', 'mask_path')

#: Samples named in a message.
SHOWN = 5


def check_labels(batch: Sample, number: int, classes: int, ignore: int | None) -> Tensor:
    """Return the labels of a batch of one class each.

    Args:
        batch: The batch, with ``label`` of shape (B,).
        number: Its number, for messages.
        classes: Number of classes.
        ignore: Label that counts nothing.

    Returns:
        Shape (B,), int64.

    Raises:
        ConfigError: If a label is no class.
    """
    label = _entry(batch, 'label', number)
    if label.ndim == 2 and label.shape[1] == 1:
        label = label[:, 0]
    if label.ndim != 1 or len(label) != len(batch['image']):
        raise ConfigError(
            f'batch {number}: labels of shape {tuple(label.shape)} came for '
            f'{len(batch["image"])} images, one class each is needed; set task: multilabel for '
            'labels of several classes'
        )
    return _in_range(label.long(), batch, number, classes, ignore, 'labels')


def check_multilabels(batch: Sample, number: int, classes: int) -> Tensor:
    """Return the labels of a batch of several classes each.

    Args:
        batch: The batch, with ``label`` of shape (B, K): which classes each image shows.
        number: Its number, for messages.
        classes: Number of classes, K.

    Returns:
        Shape (B, K), int64, of 0 and 1.

    Raises:
        ConfigError: If there is not 0 or 1 for each class.
    """
    label = _entry(batch, 'label', number)
    wanted = len(batch['image']), classes
    if tuple(label.shape) != wanted:
        raise ConfigError(
            f'batch {number}: labels of shape {tuple(label.shape)} came, {wanted} is needed: for '
            'each image a 0 or 1 for each class (num_labels)'
        )
    return _in_range(label.long(), batch, number, 2, None, 'labels')


def check_masks(
    batch: Sample, number: int, classes: int, ignore: int | None, valid: Tensor
) -> Tensor:
    """Return the masks of a batch; where an image has no data nothing is labelled.

    Args:
        batch: The batch, with ``mask`` of shape (B, H, W) or (B, 1, H, W).
        number: Its number, for messages.
        classes: Number of classes.
        ignore: Label of pixels that are not labelled.
        valid: True where the image holds data, shape (B, 1, H, W).

    Returns:
        Shape (B, H, W), int64.

    Raises:
        ConfigError: If masks and images are of other sizes, or a pixel is of no class.
    """
    mask, image = _entry(batch, 'mask', number), batch['image']
    if mask.ndim == 4 and mask.shape[1] == 1:
        mask = mask[:, 0]
    if mask.ndim != 3 or mask.shape[-2:] != image.shape[-2:]:
        came, wanted = ('×'.join(map(str, one.shape[-2:])) for one in (mask, image))
        raise ConfigError(
            f'batch {number}{_files(batch, range(len(image)))}: masks of {came} px (shape '
            f'{tuple(mask.shape)}) came for images of {wanted} px; each pixel of an image needs '
            'its own label, so cut or rasterise masks on the grid of the images'
        )
    mask = _in_range(mask.long(), batch, number, classes, ignore, 'mask pixels')
    return mask if ignore is None else mask.where(valid[:, 0], ignore)


def _entry(batch: Sample, name: str, number: int) -> Tensor:
    if name not in batch:
        raise ConfigError(
            f'batch {number} has no {name}, only {", ".join(sorted(batch))}; this task needs '
            f'data with a {name} for each image'
        )
    return batch[name]


def _in_range(
    label: Tensor, batch: Sample, number: int, classes: int, ignore: int | None, what: str
) -> Tensor:
    wrong = (label < 0) | (label >= classes)
    if ignore is not None:
        wrong &= label != ignore
    if wrong.any():
        rows = wrong.flatten(1).any(1) if wrong.ndim > 1 else wrong
        numbers = rows.nonzero()[:, 0].tolist()
        found = torch.unique(label[wrong]).tolist()
        apart = '' if ignore is None else f', and {ignore} for what is not labelled'
        shown = ', '.join(map(str, numbers[:SHOWN])) + (' …' if len(numbers) > SHOWN else '')
        raise ConfigError(
            f'batch {number}, samples {shown}{_files(batch, numbers)}: {what} with the values '
            f'{found[:SHOWN]}; 0 to {classes - 1} are needed{apart}; correct the data, or the '
            'number of classes'
        )
    return label


def _files(batch: Sample, rows: Any) -> str:
    """Name the files of some samples, where the batch knows them."""
    for name in NAMES:
        if name in batch and not isinstance(batch[name], Tensor):
            files = [str(batch[name][row]) for row in rows]
            return f' ({", ".join(files[:SHOWN])}{" …" if len(files) > SHOWN else ""})'
    return ''
