"""How fast each parameter learns, and when: layer decay, warm-up and cosine."""

from collections.abc import Callable
from math import cos, isinf, pi
from typing import Any

import torch
from lightning.pytorch import Trainer
from timm.models.vision_transformer import VisionTransformer
from timm.optim import Lars, param_groups_layer_decay, param_groups_weight_decay
from torch import nn

from ..errors import ConfigError

#: Of LARS, as in MAE's linear probe.
MOMENTUM, TRUST = 0.9, 0.001


def warmup_cosine(warmup: float, steps: int) -> Callable[[int], float]:
    """Return the factor of the learning rate in each step: it rises, then falls on a cosine.

    Args:
        warmup: Share of the steps in which it rises.
        steps: Optimizer steps of the whole run.
    """
    rising = round(warmup * steps)

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / rising
        return 0.5 * (1 + cos(pi * min(1.0, (step - rising) / max(1, steps - rising))))

    return factor


def count_steps(trainer: Trainer) -> int:
    """Return the number of optimizer steps of a run.

    Args:
        trainer: The trainer.

    Raises:
        ConfigError: If the run has no end.
    """
    steps = trainer.estimated_stepping_batches
    if isinf(steps):
        raise ConfigError(
            'the learning rate falls to the end of the run, and this one has no number of steps; '
            'set trainer.max_steps or trainer.max_epochs (trainer.max_time may end it before)'
        )
    return int(steps)


def global_batch(trainer: Trainer) -> int:
    """Return the number of samples of an optimizer step, over all processes.

    Args:
        trainer: The trainer.

    Raises:
        ConfigError: If the data does not say the size of its batches.
    """
    source = getattr(trainer, 'datamodule', None)
    if source is None:
        if trainer.train_dataloader is None:
            trainer.fit_loop.setup_data()
        source = trainer.train_dataloader
    local = getattr(source, 'batch_size', None)
    if local is None:
        raise ConfigError('the data has no batch_size, by which the learning rate is scaled')
    return int(local) * trainer.world_size * trainer.accumulate_grad_batches


def parameter_groups(
    encoder: VisionTransformer,
    head: nn.Module,
    weight_decay: float,
    layer_decay: float,
    embeds: nn.Module | None = None,
) -> list[dict[str, Any]]:
    """Group what is trained by how fast it learns and whether it decays.

    A block learns ``layer_decay`` times as fast as the one after it (Clark et al. 2020; BEiT; MAE's
    fine-tuning), and the last block that much slower than the head. Vectors and tokens do not
    decay.

    Args:
        encoder: The encoder; its parameters without gradient are left out.
        head: What stands on it.
        weight_decay: Of AdamW.
        layer_decay: Ratio of the learning rates of neighbouring layers, 1 for none.
        embeds: Patch embeddings beyond the encoder's own, which learn as fast as that.

    Returns:
        Groups for an optimizer, each with ``lr_scale``, its share of the learning rate.
    """
    groups = param_groups_layer_decay(
        encoder,
        weight_decay,
        no_weight_decay_list=encoder.no_weight_decay(),
        layer_decay=layer_decay,
    )
    for group in groups:
        # timm counts from the encoder's last block; the head is one layer above it.
        group['lr_scale'] *= layer_decay
    if embeds is not None and groups:
        slowest = min(group['lr_scale'] for group in groups)
        own = param_groups_weight_decay(embeds, weight_decay)
        groups += [group | {'lr_scale': slowest} for group in own if group['params']]
    rest = param_groups_weight_decay(head, weight_decay)
    return groups + [group | {'lr_scale': 1.0} for group in rest]


def create_optimizer(
    name: str, groups: list[dict[str, Any]], lr: float, betas: tuple[float, float]
) -> torch.optim.Optimizer:
    """Build an optimizer.

    Args:
        name: 'adamw', or 'lars' for linear probes with large batches.
        groups: As :func:`parameter_groups` returns them.
        lr: Learning rate of the head.
        betas: Of AdamW.
    """
    for group in groups:
        group['lr'] = lr * group['lr_scale']
    if name == 'adamw':
        return torch.optim.AdamW(groups, lr=lr, betas=betas)
    # timm's adapts only what decays; MAE's adapts all but vectors.
    return Lars(_by_rank(groups), lr=lr, momentum=MOMENTUM, trust_coeff=TRUST)


def _by_rank(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Part groups without weight decay, which hold matrices and vectors together."""
    parted = []
    for group in groups:
        for adapt in (True, False):
            params = [p for p in group['params'] if (p.ndim > 1) is adapt]
            if params:
                parted.append(group | {'params': params, 'always_adapt': adapt})
    return parted
