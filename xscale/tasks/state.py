"""How a task's tensors are named in a checkpoint."""

from typing import Any

from lightning.pytorch import LightningModule

#: Where the encoder stands inside the objective; its tensors are saved once, under ``model.``.
INSIDE, OUTSIDE = 'objective.encoder.', 'model.'

#: Likewise the patch embeddings of groups of bands beyond the first.
EMBEDS_INSIDE, EMBEDS = 'objective.embeds.', 'embeds.'

#: Where those of an encoder are saved that timm cannot rebuild from its name alone, so that
#: TorchGeo, which loads all it finds under ``model.``, does not load them into another one.
APART = 'encoder.'


def save_encoder_once(
    module: LightningModule, state: dict[str, Any], prefix: str, metadata: Any
) -> None:
    """Drop the second copy of what the objective shares from a state: a state-dict hook.

    Args:
        module: The task.
        state: Tensors by name.
        prefix: Where the task stands in a larger module.
        metadata: Not used.
    """
    for key in [k for k in state if k.startswith((prefix + INSIDE, prefix + EMBEDS_INSIDE))]:
        del state[key]
    if (module.hparams['options'] or {}).get('block', 'pre_norm') != 'pre_norm':
        for key in [key for key in state if key.startswith(prefix + OUTSIDE)]:
            state[prefix + APART + key.removeprefix(prefix + OUTSIDE)] = state.pop(key)


def load_encoder_twice(
    module: LightningModule, state: dict[str, Any], prefix: str, *args: Any
) -> None:
    """Give task and objective what they share under their own names: a pre-hook of loading.

    Args:
        module: The task.
        state: Tensors by name.
        prefix: Where the task stands in a larger module.
        args: Not used.
    """
    kinds = (APART, OUTSIDE, INSIDE), (OUTSIDE, OUTSIDE, INSIDE), (EMBEDS, EMBEDS, EMBEDS_INSIDE)
    for saved, outside, inside in kinds:
        for key in [key for key in state if key.startswith(prefix + saved)]:
            name, tensor = key.removeprefix(prefix + saved), state.pop(key)
            state[prefix + outside + name] = state[prefix + inside + name] = tensor
