"""How a task's tensors are named in a checkpoint."""

from typing import Any

from lightning.pytorch import LightningModule

from ..models.build import is_timms

#: Where the encoder's tensors are saved; TorchGeo loads all it finds there.
OUTSIDE = 'model.'

#: Where those of an encoder are saved that timm cannot rebuild from its name alone, so that
#: TorchGeo does not load them into another one: it finds no weights there, and stops.
APART = 'encoder.'


class SavedOnce:
    """Tensors that a task knows by two names are saved under one.

    What a part of the task shares with it is dropped from a state as it is saved, and has both its
    names again as it is loaded.
    """

    def __init__(self, **shared: str) -> None:
        """Say what is shared.

        Args:
            **shared: By the task's own name of a module (``model``, ``embeds``), where it stands a
                second time, such as 'objective.encoder.'.
        """
        self.shared = {f'{name}.': inside for name, inside in shared.items()}

    def attach(self, task: LightningModule) -> None:
        """Do so whenever a task is saved or loaded.

        Args:
            task: The task, whose hyper-parameter ``options`` say what its encoder is made of.
        """
        task._register_state_dict_hook(self.save)
        task.register_load_state_dict_pre_hook(self.load)

    def save(
        self, module: LightningModule, state: dict[str, Any], prefix: str, metadata: Any
    ) -> None:
        """Drop the second copies from a state: a state-dict hook.

        Args:
            module: The task.
            state: Tensors by name.
            prefix: Where the task stands in a larger module.
            metadata: Not used.
        """
        twice = tuple(prefix + inside for inside in self.shared.values())
        for key in [key for key in state if key.startswith(twice)]:
            del state[key]
        if not is_timms(module.hparams['options'] or {}):
            for key in [key for key in state if key.startswith(prefix + OUTSIDE)]:
                state[prefix + APART + key.removeprefix(prefix + OUTSIDE)] = state.pop(key)

    def load(self, module: LightningModule, state: dict[str, Any], prefix: str, *args: Any) -> None:
        """Give tensors both their names: a pre-hook of loading.

        Args:
            module: The task.
            state: Tensors by name.
            prefix: Where the task stands in a larger module.
            args: Not used.
        """
        saved = {APART: OUTSIDE} | {own: own for own in self.shared}
        for name, own in saved.items():
            for key in [key for key in state if key.startswith(prefix + name)]:
                rest, tensor = key.removeprefix(prefix + name), state.pop(key)
                state[prefix + own + rest] = state[prefix + self.shared[own] + rest] = tensor
