"""One seed for a whole run, unless a part of it is given its own."""

from collections.abc import Callable

import pytest
from lightning.pytorch import seed_everything
from torchgeo.main import main as torchgeo

from xscale.cli import main
from xscale.datamodules import CrossScaleDataModule
from xscale.recipes import ROOT
from xscale.tasks import Pretraining


class StartedError(Exception):
    """A run has got so far that data are asked for."""


@pytest.mark.parametrize('command', [main, torchgeo], ids=['xscale', 'torchgeo'])
@pytest.mark.parametrize(
    ('flags', 'seeds'),
    [
        ('', (0, 0)),
        ('--seed_everything 5', (5, 5)),
        ('--seed_everything 5 --model.seed 6', (6, 5)),
        ('--seed_everything 5 --data.seed 0', (5, 0)),
        ('--model.seed 6 --data.seed 7', (6, 7)),
        ('--seed_everything false', (0, 0)),
    ],
)
def test_seeds_of_a_run(
    command: Callable[[list[str]], object],
    flags: str,
    seeds: tuple[int, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By recipe and flags, whether TorchGeo's command line reads them or ours."""
    found = []

    def setup(self: CrossScaleDataModule, stage: str) -> None:
        task = self.trainer.lightning_module
        # What is logged is what is used.
        assert task.hparams_initial['seed'] == task.hparams['seed']
        assert self.hparams['seed'] == self.seed
        found.append((task.hparams['seed'], self.seed))
        raise StartedError

    monkeypatch.setattr(CrossScaleDataModule, 'setup', setup)
    small = ('--model.model', 'test_vit', '--trainer.logger', 'false')
    recipes = ('-c', f'{ROOT}/tasks/pretrain/mae.yaml', '-c', f'{ROOT}/datasets/folder.yaml')
    with pytest.raises(StartedError):
        command(['fit', *recipes, *small, *flags.split()])
    assert found == [seeds]


def test_seeds_in_python() -> None:
    options = {'model': 'test_vit', 'size': 32}
    assert CrossScaleDataModule().seed == Pretraining(**options).hparams['seed'] == 0
    seed_everything(3, verbose=False)
    assert CrossScaleDataModule().seed == Pretraining(**options).hparams['seed'] == 3
    assert CrossScaleDataModule(seed=0).seed == Pretraining(**options, seed=0).hparams['seed'] == 0
