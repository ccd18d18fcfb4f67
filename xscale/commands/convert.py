"""``xscale convert``: a released checkpoint as one of ours."""

from pathlib import Path
from typing import Any

import torch

from ..errors import CheckpointError
from ..models.build import build_encoder, is_timms, objective_options, torchgeo_loads
from ..models.checkpoint import CONTRACT
from ..models.convert import Converted, State, convert_state, read_checkpoint, tensors_of
from ..models.released.build import build
from ..objectives import find_objective


def convert(file: str, out: str) -> int:
    """Convert a file and say what became of its tensors.

    Args:
        file: A checkpoint of one of the released systems.
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


def _missing(state: State, checkpoint: dict[str, Any]) -> list[str]:
    """Name what the file lacks of a whole model; a missing piece of the encoder is an error."""
    hparams = checkpoint['hyper_parameters']
    encoder, embeds = build_encoder(hparams)
    options = objective_options(hparams['options'])
    if embeds:
        options['embeds'] = embeds
    model = find_objective(hparams['objective'])(encoder, **options)  # type: ignore[arg-type]
    own = model.state_dict()
    for key, tensor in state.items():
        if key not in own or own[key].shape != tensor.shape:
            there = tuple(own[key].shape) if key in own else 'nothing'
            raise CheckpointError(f'{key} is {tuple(tensor.shape)} and {there} is expected')
    missing = [key for key in own if key not in state and key != 'encoder.pos_embed']
    if encoder_keys := [key for key in missing if key.startswith(('encoder.', 'embeds.'))]:
        raise CheckpointError(f'the file lacks {", ".join(encoder_keys[:5])} of the encoder')
    return missing


def _report(converted: Converted, checkpoint: dict[str, Any], missing: list[str], out: str) -> None:
    hparams, family = checkpoint['hyper_parameters'], converted.family.name
    print(f'{family} ({converted.layout} layout), {hparams["model"]}, {hparams["size"]} px')
    there = [name.split('.')[0] for name in converted.mapped.values()]
    for part in dict.fromkeys(['encoder', 'decoder', *there]):
        print(f'  mapped:  {there.count(part)} tensors of the {part}')
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
    elif not is_timms(hparams['options']):
        print(
            "  its tokens are made otherwise than by timm's model of that name: load it with "
            'xscale.load'
        )
    elif not torchgeo_loads(hparams):
        print('  it is a Swin transformer: load it with xscale.load, or timm; TorchGeo loads none')
    print(f'written: {out}')
