"""Where training starts from: what is loaded is said, and nothing that does not fit is."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import Tensor

from xscale.errors import CheckpointError, MissingPathError
from xscale.models.vit import PostNormBlock, create_encoder
from xscale.objectives import MAE, CrossScaleMAE
from xscale.tasks.bands import in_another_order
from xscale.tasks.initial import load_initial
from xscale.types import Sensor

from ..tiny import DECODER, encoder
from .runs import start

State = dict[str, Tensor]


def build(kind: type[MAE] = MAE, seed: int = 0, **options: Any) -> MAE:
    net = options.pop('net', {})
    if issubclass(kind, CrossScaleMAE):
        options = {'predictor_hidden': 16} | options
    torch.manual_seed(seed)
    return kind(encoder(seed, **net), **DECODER | options)


def ours(folder: Path, model: MAE, **options: Any) -> str:
    """Write a checkpoint as the task does: the encoder once, under 'model.'."""
    apart = 'encoder.' if options.get('block') == 'post_norm' else 'model.'
    state = {
        f'{apart}{k[8:]}' if k.startswith('encoder.') else f'objective.{k}': v
        for k, v in model.state_dict().items()
    }
    content = {'state_dict': state, 'hyper_parameters': {'model': 'tiny', 'options': options}}
    torch.save(content, folder / 'ours.ckpt')
    return str(folder / 'ours.ckpt')


def released(folder: Path, model: MAE, *, full: bool = True) -> str:
    """Write a file of the released MAE."""
    state: State = {'decoder_pos_embed': model.encoder.pos_embed} if full else {}
    for key, tensor in model.state_dict().items():
        part, rest = key.split('.', 1)
        if part == 'encoder':
            state[rest] = tensor
        elif full:
            state[rest if rest == 'mask_token' else f'decoder_{rest}'] = tensor
    torch.save({'model': state}, folder / 'released.pth')
    return str(folder / 'released.pth')


def count(model: MAE, part: str) -> int:
    return sum(k.startswith(f'{part}.') for k in model.state_dict())


def assert_equal(model: MAE, source: MAE, parts: tuple[str, ...]) -> None:
    held = source.state_dict()
    for key, tensor in model.state_dict().items():
        if key.startswith(parts):
            assert torch.equal(tensor, held[key]), key


@pytest.mark.parametrize('kind', [MAE, CrossScaleMAE])
def test_ours(tmp_path: Path, kind: type[MAE]) -> None:
    source, model = build(kind, seed=1), build(kind)
    file = ours(tmp_path, source)
    initial = load_initial(model, file)
    assert_equal(model, source, ('',))
    assert (initial.missing, initial.unused) == ({}, ())
    text = f'started from {file}: {count(model, "encoder")} tensors of the encoder'
    assert str(initial).startswith(text)
    assert f'{count(model, "decoder")} tensors of the decoder' in str(initial)


def test_another_objective(tmp_path: Path) -> None:
    """From MAE to Cross-Scale MAE and back: what is at random, and what is not used, is said."""
    mae, cross = build(MAE, seed=1), build(CrossScaleMAE, seed=2)
    model = build(CrossScaleMAE)
    initial = load_initial(model, ours(tmp_path, mae))
    assert_equal(model, mae, ('encoder', 'decoder'))
    assert initial.missing == {'predictor': count(cross, 'predictor')}
    assert f'at random: {count(cross, "predictor")} of the predictor' in str(initial)
    initial = load_initial(build(MAE), ours(tmp_path, cross))
    assert len(initial.unused) == count(cross, 'predictor')
    assert str(initial).endswith(f'not used: {len(initial.unused)}')


def test_released(tmp_path: Path) -> None:
    source, model = build(seed=1), build()
    initial = load_initial(model, released(tmp_path, source))
    assert_equal(model, source, ('encoder', 'decoder'))
    assert initial.missing == {}
    model, fresh = build(), build()
    initial = load_initial(model, released(tmp_path, source, full=False))
    assert_equal(model, source, ('encoder',))
    assert_equal(model, fresh, ('decoder',))
    assert initial.missing == {'decoder': count(model, 'decoder')}
    assert f'at random: {count(model, "decoder")} of the decoder' in str(initial)


def test_another_decoder(tmp_path: Path) -> None:
    """The encoder is taken, and the tensors of the decoder that fit."""
    source, model = build(seed=1, decoder_dim=64, decoder_heads=4), build()
    initial = load_initial(model, ours(tmp_path, source))
    assert_equal(model, source, ('encoder',))
    assert initial.missing['decoder'] > 0
    assert 'decoder.mask_token' in initial.unused


@pytest.mark.parametrize(
    ('net', 'name'),
    [({'in_chans': 4}, r'encoder\.patch_embed'), ({'embed_dim': 64}, r'encoder\.cls_token')],
)
def test_wrong_sizes(tmp_path: Path, net: dict[str, int], name: str) -> None:
    """Nothing is loaded then."""
    model, fresh = build(), build()
    for write in (ours, released):
        file = write(tmp_path, build(seed=1, net=net))
        with pytest.raises(CheckpointError, match=f'{name}.* is .*, needed is .*number of bands'):
            load_initial(model, file)
    assert_equal(model, fresh, ('',))


def test_incomplete_encoder(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r'lacks encoder\.blocks\.2\.norm1\.weight'):
        load_initial(build(net={'depth': 3}), ours(tmp_path, build()))


def test_other_blocks(tmp_path: Path) -> None:
    """Tensors of post-norm blocks fit those of pre-norm ones, and mean nothing there."""
    post = build(seed=1, block='post_norm', net={'block_fn': PostNormBlock})
    file = ours(tmp_path, post, block='post_norm')
    with pytest.raises(CheckpointError, match=r'holds post_norm blocks .* set .* block: post_norm'):
        load_initial(build(), file)
    model = build(block='post_norm', net={'block_fn': PostNormBlock})
    load_initial(model, file)
    assert_equal(model, post, ('',))
    with pytest.raises(CheckpointError, match='holds pre_norm blocks'):
        load_initial(model, released(tmp_path, build()))


def test_missing_path() -> None:
    with pytest.raises(MissingPathError, match=r'nowhere\.ckpt does not exist'):
        load_initial(build(), 'nowhere.ckpt')


def test_timm_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its pretrained weights are asked for, with the model's bands."""
    asked: dict[str, Any] = {}
    create = timm.create_model

    def offline(name: str, *, pretrained: bool, **options: Any) -> torch.nn.Module:
        asked.update(options, pretrained=pretrained)
        torch.manual_seed(3)
        return create(name, **options)

    model = MAE(create_encoder('test_vit', 4), **DECODER)
    monkeypatch.setattr(timm, 'create_model', offline)
    initial = load_initial(model, 'test_vit')
    assert asked == {'pretrained': True, 'num_classes': 0, 'in_chans': 4}
    torch.manual_seed(3)
    expected = create('test_vit', num_classes=0, in_chans=4).state_dict()
    for key, tensor in model.encoder.state_dict().items():
        assert torch.equal(tensor, expected[key]), key
    assert initial.missing == {'decoder': count(model, 'decoder')}


def test_positions_that_are_counted_otherwise_are_said(tmp_path: Path) -> None:
    source = build(position='gsd')
    path = ours(tmp_path, source, position='gsd')
    assert "whose position was 'gsd' and is 'index' here" in str(load_initial(build(), path))
    assert 'whose position' not in str(load_initial(build(position='gsd'), path))
    assert 'whose position' not in str(load_initial(build(), released(tmp_path, build())))


@pytest.mark.parametrize(
    ('before', 'warned'),
    [('red,green,blue', True), ('blue,green,red', False), ('red,green,nir', False)],
)
def test_bands_in_another_order(before: str, warned: bool) -> None:
    """Whatever a sensor calls them; other bands may be meant to take their place."""
    sensor = Sensor('sentinel-2 B2,B3,B4 uint16', ('B2', 'B3', 'B4'), (0,) * 3, (1,) * 3)
    assert bool(in_another_order(before.split(','), sensor)) is warned


def test_a_run_warns_of_bands_in_another_order(
    world: Path, tmp_path: Path, recipe: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    steps, init = ('--max-steps', '1'), ('--init', str(tmp_path / 'first' / 'last.ckpt'))
    assert start(world, tmp_path / 'first', *steps) == 0
    assert start(world, tmp_path / 'same', *steps, *init) == 0
    assert 'warning' not in capsys.readouterr().err
    assert start(world, tmp_path / 'other', *steps, *init, '--bands', 'blue,green,red') == 0
    said = capsys.readouterr().err
    assert 'trained on red, green, blue, and the bands of the data are blue, green, red' in said
