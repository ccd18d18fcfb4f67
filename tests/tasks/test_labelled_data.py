"""The recipes of own labelled data run a step, under our command line and TorchGeo's."""

from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torchgeo.main import main as torchgeo_main

from xscale.cli import main
from xscale.recipes import ROOT

from ..data.labelled.data import write_photos
from ..data.masked.data import write_masked

TASKS = {
    'labelled': ['Classification', '--model.num_classes', '2'],
    'masked': [
        'SemanticSegmentation',
        '--model.model',
        'unet',
        '--model.num_classes',
        '3',
        '--model.ignore_index',
        '255',
    ],
}


@pytest.mark.filterwarnings('ignore:.*args parameter is intended', 'ignore:.*is in training mode')
@pytest.mark.parametrize('command', [main, torchgeo_main])
@pytest.mark.parametrize('name', TASKS)
def test_runs_a_step(name: str, command: Any, tmp_path: Path) -> None:
    folder = tmp_path / 'data'
    write_photos(folder, each=5) if name == 'labelled' else write_masked(folder)
    task, *flags = TASKS[name]
    flags = ['--model', f'torchgeo.tasks.{task}', *flags]
    flags += ['--data.data', str(folder), '--data.batch_size', '2', '--data.num_workers', '0']
    flags += ['--data.size' if name == 'labelled' else '--data.tile_size', '32']
    flags += [
        '--trainer.max_epochs',
        '1',
        '--trainer.log_every_n_steps',
        '1',
        '--trainer.limit_train_batches',
        '1',
    ]
    flags += ['--trainer.enable_progress_bar', 'false', '--trainer.accelerator', 'cpu']
    flags += ['--trainer.logger', 'TensorBoardLogger', '--trainer.logger.save_dir', str(tmp_path)]
    command(['fit', '--config', str(ROOT / f'datasets/{name}.yaml'), *flags])
    (events,) = tmp_path.rglob('events*')
    log = EventAccumulator(str(events)).Reload()
    assert len(log.Scalars('val_loss')) == 1
    # TorchGeo asks the data module for a picture of the first samples.
    assert 'image/0' in log.Tags()['images']


@pytest.mark.parametrize('name', TASKS)
def test_has_a_card(name: str) -> None:
    """With what one needs to know, and named by its recipe."""
    card = (ROOT / 'datasets' / 'cards' / f'{name}.md').read_text()
    for heading in ('Source.', 'Licence.', 'Bands', 'GSD.', 'Units.', 'How to get it.', 'Layout.'):
        assert heading in card
    assert f'-c datasets/{name}.yaml' in card
    assert f'datasets/cards/{name}.md' in (ROOT / 'datasets' / f'{name}.yaml').read_text()
