"""The pretraining task on batches that are not from our own data module."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader, Dataset

import xscale
from xscale.errors import ConfigError, UnknownNameError
from xscale.models.attention import Attention
from xscale.objectives import MAE
from xscale.tasks import Pretraining

SMALL = {'decoder_dim': 32, 'decoder_depth': 1, 'decoder_heads': 4}
TINY = 'vit_tiny_patch16_224'


class Plain(Dataset[dict[str, torch.Tensor]]):
    """What a TorchGeo classification dataset gives: images and labels, no GSD."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        generator = torch.Generator().manual_seed(index)
        return {
            'image': torch.rand(3, 64, 64, generator=generator),
            'label': torch.tensor(index % 2),
        }


def fit(task: Pretraining, folder: Path, steps: int = 2) -> Trainer:
    trainer = Trainer(
        max_steps=steps,
        default_root_dir=folder,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        accelerator='cpu',
    )
    trainer.fit(task, DataLoader(Plain(), batch_size=2))
    return trainer


@pytest.mark.parametrize('objective', ['MAE', 'CrossScaleMAE'])
def test_any_data_works_when_the_gsd_is_given(objective: str, tmp_path: Path) -> None:
    task = Pretraining(model=TINY, objective=objective, options=SMALL, size=32, gsd=10.0)
    before = task.model.blocks[0].attn.qkv.weight.clone()
    fit(task, tmp_path)
    assert not torch.equal(before, task.model.blocks[0].attn.qkv.weight)


def test_a_missing_gsd_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match='the batch has no gsd'):
        fit(Pretraining(model=TINY, options=SMALL, size=32), tmp_path)


def test_learning_rate_follows_batch_warm_up_and_cosine(tmp_path: Path) -> None:
    task = Pretraining(
        model=TINY, objective='MAE', options=SMALL, size=32, gsd=1.0, lr=0.01, warmup=0.5
    )
    trainer = fit(task, tmp_path, steps=8)
    scheduler = trainer.lr_scheduler_configs[0].scheduler
    factors = [scheduler.lr_lambdas[0](step) for step in range(9)]
    assert scheduler.base_lrs[0] == 0.01
    trainer.accumulate_grad_batches = 512
    assert task._global_batch() == 1024
    scaled = task.configure_optimizers()['lr_scheduler']['scheduler']
    assert scaled.base_lrs[0] == pytest.approx(0.01 * 1024 / 256)
    assert factors[:4] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert factors[4] == pytest.approx(1.0)
    assert factors[6] == pytest.approx(0.5)
    assert factors[8] == pytest.approx(0.0)


def test_weight_decay_spares_vectors(tmp_path: Path) -> None:
    task = Pretraining(model=TINY, objective='MAE', options=SMALL, size=32, gsd=1.0)
    trainer = fit(task, tmp_path, steps=1)
    decayed, spared = trainer.optimizers[0].param_groups
    assert decayed['weight_decay'] == 0.05
    assert spared['weight_decay'] == 0.0
    assert all(p.ndim > 1 for p in decayed['params'])
    assert all(p.ndim <= 1 for p in spared['params'])
    total = sum(p.requires_grad for p in task.parameters())
    assert len(decayed['params']) + len(spared['params']) == total


def test_drop_path_depends_on_seed_and_step_alone() -> None:
    task = Pretraining(
        model=TINY, objective='MAE', options=SMALL, size=32, gsd=1.0, drop_path=0.5
    ).train()
    batch = {'image': torch.rand(4, 3, 64, 64)}
    values = []
    for seed, step in ((0, 1), (1, 1), (0, 2)):
        torch.manual_seed(seed)
        before = torch.random.get_rng_state()
        values.append(float(task._terms(batch, task.generator(step))['reconstruction'].detach()))
        assert torch.equal(before, torch.random.get_rng_state())
    assert values[0] == values[1] != values[2]


def test_unknown_names() -> None:
    with pytest.raises(UnknownNameError, match='CrossScaleMAE, LocalMIM, LocalMIMSwin, MAE'):
        Pretraining(model=TINY, objective='Mae')
    with pytest.raises(ConfigError, match='depht'):
        Pretraining(model=TINY, objective='MAE', options={'depht': 3})
    with pytest.raises(UnknownNameError, match='term'):
        Pretraining(model=TINY, options={'weights': {'contrast': 1}})


def test_attention_backend_reaches_encoder_and_decoder() -> None:
    task = Pretraining(model=TINY, options=SMALL, size=32, attention='math')
    layers = [module for module in task.modules() if isinstance(module, Attention)]
    assert len(layers) == 12 + 1
    assert {layer.backend for layer in layers} == {'math'}


class Unnormalized(MAE):
    """An objective of one's own, whose encoder's final LayerNorm nothing reads."""

    def __init__(self, encoder: Any) -> None:
        super().__init__(encoder, normalize_encoder=False, **SMALL)


def test_the_checkpoint_knows_what_an_objective_decided(tmp_path: Path) -> None:
    name = f'{__name__}.Unnormalized'
    trainer = fit(Pretraining(model=TINY, objective=name, size=32, gsd=1.0), tmp_path, steps=1)
    trainer.save_checkpoint(tmp_path / 'own.ckpt')
    assert not xscale.load(tmp_path / 'own.ckpt').normalize_encoder
