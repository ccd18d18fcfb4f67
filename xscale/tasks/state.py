"""How a task's tensors are named in a checkpoint."""

from typing import Any

from lightning.pytorch import LightningModule

#: Where the encoder stands inside the objective; its tensors are saved once, under ``model.``.
INSIDE, OUTSIDE = 'objective.encoder.', 'model.'

#: Where those of an encoder are saved that timm cannot rebuild from its name alone, so that
#: TorchGeo, which loads all it finds under ``model.``, does not load them into another one.
APART = 'encoder.'


def save_encoder_once(
    module: LightningModule, state: dict[str, Any], prefix: str, metadata: Any
) -> None:
    """Drop the second copy of the encoder's tensors from a state: a state-dict hook.

    Args:
        module: The task.
        state: Tensors by name.
        prefix: Where the task stands in a larger module.
        metadata: Not used.
    """
    for key in [key for key in state if key.startswith(prefix + INSIDE)]:
        del state[key]
    if (module.hparams['options'] or {}).get('block', 'pre_norm') != 'pre_norm':
        for key in [key for key in state if key.startswith(prefix + OUTSIDE)]:
            state[prefix + APART + key.removeprefix(prefix + OUTSIDE)] = state.pop(key)


def load_encoder_twice(
    module: LightningModule, state: dict[str, Any], prefix: str, *args: Any
) -> None:
    """Give task and objective the encoder's tensors under their own names: a pre-hook of loading.

    Args:
        module: The task.
        state: Tensors by name.
        prefix: Where the task stands in a larger module.
        args: Not used.
    """
    for saved in (APART, OUTSIDE):
        for key in [key for key in state if key.startswith(prefix + saved)]:
            name, tensor = key.removeprefix(prefix + saved), state.pop(key)
            state[prefix + OUTSIDE + name] = state[prefix + INSIDE + name] = tensor
