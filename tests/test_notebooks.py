"""The notebooks run from the first cell to the last."""

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parent.parent / 'notebooks'

#: What is made smaller here, by notebook: each text must be there to be replaced.
SHORTER = {
    'downstream': {
        'EXTENT, LABELLED = 5400, 2700': 'EXTENT, LABELLED = 1280, 1280',
        'FEW, MANY = 8, 24': 'FEW, MANY = 2, 1',
        'STEPS, EPOCHS, SEEDS = 400, 15, (0, 1)': 'STEPS, EPOCHS, SEEDS = 2, 1, (0,)',
        '--temperature 1e6': '--temperature 1e6 --model test_vit --size 64 --batch-size 4',
    },
    'quick_start': {
        'STEPS = 400': 'STEPS = 3',
        'extent=2560': 'extent=1280',
        '--model vit_tiny_patch16_224 --size 96 --batch-size 16': (
            '--model test_vit --size 64 --batch-size 4'
        ),
    },
    'scale_robustness': {
        'EXTENT, COUNT = 10_240, 60': 'EXTENT, COUNT = 1280, 4',
        'STEPS, SHORT = 800, 250': 'STEPS, SHORT = 2, 1',
        '--temperature 1e6': '--temperature 1e6 --model test_vit --size 64 --batch-size 4',
    },
}

#: What each has to show: pictures, and words.
SHOWN = {
    'downstream': (4, ('fine-tuned', 'written: runs/downstream/maps/river', 'EPSG:32632', 'mIoU')),
    'quick_start': (5, ('rasters can be used', 'runs/quick_start/run/last.ckpt')),
    'scale_robustness': (8, ("'forest': 4", 'random:pretrained-2', 'all, by index', 'image-stats')),
}


def test_every_notebook_is_run() -> None:
    assert {path.stem for path in NOTEBOOKS.glob('*.ipynb')} == set(SHORTER)


@pytest.mark.parametrize('name', SHORTER)
def test_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = nbformat.read(NOTEBOOKS / f'{name}.ipynb', as_version=4)
    for old, new in SHORTER[name].items():
        cells = [cell for cell in notebook.cells if old in cell.source]
        assert cells
        for cell in cells:
            cell.source = cell.source.replace(old, new)
    path = os.pathsep.join([str(NOTEBOOKS.parent), os.environ.get('PYTHONPATH', '')])
    monkeypatch.setenv('PYTHONPATH', path)
    NotebookClient(notebook, timeout=120, resources={'metadata': {'path': tmp_path}}).execute()
    shown = [output for cell in notebook.cells for output in cell.get('outputs', ())]
    pictures = [output for output in shown if 'image/png' in output.get('data', {})]
    count, words = SHOWN[name]
    assert len(pictures) == count
    tables = [output.get('data', {}).get('text/plain', '') for output in shown]
    text = ''.join([*(output.get('text', '') for output in shown), *tables])
    for word in words:
        assert word in text
