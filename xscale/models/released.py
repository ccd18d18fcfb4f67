"""A released checkpoint, its tensors renamed, in the form of one of ours."""

from typing import Any

from ..errors import CheckpointError
from .checkpoint import CONTRACT, versions
from .convert import Converted, State, encoder_name
from .vit import create_encoder

#: Mean and standard deviation (of values 0..1) the released models were trained with.
STATISTICS = {
    'mae': ('ImageNet', (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    'cross_scale_mae': (
        'fMoW-RGB',
        (0.43392888, 0.43578541, 0.40744025),
        (0.19828456, 0.19250111, 0.19454683),
    ),
}


def build(converted: Converted) -> dict[str, Any]:
    """Put a converted state into a checkpoint of ours.

    Args:
        converted: The state.

    Raises:
        CheckpointError: If timm has no encoder of that size, or its bands are not known.
    """
    name = encoder_name(converted.state)
    source, mean, std = STATISTICS[converted.family]
    patch = converted.state['encoder.patch_embed.proj.weight']
    if patch.shape[1] != 3:
        raise CheckpointError(
            f'the encoder takes {patch.shape[1]} bands; released ones take red, green and blue, '
            'and how others were normalised is not known'
        )
    size = round(converted.patches**0.5) * patch.shape[-1]
    bands = ['red', 'green', 'blue']
    sensor = {'name': f'{source}, 0..1', 'bands': bands, 'mean': list(mean), 'std': list(std)}
    # Where TorchGeo, which knows only timm's own blocks, would load a wrong model, it finds none.
    apart = converted.layout == 'xformers'
    table = create_encoder(name, patch.shape[1]).pos_embed.detach()
    state: State = {'encoder.pos_embed' if apart else 'model.pos_embed': table}
    for key, tensor in converted.state.items():
        if key.startswith('encoder.'):
            state[key if apart else key.replace('encoder.', 'model.', 1)] = tensor
        else:
            state[f'objective.{key}'] = tensor
    return {
        'state_dict': state,
        'hyper_parameters': _hyper_parameters(converted, name, size, patch.shape[1]),
        CONTRACT: {
            'bands': bands,
            'sensors': [sensor],
            'gsd': None,
            'size': size,
            'pooling': 'mean',
            'seed': None,
            'versions': versions(),
        },
    }


def _hyper_parameters(
    converted: Converted, name: str, size: int, in_channels: int
) -> dict[str, Any]:
    options: dict[str, Any] = {'block': 'post_norm'} if converted.layout == 'xformers' else {}
    if 'decoder.embed.weight' in converted.state:
        blocks = {key.split('.')[2] for key in converted.state if key.startswith('decoder.blocks.')}
        options['decoder_dim'] = converted.state['decoder.embed.weight'].shape[0]
        options['decoder_depth'] = len(blocks)
    if converted.family == 'mae':
        return {
            'model': name,
            'objective': 'MAE',
            'options': options,
            'in_channels': in_channels,
            'size': size,
        }
    options.update(
        normalize_encoder=False,
        align='index',
        direction='fine_to_coarse',
        stop_gradient=False,
        predictor_norm='token_batch',
        predictor_tokens=converted.patches,
    )
    if 'predictor.0.weight' in converted.state:
        options['predictor_hidden'] = converted.state['predictor.0.weight'].shape[0]
    else:
        options['weights'] = {'cross_prediction': 0.0}
    return {
        'model': name,
        'objective': 'CrossScaleMAE',
        'options': options,
        'in_channels': in_channels,
        'size': size,
    }
