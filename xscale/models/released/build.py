"""A released checkpoint, its tensors renamed, in the form of one of ours."""

from typing import Any

from ...errors import CheckpointError
from ..checkpoint import CONTRACT, versions
from ..convert import Converted
from ..vit import create_encoder
from .family import State, count_blocks

#: (embedding channels, blocks, patch) of the encoders timm knows by name.
ENCODERS = {
    (192, 12, 16): 'vit_tiny_patch16_224',
    (384, 12, 16): 'vit_small_patch16_224',
    (768, 12, 16): 'vit_base_patch16_224',
    (1024, 24, 16): 'vit_large_patch16_224',
    (1280, 32, 14): 'vit_huge_patch14_224',
}


def build(converted: Converted) -> dict[str, Any]:
    """Put a converted state into a checkpoint of ours.

    Args:
        converted: The state.

    Raises:
        CheckpointError: If timm has no encoder of that size, or its bands are not known.
    """
    name, given = encoder_name(converted.state), converted.family.input
    patch = converted.state['encoder.patch_embed.proj.weight']
    bands = list(given.bands)
    if patch.shape[1] != len(bands):
        raise CheckpointError(
            f'the encoder takes {patch.shape[1]} bands; released ones take '
            f'{", ".join(bands[:-1])} and {bands[-1]}, and how others were normalised is not known'
        )
    size = round(converted.patches**0.5) * patch.shape[-1]
    statistics = {'mean': list(given.mean), 'std': list(given.std)}
    # Where TorchGeo, which knows only timm's own blocks, would load a wrong model, it finds none.
    apart = converted.layout == 'xformers'
    table = create_encoder(name, patch.shape[1]).pos_embed.detach()
    state: State = {'encoder.pos_embed' if apart else 'model.pos_embed': table}
    for key, tensor in converted.state.items():
        if key.startswith('encoder.'):
            state[key if apart else key.replace('encoder.', 'model.', 1)] = tensor
        else:
            state[f'objective.{key}'] = tensor
    block = {'block': 'post_norm'} if converted.layout == 'xformers' else {}
    return {
        'state_dict': state,
        'hyper_parameters': {
            'model': name,
            'objective': converted.family.objective,
            'options': block | converted.family.options(converted.state, converted.patches),
            'in_channels': patch.shape[1],
            'size': size,
        },
        CONTRACT: {
            'bands': bands,
            'sensors': [{'name': given.source, 'bands': bands, **statistics}],
            'gsd': None,
            'size': size,
            'pooling': converted.family.pooling,
            'seed': None,
            'versions': versions(),
        },
    }


def encoder_name(state: State) -> str:
    """Find the timm model whose encoder a converted state fills.

    Args:
        state: Tensors under our names.

    Raises:
        CheckpointError: If timm has no model of that size.
    """
    weight = state['encoder.patch_embed.proj.weight']
    size = (weight.shape[0], count_blocks(state, 'encoder'), weight.shape[-1])
    if size not in ENCODERS:
        known = '; '.join(
            f'{n} ({d} channels, {b} blocks, patch {p})' for (d, b, p), n in ENCODERS.items()
        )
        raise CheckpointError(
            f'an encoder of {size[0]} channels, {size[1]} blocks and patch {size[2]} is none of '
            f'{known}'
        )
    return ENCODERS[size]
