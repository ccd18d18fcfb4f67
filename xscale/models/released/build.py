"""A released checkpoint, its tensors renamed, in the form of one of ours."""

import re
from typing import Any

from ...errors import CheckpointError
from ..build import build_encoder, is_timms
from ..checkpoint import CONTRACT, versions
from ..convert import Converted
from ..vit import patch_size
from .family import State, count_blocks
from .local_mim_swin import swin_name

#: (embedding channels, blocks, patch) of the encoders timm knows by name.
ENCODERS = {
    (192, 12, 16): 'vit_tiny_patch16_224',
    (384, 12, 16): 'vit_small_patch16_224',
    (768, 12, 16): 'vit_base_patch16_224',
    (768, 12, 8): 'vit_base_patch8_224',
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
    given = converted.family.input
    own = converted.family.options(converted.state, converted.patches) | converted.widths
    name, side = encoder_name(converted.state, any_patch='groups' in own)
    embeddings = re.compile(r'(encoder\.patch_embed|embeds\.[^.]+)\.proj\.weight')
    taken = sum(t.shape[1] for key, t in converted.state.items() if embeddings.fullmatch(key))
    bands = list(given.bands)
    if taken != len(bands):
        raise CheckpointError(
            f'the encoder takes {taken} bands; released ones take '
            f'{", ".join(bands[:-1])} and {bands[-1]}, and how others were normalised is not known'
        )
    statistics = {'mean': list(given.mean), 'std': list(given.std)}
    options: dict[str, Any] = {'block': 'post_norm'} if converted.layout == 'xformers' else {}
    options |= {} if side is None else {'patch': side}
    options |= own
    # Where TorchGeo, which knows only timm's own models, would load a wrong one, it finds none.
    apart = not is_timms(options)
    made = {'model': name, 'in_channels': taken, 'options': options}
    model = build_encoder(made).model
    size = round(converted.patches**0.5) * patch_size(model)
    prefix = 'encoder' if apart else 'model'
    tables = {key: table for key, table in model.state_dict().items() if key == 'pos_embed'}
    state: State = {f'{prefix}.{key}': table for key, table in tables.items()}
    for key, tensor in converted.state.items():
        if key.startswith('encoder.'):
            state[key.replace('encoder', prefix, 1)] = tensor
        elif key.startswith('embeds.'):
            state[key] = tensor
        else:
            state[f'objective.{key}'] = tensor
    return {
        'state_dict': state,
        'hyper_parameters': {
            **made,
            'objective': converted.family.objective,
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


def encoder_name(state: State, any_patch: bool = False) -> tuple[str, int | None]:
    """Find the timm model whose encoder a converted state fills.

    Args:
        state: Tensors under our names.
        any_patch: Whether it may have patches of another size.

    Returns:
        Its name; and the side of a patch, where it is another than that model's.

    Raises:
        CheckpointError: If timm has no model of that size.
    """
    weight = state['encoder.patch_embed.proj.weight']
    if 'encoder.layers.0.blocks.0.attn.qkv.weight' in state:
        return swin_name(state), None
    size = (weight.shape[0], count_blocks(state, 'encoder'), weight.shape[-1])
    if size not in ENCODERS:
        alike = [name for known, name in ENCODERS.items() if known[:2] == size[:2]]
        if any_patch and alike:
            return alike[0], size[2]
        known = '; '.join(
            f'{n} ({d} channels, {b} blocks, patch {p})' for (d, b, p), n in ENCODERS.items()
        )
        raise CheckpointError(
            f'an encoder of {size[0]} channels, {size[1]} blocks and patch {size[2]} is none of '
            f'{known}'
        )
    return ENCODERS[size], None
