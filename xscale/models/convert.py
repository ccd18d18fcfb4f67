"""Checkpoints of the released implementations, read safely and renamed to ours."""

import argparse
import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import CheckpointError, MissingPathError
from .released import FAMILIES
from .released.family import Drop, Family, State


@dataclass
class Converted:
    """A released checkpoint under our names.

    Attributes:
        family: The released system.
        layout: 'timm' (pre-norm blocks) or 'xformers' (post-norm blocks).
        state: Tensors under ``encoder.``, ``decoder.`` and the objective's other parts.
        mapped: Old names and new.
        dropped: Old names of what is left out, and why it may be.
        patches: Patches of an image the position table was made for.
        widths: Arguments of the objective that only the released names tell.
    """

    family: Family
    layout: str
    state: State
    mapped: dict[str, str] = field(default_factory=dict)
    dropped: dict[str, str] = field(default_factory=dict)
    patches: int = 0
    widths: dict[str, Any] = field(default_factory=dict)


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint file; nothing in it is executed.

    Args:
        path: A file written by ``torch.save``. An ``argparse.Namespace`` inside is allowed.

    Raises:
        MissingPathError: If there is no such file.
        CheckpointError: If it is no checkpoint, or holds objects that may run code.
    """
    if Path(path).is_dir():
        raise CheckpointError(f'{path} is a folder; a checkpoint file in it is needed')
    if not Path(path).is_file():
        raise MissingPathError(path)
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            content = torch.load(path, map_location='cpu', weights_only=True)
    except pickle.UnpicklingError as error:
        # torch's own advice is to load it with what would run code.
        if 'GLOBAL' in str(error):
            why = 'was not loaded, for it names Python objects, which may run code'
        else:
            why = 'was not loaded, for it is no PyTorch file, or holds what may run code'
        raise CheckpointError(
            f'{path} {why}; only tensors, plain values and argparse.Namespace are accepted'
        ) from error
    except Exception as error:  # damaged bytes trip torch's reader in many ways
        raise CheckpointError(
            f'{path} is no PyTorch checkpoint, or is cut short: {error}'
        ) from error
    if not isinstance(content, dict):
        raise CheckpointError(
            f'{path} holds a {type(content).__name__}, not a dictionary of tensors'
        )
    return content


def tensors_of(content: Mapping[str, Any], path: str | Path) -> State:
    """Take the tensors out of a checkpoint's outer dictionary.

    Args:
        content: What :func:`read_checkpoint` returned.
        path: The file, for the message.

    Raises:
        CheckpointError: If there are none.
    """
    inner = content.get('model', content.get('state_dict', content))
    if not isinstance(inner, Mapping):
        raise CheckpointError(f"{path}: its entry 'model' holds no tensors")
    # A file saved from DistributedDataParallel has its names prefixed.
    state = {k.removeprefix('module.'): v for k, v in inner.items() if isinstance(v, Tensor)}
    if not state:
        raise CheckpointError(
            f'{path} holds no tensors; its entries are {", ".join(map(str, inner))}'
        )
    return state


def convert_state(state: State) -> Converted:
    """Rename a released state.

    Args:
        state: Tensors under the released names of one of
            :data:`~xscale.models.released.FAMILIES`.

    Returns:
        The same tensors under ours.

    Raises:
        CheckpointError: If the names belong to no known system, or a tensor is not known.
    """
    family = next((one for one in FAMILIES if one.recognised(state)), None)
    if family is None:
        titles = dict.fromkeys(one.title for one in reversed(FAMILIES))
        some = sorted(state)[:6]
        raise CheckpointError(
            f'this is neither {" nor ".join(titles)}; its tensors begin with {", ".join(some)}'
        )
    state, layout = family.layout(state)
    result = Converted(family, layout, {})
    for key, tensor in state.items():
        _rename(key, tensor, result)
    result.patches = family.patches(state)
    result.widths = family.widths(state)
    return result


def _rename(key: str, tensor: Tensor, result: Converted) -> None:
    for pattern, target in result.family.rules:
        if not re.search(pattern, key):
            continue
        if isinstance(target, Drop):
            target.check(key, tensor)
            result.dropped[key] = target.why
            return
        name = re.sub(pattern, target, key)
        result.mapped[key] = name
        result.state[name] = tensor.float() if tensor.is_floating_point() else tensor
        return
    raise CheckpointError(
        f'the tensor {key} {tuple(tensor.shape)} is not known; nothing was converted'
    )
