"""What is to be known of a released system to take its checkpoints for ours."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from ...errors import CheckpointError
from ..position import grid, sincos

State = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class Drop:
    """A tensor that is left out.

    Attributes:
        why: Why it may be, for the report.
        check: Raises if this one may not be; takes its name and the tensor.
    """

    why: str
    check: Callable[[str, Tensor], None] = lambda key, tensor: None


@dataclass(frozen=True, slots=True)
class Input:
    """What a released encoder was fed.

    Attributes:
        source: The images whose statistics these are, and their unit.
        mean: Mean of each band.
        std: Standard deviation of each band.
        bands: Names of the bands.
    """

    source: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    bands: tuple[str, ...] = ('red', 'green', 'blue')


@dataclass(frozen=True, slots=True)
class Family:
    """A released system.

    Attributes:
        name: Such as 'mae'.
        title: What people call it.
        recognised: Tells whether a state, under its released names, is of this system.
        rules: (pattern, new name or Drop); the first whose pattern is found renames or drops a
            tensor, and a tensor that none knows is refused.
        input: What the encoder was fed.
        objective: The objective that it becomes.
        options: Arguments of that objective, from the state under our names and the number of
            patches of an image.
        patches: Counts the patches of an image, from a state under its released names.
        pooling: What its authors take for the vector of an image.
        widths: Arguments of that objective that only the released names tell.
        layout: Brings a state to timm's layout of the same, and names the layout it had.
    """

    name: str
    title: str
    recognised: Callable[[State], bool]
    rules: tuple[tuple[str, str | Drop], ...]
    input: Input
    objective: str
    options: Callable[[State, int], dict[str, Any]]
    patches: Callable[[State], int] = lambda state: state['pos_embed'].shape[1] - 1
    pooling: Literal['mean', 'class'] = 'mean'
    widths: Callable[[State], dict[str, Any]] = lambda released: {}
    layout: Callable[[State], tuple[State, str]] = lambda state: (state, 'timm')


def check_sincos(key: str, table: Tensor) -> None:
    """Make sure that a table of positions is the sin-cos table it is replaced by.

    Args:
        key: Its name.
        table: Shape (1, 1 + N, D), the class token's row first.

    Raises:
        CheckpointError: If it is not.
    """
    if not _is_sincos(table):
        raise CheckpointError(
            f'{key} {tuple(table.shape)} is not the sin-cos table of a square grid: this model '
            'learned its positions, and would not be the same with computed ones'
        )


def _is_sincos(table: Tensor) -> bool:
    if table.ndim != 3 or table.shape[2] % 4:
        return False
    side = round((table.shape[1] - 1) ** 0.5)
    if len(table) != 1 or side < 1 or side * side != table.shape[1] - 1:
        return False
    off = table[0, 1:].double() - sincos(grid(side, side), table.shape[2])
    # The class token's row is 0 there.
    return bool((off.abs() <= 1e-3).all() and (table[0, 0].abs() <= 1e-3).all())


#: For tables of positions that are computed anew.
SINCOS = Drop('the sin-cos table, computed anew', check_sincos)

#: For what was added to an encoder to classify.
CLASSIFIER = (r'^(head|fc_norm)\.', Drop('a classification head'))


def count_blocks(state: State, part: str) -> int:
    """Count the transformer blocks of a part.

    Args:
        state: Tensors under our names.
        part: Such as 'encoder'.
    """
    return len({key.split('.')[2] for key in state if key.startswith(f'{part}.blocks.')})


def decoder_options(state: State) -> dict[str, Any]:
    """Return the size of a decoder as arguments of an objective; none where there is no decoder.

    Args:
        state: Tensors under our names.
    """
    if 'decoder.embed.weight' not in state:
        return {}
    return {
        'decoder_dim': state['decoder.embed.weight'].shape[0],
        'decoder_depth': count_blocks(state, 'decoder'),
    }
