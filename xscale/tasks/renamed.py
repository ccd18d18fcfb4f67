"""How the tensors of a downstream task are named in a checkpoint."""

from typing import Any

from lightning.pytorch import LightningModule

from .state import APART, OUTSIDE

#: Where the encoder stands a second time, with its input contract; it is saved once.
INSIDE = 'features.model.'


def save_encoder_once(
    module: LightningModule, state: dict[str, Any], prefix: str, metadata: Any
) -> None:
    """Drop the second copy of the encoder from a state: a state-dict hook.

    Blocks that timm cannot rebuild from the name of the model are kept where TorchGeo, which loads
    all it finds under ``model.``, finds none.

    Args:
        module: The task.
        state: Tensors by name.
        prefix: Where the task stands in a larger module.
        metadata: Not used.
    """
    for key in [key for key in state if key.startswith(prefix + INSIDE)]:
        del state[key]
    if module.hparams['options']['block'] != 'pre_norm':
        for key in [key for key in state if key.startswith(prefix + OUTSIDE)]:
            state[prefix + APART + key.removeprefix(prefix + OUTSIDE)] = state.pop(key)


def load_encoder_twice(
    module: LightningModule, state: dict[str, Any], prefix: str, *args: Any
) -> None:
    """Give the encoder both its names: a pre-hook of loading.

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
