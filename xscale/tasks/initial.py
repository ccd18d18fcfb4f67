"""Where a pretraining starts from: a checkpoint of ours, a released file, or timm's weights."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import timm
import torch
from torch import nn

from ..errors import CheckpointError, MissingPathError
from ..models.build import embedded_bands
from ..models.checkpoint import CONTRACT
from ..models.convert import State, convert_state, read_checkpoint, tensors_of
from ..models.position import POSITIONS
from ..models.vit import PostNormBlock
from ..objectives import Objective
from ..types import Sensor
from .bands import meanings

#: Where the tensors of the first group of bands stand, and those of the others.
OF_GROUP = (
    ('encoder.patch_embed.', 'embeds.'),
    ('decoder.pred.', 'heads.'),
    ('low.out.', 'low.outs.'),
    ('high.out.', 'high.outs.'),
)


@dataclass(frozen=True, slots=True)
class Initial:
    """What was loaded, by part of the model.

    Attributes:
        source: Where from.
        learned_positions: Whether the source's encoder learned its table of positions.
        loaded: Part to number of tensors filled.
        missing: Part to number of tensors left as initialised.
        unused: Tensors of the source that have no place here.
        bands: What the channels of the source's images mean; nothing where it does not say.
        position: How positions are counted, in the source and here.
    """

    source: str
    learned_positions: bool
    loaded: dict[str, int]
    missing: dict[str, int]
    unused: tuple[str, ...]
    bands: tuple[str, ...] = ()
    position: tuple[str, str] = (POSITIONS[0], POSITIONS[0])

    def __str__(self) -> str:
        """Say it in a line."""
        parts = [f'{n} tensors of the {part}' for part, n in self.loaded.items()]
        text = f'started from {self.source}: {", ".join(parts)}'
        if self.learned_positions:
            text += ', which keeps its learned positions, of patches and not of metres'
        elif self.position[0] != self.position[1]:
            text += ", whose position was '{}' and is '{}' here".format(*self.position)
        if self.missing:
            text += '; at random: ' + ', '.join(f'{n} of the {p}' for p, n in self.missing.items())
        return text + (f'; not used: {len(self.unused)}' if self.unused else '')


def load_initial(objective: Objective, weights: str, groups: Sequence[str] = ('',)) -> Initial:
    """Fill an objective's tensors from a source and say which.

    Args:
        objective: The objective, with ``encoder`` inside.
        weights: A checkpoint of ours, a released file, or a timm name with pretrained weights.
        groups: Names of the groups of bands, the encoder's own first.

    Raises:
        MissingPathError: If it is neither a file nor a timm model.
        CheckpointError: If the encoder would not be filled whole, or is of other blocks.
    """
    source = _read(objective, weights, groups)
    state, own = source.state, objective.state_dict()
    wrong = [k for k, v in state.items() if k in own and v.shape != own[k].shape]
    shared = 'encoder.', 'embeds.'
    if any(key.startswith(shared) for key in wrong):
        key = next(key for key in wrong if key.startswith(shared))
        raise CheckpointError(
            f'{weights}: {key} is {tuple(state[key].shape)}, needed is {tuple(own[key].shape)}; '
            'choose the model and the number of bands it was made with'
        )
    fitting = {k: v for k, v in state.items() if k in own and k not in wrong}
    learned = _learned_positions(fitting, own)
    objective.load_state_dict(fitting, strict=False)
    # The table of positions is computed; a source need not hold it.
    missing = [k for k in own if k not in fitting and not k.endswith('pos_embed')]
    if any(key.startswith('encoder.') for key in missing):
        raise CheckpointError(
            f'{weights} lacks {", ".join(k for k in missing if k[:7] == "encoder")}'
        )
    unused = tuple(k for k in state if k not in fitting)
    position = source.position, getattr(objective, 'position', POSITIONS[0])
    parts = _by_part(fitting), _by_part(missing)
    return Initial(weights, learned, *parts, unused, source.bands, position)


class _Source(NamedTuple):
    """Tensors under the objective's names, what channels mean, and how positions are counted."""

    state: State
    bands: tuple[str, ...] = ('red', 'green', 'blue')
    position: str = POSITIONS[0]


def _read(objective: Objective, weights: str, groups: Sequence[str]) -> _Source:
    """Read a source."""
    if Path(weights).exists():
        content = read_checkpoint(weights)
        if 'hyper_parameters' not in content:
            converted = convert_state(tensors_of(content, weights))
            block = 'post_norm' if converted.layout == 'xformers' else 'pre_norm'
            _check_block(objective, weights, block)
            family = converted.family
            position = family.options(converted.state, converted.patches).get('position')
            return _Source(converted.state, family.input.bands, position or POSITIONS[0])
        hparams = content['hyper_parameters']
        options = hparams.get('options') or {}
        _check_block(objective, weights, options.get('block', 'pre_norm'))
        state = tensors_of({'state_dict': content['state_dict']}, weights)
        before = list(embedded_bands({'in_channels': 0, **hparams}))
        state = _regrouped({_inside(key): t for key, t in state.items()}, before, groups)
        sensors = content.get(CONTRACT, {}).get('sensors')
        bands = meanings(Sensor(**sensors[0])) if sensors else ()
        return _Source(state, bands, options.get('position', POSITIONS[0]))
    if not timm.is_model(weights.split('.')[0]):
        raise MissingPathError(weights)
    encoder = objective.encoder
    if not isinstance(encoder, nn.Module):
        raise CheckpointError(f'{type(objective).__name__} has no encoder to load {weights} into')
    in_channels = encoder.patch_embed.proj.in_channels  # type: ignore[union-attr]
    model = timm.create_model(weights, pretrained=True, num_classes=0, in_chans=in_channels)
    return _Source({f'encoder.{k}': v for k, v in model.state_dict().items()})


def _regrouped(state: State, before: Sequence[str], now: Sequence[str]) -> State:
    """Give each group of bands the tensors it had, whichever group is the encoder's own."""
    if before[0] == now[0] or '' in (before[0], now[0]):
        return state
    placed = {}
    for key, tensor in state.items():
        for own, others in OF_GROUP:
            if key.startswith(own):
                name, rest = before[0], key.removeprefix(own)
            elif key.startswith(others):
                name, rest = key.removeprefix(others).split('.', 1)
            else:
                continue
            key = own + rest if name == now[0] else f'{others}{name}.{rest}'
            break
        placed[key] = tensor
    return placed


def _check_block(objective: Objective, weights: str, block: str) -> None:
    """Make sure that tensors of one kind of block are not run in the other, which they also fit."""
    post_norm = any(isinstance(module, PostNormBlock) for module in objective.modules())
    own = 'post_norm' if post_norm else 'pre_norm'
    if block != own:
        raise CheckpointError(
            f'{weights} holds {block} blocks and this model is made of {own} ones; '
            f"set the objective's option block: {block}"
        )


def _learned_positions(state: State, own: State) -> bool:
    """Tell whether a source's table of positions is another than the fixed one built here."""
    table = state.get('encoder.pos_embed')
    return table is not None and (table - own['encoder.pos_embed']).abs().max().item() > 1e-3


def _inside(key: str) -> str:
    """Turn a name of a checkpoint of ours into the objective's own."""
    if key.startswith('model.'):
        return key.replace('model.', 'encoder.', 1)
    return key.removeprefix('objective.')


def _by_part(keys: dict[str, torch.Tensor] | list[str]) -> dict[str, int]:
    parts: dict[str, int] = {}
    for key in keys:
        part = key.split('.')[0]
        parts[part] = parts.get(part, 0) + 1
    return parts
