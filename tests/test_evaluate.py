"""``xscale evaluate``, from checkpoints and labelled images to a report."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from xscale.cli import main
from xscale.datasets.labelled import open_labelled
from xscale.models.checkpoint import CONTRACT
from xscale.tasks import Pretraining

from .data.geobench.data import SIDE, write_task
from .data.labelled.data import write_photo, write_tiffs
from .tiny import DECODER

CLASSES = ('dark', 'light', 'striped')
QUICK = ('--bootstrap', '50', '--seeds', '1', '--labels', '100', '--scales', '25,100')
CROSS = {'predictor_hidden': 32, 'norm_pix': True}
BYTES = {'mean': [110.0] * 3, 'std': [60.0] * 3}


def scene(label: str, number: int, side: int = 64) -> np.ndarray:
    """Draw a noisy image of a class; colour tells dark from light, texture tells stripes."""
    rng = np.random.default_rng([number, CLASSES.index(label)])
    image = rng.normal({'dark': 60, 'light': 180, 'striped': 120}[label], 25, (side, side, 3))
    if label == 'striped':
        image += 80 * np.sign(np.sin(np.arange(side) / 3))[:, None, None]
    return image.clip(0, 255).astype(np.uint8)


@pytest.fixture(scope='module')
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders of PNGs, ten training and five test images of each."""
    folder = tmp_path_factory.mktemp('photos')
    for split, count in (('train', 10), ('test', 5)):
        for label in CLASSES:
            (folder / split / label).mkdir(parents=True)
            for number in range(count):
                path = folder / split / label / f'{number}.png'
                Image.fromarray(scene(label, number + 100 * (split == 'test'))).save(path)
    return folder


def write_checkpoint(folder: Path, objective: str = 'MAE', **sensor: Any) -> Path:
    """Write a checkpoint of a tiny encoder and decoder that were not trained."""
    torch.manual_seed(0)
    options = DECODER | (CROSS if objective == 'CrossScaleMAE' else {})
    task = Pretraining(model='test_vit', objective=objective, size=64, options=options, seed=0)
    one = {'name': 'aerial', 'bands': ['red', 'green', 'blue']} | BYTES | sensor
    contract = {'bands': one['bands'], 'sensors': [one], 'size': 64, 'gsd': [1.0, 10.0]}
    content = {
        'state_dict': task.state_dict(),
        'hyper_parameters': dict(task.hparams),
        CONTRACT: contract,
    }
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(content, folder / 'last.ckpt')
    return folder / 'last.ckpt'


@pytest.fixture(scope='module')
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    runs = tmp_path_factory.mktemp('runs')
    names = {'mae': 'MAE', 'cross': 'CrossScaleMAE'}
    return [str(write_checkpoint(runs / name, kind)) for name, kind in names.items()]


@pytest.fixture(scope='module')
def report(checkpoints: list[str], photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of two checkpoints and their controls, by every protocol."""
    out = tmp_path_factory.mktemp('out') / 'report'
    assert main(['evaluate', *checkpoints, str(photos), '--out', str(out), *QUICK]) == 0
    return out


@pytest.fixture(scope='module')
def results(report: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((report / 'results.json').read_text())
    return found


def test_controls_stand_beside_the_models(results: dict[str, Any]) -> None:
    control = {name: model['control'] for name, model in results['models'].items()}
    assert control == {'mae': False, 'cross': False, 'random:mae': True, 'image-stats': True}
    assert {one['model'] for one in results['comparisons']} == {'mae', 'cross'}
    for model in results['models'].values():
        assert set(model['poolings']) == (
            {'mean'} if model['kind'] == 'image-stats' else {'mean', 'class'}
        )
    assert results['data']['train'] == 30
    assert results['command'].startswith('xscale evaluate ')
    assert {'xscale', 'torch', 'torchgeo', 'scikit-learn'} <= set(results['versions'])


def test_statistics_know_colour(results: dict[str, Any]) -> None:
    """What the images were made to be is what comes out."""
    found = results['models']['image-stats']['poolings']['mean']
    assert found['knn']['cosine_20']['score'] == 1.0
    assert found['linear']['1']['labels'] == 30
    assert found['linear']['1']['score'] == 1.0
    curve = found['robustness']['native size']
    assert curve['scales'] == [0.25, 1.0]
    assert curve['score'][1] == 1.0
    assert curve['mean']['score'] == pytest.approx(np.mean(curve['score']))
    assert curve['drop']['0.25']['score'] == pytest.approx(1 - curve['score'][0])


def test_numbers_agree_with_one_another(results: dict[str, Any]) -> None:
    for model in results['models'].values():
        for found in model['poolings'].values():
            for kind in found['knn'].values():
                assert np.mean(np.diag(kind['confusion'])) == pytest.approx(
                    kind['class_accuracy'], abs=1e-3
                )
                low, high = kind['interval']
                assert low <= kind['score'] == kind['accuracy'] <= high
            full = next(iter(found['robustness'].values()))['score'][-1]
            assert full == pytest.approx(found['knn']['cosine_20']['score'])
            place = np.array(found['retrieval']['place_1'])
            assert np.diag(place).min() == 1.0


def test_every_decoder_is_measured(results: dict[str, Any]) -> None:
    for name in ('mae', 'cross'):
        found = results['models'][name]['reconstruct']
        assert [row['scale'] for row in found['model']] == [0.25, 1.0]
        if name == 'mae':
            # Nothing was learnt: the mean of what is seen is nearer than the decoder's answer.
            assert found['mean of the view'][1]['mse'] < found['model'][1]['mse']
        assert all(row['l1'] > 0 and row['ssim'] < 1 for row in found['model'])
        # Who is told each hidden patch's own mean is not to be compared with who is not.
        told = any('is told the mean' in note for note in results['models'][name]['notes'])
        assert told == (name == 'cross')
    assert 'reconstruct' not in results['models']['random:mae']
    heads = results['models']['mae']['attention_nmi']
    assert len(heads) == 6
    assert all(0 <= value <= 1 for block in heads for value in block)


def test_the_page_stands_alone(report: Path) -> None:
    page = (report / 'report.html').read_text()
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert '<script' not in page
    assert 'url(' not in page
    assert page.count('data:image/png;base64,') == len(list((report / 'figures').glob('*.png')))
    for title in ('Where does it break?', 'Reconstruction', 'random:mae', 'the best control'):
        assert title in page


def test_again_from_kept_features(
    checkpoints: list[str],
    photos: Path,
    report: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The same numbers come out, and no image is encoded for the protocols again."""

    def fail(*_: Any) -> None:
        raise AssertionError('encoded again')

    monkeypatch.setattr('xscale.evaluation.features._encode', fail)
    flags = ['--protocol', 'knn,linear,robustness,retrieval', '--out', str(tmp_path / 'again')]
    assert main(['evaluate', *checkpoints, str(photos), *QUICK, *flags]) == 0
    again = json.loads((tmp_path / 'again' / 'results.json').read_text())
    before = json.loads((report / 'results.json').read_text())
    for name, model in again['models'].items():
        assert model['poolings'] == before['models'][name]['poolings']


def test_controls_alone(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / 'out'
    flags = ['--protocol', 'knn', '--out', str(out), '--bootstrap', '20']
    assert main(['evaluate', 'image-stats', 'random:test_vit', str(photos), *flags]) == 0
    results = json.loads((out / 'results.json').read_text())
    assert list(results['models']) == ['image-stats', 'random:test_vit']
    assert 'Only controls were evaluated.' in capsys.readouterr().out
    found = results['models']['image-stats']['poolings']['mean']
    assert 'linear' not in found
    assert 'robustness' not in found
    # A report is written anew; a folder of anything else is left alone.
    assert main(['evaluate', 'image-stats', str(photos), *flags]) == 0
    (out / 'mine.txt').write_text('notes')
    assert main(['evaluate', 'image-stats', str(photos), *flags]) == 2
    assert 'holds other files (mine.txt)' in capsys.readouterr().err


def test_other_units_are_said(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A model of reflectances that is fed bytes is at chance; that is what is said."""
    path = write_checkpoint(tmp_path / 'sentinel', mean=[2000.0] * 3, std=[600.0] * 3)
    flags = ['--protocol', 'knn', '--out', str(tmp_path / 'out'), '--bootstrap', '20']
    assert main(['evaluate', str(path), str(photos), *flags]) == 0
    assert 'chance' in capsys.readouterr().err
    results = json.loads((tmp_path / 'out' / 'results.json').read_text())
    assert len(results['models']['sentinel']['warnings']) == 1
    assert 'chance' in (tmp_path / 'out' / 'report.html').read_text()


def test_ground_that_was_trained_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_tiffs(tmp_path / 'tiffs', each=6, bands=3)
    path = write_checkpoint(
        tmp_path / 'run', bands=['B02', 'B03', 'B04'], mean=[2000.0] * 3, std=[1100.0] * 3
    )
    content = torch.load(path, weights_only=True)
    here = open_labelled(folder).splits['test'][0]['footprint'].tolist()
    flags = ['--protocol', 'knn', '--bootstrap', '20', '--size', '16', '--batch-size', '5']
    for ground, said in ((here, True), ([0.0, 0.0, 1.0, 1.0], False)):
        content[CONTRACT]['footprints'] = torch.tensor([ground])
        torch.save(content, path)
        assert main(['evaluate', str(path), str(folder), *flags, '--out', str(tmp_path / 'o')]) == 0
        assert ('ground it was pretrained on' in capsys.readouterr().err) == said
    results = json.loads((tmp_path / 'o' / 'results.json').read_text())
    # 12 px of 10 m, shown at 16 px.
    assert results['data']['gsd'] == pytest.approx(7.5, rel=1e-3)


def empty_split(folder: Path) -> None:
    for path in (folder / 'test').rglob('*.png'):
        path.unlink()


def one_class(folder: Path) -> None:
    for label in CLASSES[1:]:
        for split in ('train', 'test'):
            shutil.rmtree(folder / split / label)


def no_split(folder: Path) -> None:
    shutil.rmtree(folder / 'test')


@pytest.mark.parametrize(
    ('spoil', 'said'),
    [(one_class, 'dark'), (empty_split, 'test'), (no_split, 'test')],
)
def test_bad_folders(
    photos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    spoil: Any,
    said: str,
) -> None:
    folder = shutil.copytree(photos, tmp_path / 'copy')
    spoil(folder)
    assert main(['evaluate', 'image-stats', str(folder), '--out', str(tmp_path / 'out')]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert 'copy' in error
    assert not (tmp_path / 'out').exists()


def test_an_unreadable_image_is_named_and_left_out(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(photos, tmp_path / 'copy')
    broken = folder / 'train' / 'dark' / '3.png'
    broken.write_bytes(broken.read_bytes()[:100])
    flags = ['--protocol', 'knn', '--out', str(tmp_path / 'out'), '--bootstrap', '20']
    assert main(['evaluate', 'image-stats', str(folder), *flags]) == 0
    assert str(broken) in capsys.readouterr().out
    results = json.loads((tmp_path / 'out' / 'results.json').read_text())
    assert results['data']['train'] == 29
    assert results['data']['rejected'][0][0] == str(broken)
    assert 'left out' in (tmp_path / 'out' / 'report.html').read_text()


@pytest.mark.parametrize(
    ('model', 'flags', 'said'),
    [
        ('vit_tinny_patch16_224', (), 'vit_tiny_patch16_224'),
        ('runs/none/last.ckpt', (), 'no such file'),
        ('image-stats', ('--protocol', 'knn,lineer'), "unknown protocol 'lineer'"),
        ('image-stats', ('--scales', '0,50'), '--scales 0,50'),
        ('image-stats', ('--scales', 'half'), 'numbers with commas'),
        ('image-stats', ('--scales', '0.5'), 'no pixel'),
        ('image-stats', ('--labels', '200'), '--labels 200'),
        ('image-stats', ('--bands', 'nir'), 'nir'),
        ('image-stats', ('--batch-size', '0'), '--batch-size 0'),
        ('image-stats', ('--size', '4'), 'at least 8'),
        ('image-stats', ('--gsd', '-1'), 'gsd -1'),
    ],
)
def test_bad_flags(
    photos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    model: str,
    flags: tuple[str, ...],
    said: str,
) -> None:
    out = tmp_path / 'out'
    assert main(['evaluate', model, str(photos), '--out', str(out), *flags]) == 2
    assert said in capsys.readouterr().err
    assert not out.exists()


def test_wrong_bands(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_checkpoint(tmp_path / 'radar', bands=['vv', 'vh', 'ratio'])
    assert main(['evaluate', str(path), str(photos), '--out', str(tmp_path / 'out')]) == 2
    error = capsys.readouterr().err
    assert 'vv' in error
    assert 'red' in error


def test_data_is_missing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(['evaluate', 'image-stats']) == 2
    assert 'xscale evaluate CKPT… DATA' in capsys.readouterr().err
    assert main(['evaluate', 'image-stats', str(tmp_path / 'none')]) == 2
    assert 'does not exist' in capsys.readouterr().err


def test_confusion_is_of_true_classes(results: dict[str, Any]) -> None:
    """Rows are true classes, of which every image is somewhere."""
    table = np.array(results['models']['mae']['poolings']['mean']['knn']['cosine_20']['confusion'])
    assert table.shape == (3, 3)
    assert np.allclose(table.sum(1), 1, atol=1e-3)


def test_photos_of_other_sizes(tmp_path: Path) -> None:
    """Images of several sizes become squares of one side."""
    for split in ('train', 'test'):
        for label, first in (('a', 0), ('b', 10)):
            for number in range(4):
                path = tmp_path / 'data' / split / label / f'{number}.png'
                write_photo(path, first + number, side=16 + 4 * number)
    flags = ['--out', str(tmp_path / 'out'), *QUICK]
    assert main(['evaluate', 'image-stats', str(tmp_path / 'data'), *flags]) == 0
    assert json.loads((tmp_path / 'out' / 'results.json').read_text())['data']['side'] == 22


@pytest.mark.parametrize('label', ['Classification', 'MultiLabelClassification'])
def test_a_task_of_geobench(tmp_path: Path, label: str) -> None:
    """All protocols run on its bands; of several labels an image the score is mAP."""
    task = write_task(tmp_path / 'm-tiny', label=label, classes=3)
    flags = ['--out', str(tmp_path / 'out'), *QUICK, '--scales', '50,100', '--size', '16']
    assert main(['evaluate', 'random:test_vit', str(task), *flags]) == 0
    results = json.loads((tmp_path / 'out' / 'results.json').read_text())
    assert len(results['data']['bands']) == 13
    assert results['data']['gsd'] == pytest.approx(10 * SIDE / 16)
    for model in results['models'].values():
        found = model['poolings']['mean']
        several = label.startswith('Multi')
        assert ('mean_average_precision' in found['knn']['cosine_20']) == several
        assert ('confusion' in found['knn']['cosine_20']) != several
        assert 0 <= found['linear']['1']['score'] <= 1
        assert set(found['robustness']['native size']['drop']) == {'0.5'}
        assert np.array(found['retrieval']['map']).shape == (2, 2)
    page = (tmp_path / 'out' / 'report.html').read_text()
    assert ('What is taken for what' in page) != several
