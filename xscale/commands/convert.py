"""``xscale convert``: a released checkpoint as one of ours."""

from pathlib import Path
from typing import Any

import torch

from ..errors import CheckpointError
from ..models.checkpoint import CONTRACT, versions
from ..models.convert import (
    Converted,
    State,
    convert_state,
    encoder_name,
    read_checkpoint,
    tensors_of,
)
from ..models.vit import create_encoder
from ..objectives import find_objective

#: Mean and standard deviation (of values 0..1) the released models were trained with.
STATISTICS = {
    'mae': ('ImageNet', (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    'cross_scale_mae': (
        'fMoW-RGB',
        (0.43392888, 0.43578541, 0.40744025),
        (0.19828456, 0.19250111, 0.19454683),
    ),
}


def convert(file: str, out: str) -> int:
    """Convert a file and say what became of its tensors.

    Args:
        file: A checkpoint of MAE or Cross-Scale MAE.
        out: Where to write ours.

    Raises:
        XScaleError: If the file is not known or not safe; nothing is written then.
    """
    content = read_checkpoint(file)
    if Path(out).exists() and Path(out).samefile(file):
        raise CheckpointError(f'--out {out} is the file itself; choose another name')
    if CONTRACT in content:
        raise CheckpointError(f'{file} is a checkpoint of xscale already')
    converted = convert_state(tensors_of(content, file))
    checkpoint = build(converted)
    missing = _missing(converted.state, checkpoint)
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    torch.save(checkpoint, out)
    _report(converted, checkpoint, missing, out)
    return 0


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


def _missing(state: State, checkpoint: dict[str, Any]) -> list[str]:
    """Name what the file lacks of a whole model; a missing piece of the encoder is an error."""
    hparams = checkpoint['hyper_parameters']
    block = hparams['options'].get('block', 'pre_norm')
    encoder = create_encoder(hparams['model'], hparams['in_channels'], block=block)
    model = find_objective(hparams['objective'])(encoder, **hparams['options'])  # type: ignore[arg-type]
    own = model.state_dict()
    for key, tensor in state.items():
        if key not in own or own[key].shape != tensor.shape:
            there = tuple(own[key].shape) if key in own else 'nothing'
            raise CheckpointError(f'{key} is {tuple(tensor.shape)} and {there} is expected')
    missing = [key for key in own if key not in state and key != 'encoder.pos_embed']
    if encoder_keys := [key for key in missing if key.startswith('encoder.')]:
        raise CheckpointError(f'the file lacks {", ".join(encoder_keys[:5])} of the encoder')
    return missing


def _report(converted: Converted, checkpoint: dict[str, Any], missing: list[str], out: str) -> None:
    hparams = checkpoint['hyper_parameters']
    print(
        f'{converted.family} ({converted.layout} layout), {hparams["model"]}, {hparams["size"]} px'
    )
    for part in ('encoder', 'decoder', 'predictor'):
        count = sum(name.startswith(part) for name in converted.mapped.values())
        print(f'  mapped:  {count} tensors of the {part}')
    for key, why in converted.dropped.items():
        print(f'  dropped: {key} ({why})')
    if missing:
        parts = sorted({key.split('.')[0] for key in missing})
        print(
            f'  missing: {len(missing)} tensors of the {" and ".join(parts)}; the encoder is whole'
        )
    if converted.layout == 'xformers':
        print(
            "  its blocks normalise after each sum, which timm's do not: load it with xscale.load"
        )
    print(f'written: {out}')
