"""Mixup and CutMix, with what is missing mixed alike and draws that can be repeated."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import timm
import torch
from timm.data.mixup import Mixup, mixup_target
from torch import Tensor

from ..errors import ConfigError


class Mixing:
    """timm's mixup (Zhang et al. 2018) and CutMix (Yun et al. 2019) of images with their labels."""

    def __init__(
        self, mixup: float, cutmix: float, smoothing: float, classes: int, multilabel: bool
    ) -> None:
        """Say how much.

        Args:
            mixup: Parameter of mixup's beta distribution, 0 for none.
            cutmix: That of CutMix, 0 for none; where there are both, each batch gets one of them.
            smoothing: Label smoothing.
            classes: Number of classes.
            multilabel: Whether an image has several.

        Raises:
            ConfigError: If timm is too old for that.
        """
        # Only asked for where it is needed: older releases of timm do not know it.
        self.many: dict[str, Any] = {'multi_label': True} if multilabel else {}
        if multilabel and 'multi_label' not in inspect.signature(Mixup).parameters:
            raise ConfigError(
                f'timm {timm.__version__} mixes images of one label only; install timm 1.0.31 or '
                'newer, or set mixup: 0 and cutmix: 0'
            )
        self.classes, self.smoothing = classes, smoothing
        self.mix = Mixup(
            mixup_alpha=mixup,
            cutmix_alpha=cutmix,
            label_smoothing=smoothing,
            num_classes=classes,
            **self.many,
        )

    def __call__(
        self, image: Tensor, valid: Tensor, label: Tensor, seed: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Mix each image with its counterpart from the other end of the batch.

        Args:
            image: Shape (B, C, H, W).
            valid: True where a pixel holds data, shape (B, 1, H, W).
            label: Shape (B,), or (B, K) of 0 and 1.
            seed: Seed of the draws.

        Returns:
            Images, where all that was mixed holds data, and shares of the classes, (B, K).
        """
        # timm takes even batches only; the odd one out stays as it is.
        even = len(image) - len(image) % 2
        both = torch.cat([image.nan_to_num(), valid.to(image.dtype)], dim=1)
        rest = mixup_target(label[even:], self.classes, 1.0, self.smoothing, **self.many)
        if even:
            with drawing_from(seed):
                mixed, target = self.mix(both[:even], label[:even])
            both, rest = torch.cat([mixed, both[even:]]), torch.cat([target, rest])
        return both[:, :-1], both[:, -1:] > 0.999, rest


@contextmanager
def drawing_from(seed: int) -> Iterator[None]:
    """Seed NumPy's global generator, which timm draws from, and give it back afterwards.

    Args:
        seed: The seed.
    """
    state = np.random.get_state()  # noqa: NPY002
    np.random.seed(seed % 2**32)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002
