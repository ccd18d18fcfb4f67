"""Tell whether the encoder still tells images apart, or collapses to one answer for all."""

import sys
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from ..evaluation.collapse import LEAST, LEAST_RANK, LEAST_STD, effective_rank, feature_std
from ..models.layouts import encode_view
from ..models.swin import Swin
from ..models.tokens import patch_validity, weighted_mean
from ..models.vit import patch_size
from ..types import Sample, View
from .pretraining import Pretraining

#: Images that are looked at, at most.
MOST = 256


def pooled_features(task: Pretraining, view: View) -> Tensor:
    """Encode a view without a mask and average its patches that hold data.

    Args:
        task: The task, whose encoder is one of ours.
        view: The view.

    Returns:
        Shape (B', D): a row for each image that holds data.
    """
    encoder: Any = task.model
    objective: Any = task.objective
    weight = patch_validity(view.valid, patch_size(encoder))
    position, layout = objective.position, objective.layout
    _, patches = encode_view(
        encoder, view, position, task.embeds, layout, normalize=objective.normalize_encoder
    )
    if layout is not None:
        patches, weight = layout.fold(patches, weight)
    return weighted_mean(patches, weight)[weight.sum((1, 2)) > 0]


class CollapseCheck(Callback):
    """Log ``feature_std`` and ``effective_rank`` of the encoder, and warn once if it collapses.

    The encoder sees the fine views of the batch just trained on, whole. No generator of the
    training is drawn from and no gradient is kept, so the training goes on as it would without.
    Encoders of others are left alone.
    """

    def __init__(self, interval: int = 100) -> None:
        """Say how often.

        Args:
            interval: Optimizer steps between two checks. A run of fewer than four times as many
                is checked four times.
        """
        self.interval, self._every = interval, interval
        self._warned = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look how long the run is."""
        quarter = trainer.estimated_stepping_batches / 4
        self._every = max(1, int(min(self.interval, quarter)))

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Sample,
        batch_idx: int,
    ) -> None:
        """Check every so many steps."""
        ended = not trainer.fit_loop._should_accumulate()
        if not ended or trainer.global_step % self._every or not is_plain(pl_module):
            return
        features = self._features(trainer, pl_module, batch)
        # Weights that are no numbers end the run in the next step.
        if len(features) < 2 or not features.isfinite().all():
            return
        values = {'feature_std': feature_std(features), 'effective_rank': effective_rank(features)}
        # The module's log would repeat them in every row up to the next check.
        for logger in trainer.loggers:
            logger.log_metrics(values, step=trainer.global_step - 1)
        if trainer.is_global_zero and not self._warned and len(features) >= LEAST:
            self._warn(trainer.global_step, len(features), **values)

    def _features(self, trainer: Trainer, task: Pretraining, batch: Sample) -> Tensor:
        few = {key: value[:MOST] for key, value in batch.items()}
        training = task.model.training
        task.model.eval()
        with torch.no_grad(), trainer.precision_plugin.forward_context():
            views = task.make_views(few, task.generator(trainer.global_step))
            view = task.objective.seen(views)
            features = pooled_features(task, view)
        task.model.train(training)
        return features

    def _warn(self, step: int, images: int, feature_std: float, effective_rank: float) -> None:
        if feature_std >= LEAST_STD and effective_rank >= LEAST_RANK:
            return
        self._warned = True
        print(
            f'xscale: the encoder is collapsing: at step {step} its features of {images} images '
            f'have feature_std {feature_std:.3g} (of 1; 0 is the same answer for every image) and '
            f'vary in {effective_rank:.3g} directions; lower --lr, or weigh the reconstruction '
            'more',
            file=sys.stderr,
            flush=True,
        )


def is_plain(task: LightningModule) -> bool:
    """Tell whether a task trains an encoder of ours, whose positions are known here.

    Args:
        task: The task.
    """
    return (
        isinstance(task, Pretraining)
        and isinstance(task.model, VisionTransformer | Swin)
        and getattr(task.objective, 'encoder', None) is task.model
        and hasattr(task.objective, 'position')
    )
