"""``xscale evaluate --protocol finetune``: beside the frozen protocols, in one report."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

import xscale
from xscale.cli import main
from xscale.datasets.labelled import open_labelled
from xscale.evaluation import features
from xscale.evaluation.evaluate import Settings
from xscale.evaluation.measure import Draws
from xscale.evaluation.store import FeatureStore
from xscale.tasks import load_predictor
from xscale.tuning import Tuning

from .data.labelled.data import write_photos
from .test_evaluate import QUICK, photos, write_checkpoint  # noqa: F401

FLAGS = ('--protocol', 'knn,finetune', '--epochs', '2', *QUICK)


@pytest.fixture(scope='module')
def report(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811
    folder = tmp_path_factory.mktemp('finetune')
    path = write_checkpoint(folder / 'mae')
    content = torch.load(path, weights_only=True)
    for key, tensor in content['state_dict'].items():
        if key.startswith('model.blocks') and key.endswith('weight'):
            content['state_dict'][key] = tensor * 1.1
    torch.save(content, path)
    out = folder / 'report'
    # The folder of a report before.
    (out / 'models').mkdir(parents=True)
    for name in ('models/0_mae_fine-tuned.ckpt', 'results.json'):
        (out / name).write_text('old')
    assert main(['evaluate', str(path), str(photos), '--out', str(out), *FLAGS]) == 0
    return out


@pytest.fixture(scope='module')
def results(report: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((report / 'results.json').read_text())
    return found


def test_a_column_beside_the_frozen_ones(results: dict[str, Any], report: Path) -> None:
    models = results['models']
    assert {name for name, one in models.items() if 'finetune' in one} == {'mae', 'random:mae'}
    assert 'not fine-tuned: it has no weights' in models['image-stats']['notes']
    for name in ('mae', 'random:mae'):
        found = models[name]['finetune']
        low, high = found['interval']
        assert low <= found['score'] == found['accuracy'] <= high
        assert found['training']['epochs'] == 2
        assert found['training']['steps'] == 2 * 4
    assert [(one['model'], one['control'], one['by']) for one in results['comparisons']] == [
        ('mae', 'random:mae', '20 nearest neighbours at full scale'),
        ('mae', 'random:mae', 'fine-tuning'),
    ]
    scores = [models[name]['finetune']['score'] for name in ('mae', 'random:mae')]
    assert results['comparisons'][1]['score'] == pytest.approx(scores[0] - scores[1])
    page = (report / 'report.html').read_text()
    assert '<th>fine-tuned</th>' in page
    assert 'by fine-tuning' in page
    assert 'How they were fine-tuned' in page


def test_the_weights_that_are_kept(
    results: dict[str, Any],
    report: Path,
    photos: Path,  # noqa: F811
) -> None:
    """They are those that were measured."""
    found = results['models']['mae']['finetune']
    predictor = load_predictor(report / found['training']['checkpoint'])
    split = open_labelled(photos).splits['test']
    (batch,) = DataLoader(features.Squares(split, found['training']['side']), len(split))
    logits = predictor(batch['image'], batch['gsd'], batch['valid'])
    right = (logits.argmax(1) == split.labels).float().mean()
    assert float(right) == pytest.approx(found['score'])


def test_unasked_nothing_is_trained(
    photos: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr('xscale.tuning.classifying.train', None)
    flags = ['--protocol', 'segment', '--out', str(tmp_path / 'out')]
    assert main(['evaluate', 'random:test_vit', str(photos), *flags]) == 2
    error = capsys.readouterr().err
    assert 'knn, linear, robustness, retrieval, reconstruct, finetune' in error
    with pytest.raises(SystemExit):
        main(['evaluate', '--help'])
    assert 'left out unasked' in ' '.join(capsys.readouterr().out.split())


def test_from_python(tmp_path: Path) -> None:
    """Random weights of an architecture, whose values are the data's."""
    data = open_labelled(write_photos(tmp_path / 'data', each=4))
    settings = Settings((), (1.0,), side=16, draws=Draws(20))
    store = FeatureStore(tmp_path / 'features')
    tuning = Tuning(epochs=1)
    found = xscale.compare(['random:test_vit'], data, settings, store=store, finetune=tuning)
    score = found.models['random:test_vit']['finetune']['score']
    assert 0 <= score <= 1
    assert found.compare() == []
