"""Trainings of a run that was stopped are not repeated, and change nothing."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from xscale.cli import main
from xscale.datasets.catalogue import cache_folder
from xscale.datasets.labelled import open_labelled
from xscale.datasets.masked import open_masked
from xscale.tasks import Segmentation
from xscale.tuning import TrainingStore, Tuning
from xscale.tuning.tiles import Tiles
from xscale.tuning.training import TAKEN, build

from ..data.labelled.data import write_photos
from ..data.masked.data import write_png
from ..test_evaluate import QUICK as QUICK_PHOTOS
from ..test_evaluate_segment import QUICK, SIDE, write_scenes

MODEL = 'random:test_vit'


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv('XSCALE_CACHE', str(tmp_path / 'cache'))
    return tmp_path / 'cache' / 'trained'


def stop_at(step: int) -> Callable[..., Any]:
    """Return a training step that is interrupted when it has been called so often."""
    count, own = iter(range(1000)), Segmentation.training_step

    def training_step(task: Segmentation, *args: Any) -> Any:
        if next(count) == step:
            raise KeyboardInterrupt
        return own(task, *args)

    return training_step


def measured(out: Path) -> tuple[dict[str, Any], list[str]]:
    """Return what a report says of models but for seconds, and its notes."""
    models = json.loads((out / 'results.json').read_text())['models']
    notes = [note for model in models.values() for note in model.pop('notes')]
    for model in models.values():
        for found in [*model.get('segment', {}).values(), model.get('finetune', {})]:
            for key in ('seconds', 'predict'):
                found.get('training', {}).pop(key, None)
    return models, notes


def test_a_run_goes_on_where_it_was_stopped(
    tmp_path: Path, own_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scenes, flags = write_scenes(tmp_path / 'scenes', 4, 2), ('--scales', '50,100', *QUICK)
    command = ['evaluate', MODEL, str(scenes), *flags, '--out']
    whole, resumed = tmp_path / 'whole', tmp_path / 'resumed'
    assert main([*command, str(whole)]) == 0
    assert list(own_cache.iterdir()) == []
    with pytest.MonkeyPatch.context() as patch:
        # The first training has two steps.
        patch.setattr(Segmentation, 'training_step', stop_at(3))
        assert main([*command, str(resumed)]) == 130
    assert 'trainings that are done: 1, kept' in capsys.readouterr().err
    assert not resumed.exists()
    (kept,) = own_cache.iterdir()
    with pytest.MonkeyPatch.context() as patch:
        # The second alone is trained.
        patch.setattr(Segmentation, 'training_step', stop_at(2))
        assert main([*command, str(resumed)]) == 0
    assert f'frozen: {TAKEN} {kept}' in capsys.readouterr().out
    (ours, plain), (theirs, notes) = measured(whole), measured(resumed)
    assert ours == theirs
    assert f'frozen: {TAKEN} {kept}' in notes
    assert not any(TAKEN in note for note in plain)
    assert list(own_cache.iterdir()) == []
    for name in ('frozen', 'fine-tuned'):
        first, second = (
            torch.load(out / 'models' / f'0_random-test_vit_{name}.ckpt', weights_only=True)
            for out in (whole, resumed)
        )
        assert first['hyper_parameters'] == second['hyper_parameters']
        assert first['state_dict'].keys() == second['state_dict'].keys()
        for key, tensor in first['state_dict'].items():
            assert torch.equal(tensor, second['state_dict'][key])


def test_fine_tuning_of_labelled_images_goes_on_too(
    tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = write_photos(tmp_path / 'photos', each=4)
    flags = ['--protocol', 'knn,finetune', '--epochs', '1', *QUICK_PHOTOS]
    command = ['evaluate', MODEL, str(photos), *flags, '--out']
    whole, resumed = tmp_path / 'whole', tmp_path / 'resumed'
    assert main([*command, str(whole)]) == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('xscale.commands.evaluate.publish', None)
        with pytest.raises(TypeError):
            main([*command, str(resumed)])
    assert len(list(own_cache.iterdir())) == 1
    monkeypatch.setattr('xscale.tuning.training.Trainer', None)
    assert main([*command, str(resumed)]) == 0
    (ours, _), (theirs, notes) = measured(whole), measured(resumed)
    assert ours == theirs
    assert any(TAKEN in note for note in notes)
    assert TAKEN in (resumed / 'report.html').read_text()


@pytest.fixture(scope='module')
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scenes(tmp_path_factory.mktemp('scenes'), 2, 1)


def task_of(**settings: Any) -> Segmentation:
    own = {'model': 'test_vit', 'in_channels': 3, 'num_classes': 2, 'decoder_channels': 8}
    return build(Segmentation, settings.pop('seed', 0), **{**own, **settings})


def test_what_decides_a_training_names_it(scenes: Path) -> None:
    store, tiles = TrainingStore(Path('kept')), Tiles(open_masked(scenes), SIDE)

    def path(task: Any = None, tuning: Tuning | None = None, side: int = SIDE) -> Path:
        tuning = tuning or Tuning(epochs=2)
        module = Tiles(open_masked(scenes), side).module(tuning)
        return store.path(task or task_of(), module, tuning.epochs, tuning.device)

    usual = path()
    assert path() == usual
    assert path(tuning=Tuning(epochs=2, workers=1)) == usual
    task = task_of()
    with torch.no_grad():
        task.model.cls_token[0, 0, 0] += 1
    others = [path(task), path(task_of(lr=1.0)), path(task_of(train='frozen')), path(side=32)]
    others += [path(task_of(seed=1)), path(tuning=Tuning(epochs=3))]
    others += [path(tuning=Tuning(epochs=2, **one)) for one in ({'seed': 1}, {'batch_size': 2})]
    others += [path(tuning=Tuning(epochs=2, device='cuda:1'))]
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[:5] = 1
    write_png(scenes / 'train' / 'masks' / '0.png', mask)
    others += [path()]
    assert len({usual, *others}) == 1 + len(others)
    assert tiles.data.fingerprint('test') == open_masked(scenes).fingerprint('test')


def test_labels_name_a_training_too(tmp_path: Path) -> None:
    data = open_labelled(write_photos(tmp_path / 'data', each=2))
    before = data.fingerprint('train')
    data.splits['train'].labels = data.splits['train'].labels.flip(0)
    assert data.fingerprint('train') != before


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def another(path: Path) -> None:
    torch.save({'state_dict': {}}, path)


def a_bit(path: Path) -> None:
    content = torch.load(path, weights_only=True)
    content['checkpoint']['state_dict']['weight'][0] += 1
    torch.save(content, path)


@pytest.mark.parametrize('spoil', [cut, another, a_bit, Path.unlink])
def test_what_is_not_whole_is_not_taken(spoil: Any, tmp_path: Path) -> None:
    folder, weight = tmp_path / 'kept', torch.arange(64.0)
    path = folder / 'some.ckpt'
    numbers = {'seconds': 1.5, 'steps': 3, 'loss': 0.5}
    TrainingStore(folder).keep(path, {'state_dict': {'weight': weight}}, **numbers)
    found = TrainingStore(folder).find(path)
    assert found is not None
    assert torch.equal(found.pop('checkpoint')['state_dict']['weight'], weight)
    assert found == numbers
    assert [one.name for one in folder.iterdir()] == ['some.ckpt']
    spoil(path)
    assert TrainingStore(folder).find(path) is None


def test_where_nothing_can_be_kept_training_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / 'file').write_text('in the way')
    store = TrainingStore(tmp_path / 'file')
    store.keep(tmp_path / 'file' / 'some.ckpt', {'state_dict': {}}, seconds=1, steps=1, loss=1)
    assert 'cannot be kept' in capsys.readouterr().err
    assert store.used == []
    assert cache_folder() == tmp_path / 'cache'
