"""Which encoders are compared, and the controls beside them."""

from pathlib import Path

import pytest
import torch

from xscale.encoders.load import DEFAULT_RANDOM, _untrained, load_encoders
from xscale.models.checkpoint import CONTRACT

from ..test_evaluate import write_checkpoint

RGB = ('red', 'green', 'blue')


def test_each_has_a_name_of_its_own_and_controls_beside_it(tmp_path: Path) -> None:
    first = str(write_checkpoint(tmp_path / 'one' / 'run'))
    second = str(write_checkpoint(tmp_path / 'two' / 'run'))
    found = load_encoders([first, second, first], RGB, 'uint8')
    assert {name: control for name, (_, control) in found.items()} == {
        'run': False,
        'run (2)': False,
        # Both are of one architecture.
        'random:run': True,
        'image-stats': True,
    }
    assert all(name == embedder.name for name, (embedder, _) in found.items())
    assert found['run (2)'][0].notes == [f'it is {second}, of the same name as another']


def test_random_weights_are_fed_as_the_checkpoint_is(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / 'run')
    content = torch.load(path, weights_only=True)
    (aerial,) = content[CONTRACT]['sensors']
    content[CONTRACT]['sensors'].append(aerial | {'name': 'drone', 'mean': [90.0] * 3})
    torch.save(content, path)
    found = load_encoders([str(path)], RGB, 'uint8', 'drone')
    for name in ('run', 'random:run'):
        embedder = found[name][0]
        assert embedder.intake is not None
        assert embedder.intake.sensor.name == 'drone'
        assert embedder.source == name.replace('run', str(path))


@pytest.mark.parametrize('asked', [('image-stats', 'random:test_vit'), ('random:test_vit',)])
def test_controls_that_are_asked_for_come_once(asked: tuple[str, ...]) -> None:
    found = load_encoders(asked, RGB, 'uint8')
    assert set(found) == {'image-stats', 'random:test_vit'}
    assert all(control for _, control in found.values())


def test_random_weights_are_of_the_architecture_of_timms_models() -> None:
    names = ['timm:vit_tiny_patch16_224.augreg_in21k', 'vit_tiny_patch16_224', 'image-stats']
    assert _untrained(names) == ['random:vit_tiny_patch16_224']
    # No plain vision transformers: one stands for all.
    others = ['resnet18', 'torchgeo:resnet18', 'vit_dwee_patch16_reg1_gap_256']
    assert _untrained(others) == [DEFAULT_RANDOM]


def test_other_positions_have_random_weights_of_their_own(
    tmp_path: Path,
) -> None:
    paths = [write_checkpoint(tmp_path / name) for name in ('one', 'two')]
    content = torch.load(paths[1], weights_only=True)
    content['hyper_parameters'].setdefault('options', {})['position'] = 'gsd'
    torch.save(content, paths[1])
    assert _untrained([*map(str, paths)]) == [f'random:{path}' for path in paths]
