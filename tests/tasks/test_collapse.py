"""The check that watches a run for collapse."""

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.demos.boring_classes import BoringModel
from lightning.pytorch.loggers import CSVLogger
from torch.utils.data import DataLoader, Dataset

from xscale.models.checkpoint import Encoder
from xscale.tasks import CollapseCheck, Pretraining
from xscale.tasks.collapse import pooled_features
from xscale.types import Sample

from ..tiny import seeded, view

MODEL = 'test_vit'
OPTIONS = {'decoder_dim': 32, 'decoder_depth': 1, 'decoder_heads': 4}


def task(**options: Any) -> Pretraining:
    torch.manual_seed(0)
    return Pretraining(
        model=MODEL, options=OPTIONS | {'predictor_hidden': 16}, size=32, gsd=10.0, **options
    )


def test_features_are_those_of_the_checkpoint() -> None:
    """As ``xscale.load`` pools them; images without data are left out."""
    trained = task().eval()
    sensor = {'name': 's', 'bands': ['a', 'b', 'c'], 'mean': [0.0] * 3, 'std': [1.0] * 3}
    encoder = Encoder(trained.model, {'sensors': [sensor]}).eval()
    seen = view(valid=torch.arange(4).view(4, 1, 1, 1).expand(4, 1, 32, 32) != 2)
    with torch.no_grad():
        features = pooled_features(trained, seen)
        pooled = encoder(seen.image, seen.gsd, valid=seen.valid).pooled
    assert features.shape == (3, trained.model.embed_dim)
    torch.testing.assert_close(features, pooled[[0, 1, 3]])


class Plain(Dataset[Sample]):
    """Images, and some that hold nothing."""

    def __len__(self) -> int:
        return 80

    def __getitem__(self, index: int) -> Sample:
        image = torch.rand(3, 64, 64, generator=seeded(index))
        valid = torch.full((1, 64, 64), index % 5 > 0)
        return {'image': image * valid, 'valid': valid}


class Losses(Callback):
    """Keeps every loss."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def on_train_batch_end(self, trainer: Trainer, module: Any, outputs: Any, *_: Any) -> None:
        self.values.append(float(outputs['loss']))
        assert module.model.training


def fit(
    folder: Path, trained: Any, *callbacks: Callback, batch: int = 10
) -> dict[str, list[tuple[int, float]]]:
    """Train and return the logged columns."""
    trainer = Trainer(
        max_steps=8,
        callbacks=list(callbacks),
        logger=CSVLogger(folder, '', ''),
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        accelerator='cpu',
        log_every_n_steps=1,
    )
    trainer.fit(trained, DataLoader(Plain(), batch_size=batch))
    with (folder / 'metrics.csv').open() as file:
        rows = list(csv.DictReader(file))
    return {
        name: [(int(row['step']), float(row[name])) for row in rows if row.get(name)]
        for name in ('feature_std', 'effective_rank')
    }


def test_the_check_changes_no_loss(tmp_path: Path) -> None:
    """Not even where all draw from generators: crops, masks and stochastic depth."""
    with_, without = Losses(), Losses()
    logged = fit(tmp_path / 'a', task(drop_path=0.3), CollapseCheck(1), with_)
    before = torch.get_rng_state()
    fit(tmp_path / 'b', task(drop_path=0.3), without)
    assert torch.equal(torch.get_rng_state(), before)
    assert with_.values == without.values
    assert len(set(with_.values)) == len(with_.values) == 8
    assert [step for step, _ in logged['feature_std']] == list(range(8))
    assert all(0 < value < 1.5 for _, value in logged['feature_std'])
    # Eight of ten images hold data.
    assert all(1 < value <= 7 for _, value in logged['effective_rank'])


@pytest.mark.parametrize(('interval', 'steps'), [(3, [1, 3, 5, 7]), (100, [1, 3, 5, 7]), (1, None)])
def test_short_runs_are_checked_too(tmp_path: Path, interval: int, steps: list[int]) -> None:
    logged = fit(tmp_path, task(), CollapseCheck(interval))
    assert [step for step, _ in logged['effective_rank']] == (steps or list(range(8)))


def test_a_collapse_is_said_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fit(tmp_path / 'fine', task(), CollapseCheck(2))
    assert 'collaps' not in capsys.readouterr().err
    broken = task(lr=1e-12)
    with torch.no_grad():
        # The same answer for every image, up to what a hundredth of the usual weight adds.
        broken.model.norm.weight.mul_(0.01)
        broken.model.norm.bias.fill_(1.0)
    fit(tmp_path / 'broken', broken, CollapseCheck(2))
    said = capsys.readouterr().err
    assert said.count('xscale: the encoder is collapsing: at step 2 ') == 1
    assert said.count('collaps') == 1
    assert 'features of 8 images have feature_std 0.00' in said


def test_few_images_raise_no_alarm(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = task(lr=1e-12)
    with torch.no_grad():
        broken.model.norm.weight.zero_()
    logged = fit(tmp_path, broken, CollapseCheck(2), batch=5)
    assert len(logged['feature_std']) == 4
    assert 'collaps' not in capsys.readouterr().err


def test_other_models_are_left_alone(tmp_path: Path) -> None:
    trainer = Trainer(
        max_steps=2,
        callbacks=[CollapseCheck(1)],
        logger=CSVLogger(tmp_path, '', ''),
        enable_checkpointing=False,
        enable_progress_bar=False,
        accelerator='cpu',
    )
    trainer.fit(BoringModel())
    assert trainer.global_step == 2
    assert 'feature_std' not in trainer.logged_metrics
    assert not (tmp_path / 'metrics.csv').exists()
