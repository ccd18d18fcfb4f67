"""What classification and segmentation share: encoder, head, steps, schedule."""

import inspect
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from ..errors import ConfigError, UnknownNameError
from ..models.swin import Swin
from ..seeds import chosen_seed, step_seed
from ..types import Sample
from .fed import Fed
from .finite import best_kept, check_loss, check_weights
from .heads import create_head
from .memory import keep_memory
from .schedule import (
    count_steps,
    create_optimizer,
    global_batch,
    parameter_groups,
    warmup_cosine,
)
from .starting import options_of, start_encoder
from .state import SavedOnce

#: Settings that are one of a few words.
CHOICES: dict[str, tuple[str | None, ...]] = {
    'train': ('frozen', 'linear', 'full'),
    'normalize': (None, 'contract', 'none'),
    'optimizer': ('adamw', 'lars'),
}


class Downstream(Fed):
    """An encoder, and on it a head that is trained on labels.

    Attributes:
        model: The encoder's transformer.
        embeds: Patch embeddings of groups of bands beyond its own.
        head: What stands on it.
    """

    ignore = ('weights',)

    def configure_models(self) -> None:
        """Build the encoder and the head, and decide what is trained."""
        hparams = self.hparams
        for name in ('num_classes', 'num_labels', 'labels', 'pos_weight', 'pooling'):
            hparams.setdefault(name, None)
        self._check_settings()
        encoder, hparams['model'], patch = start_encoder(
            self.weights,
            hparams['model'],
            hparams['in_channels'],
            sensor=hparams['sensor'],
            pooling=hparams['pooling'],
            drop_path=hparams['drop_path'],
            options=hparams['options'],
        )
        # First, so that its parameters are known by these names.
        self.model, self.embeds, self.features = encoder.model, encoder.embeds, encoder
        # How much was drawn before depends on where the encoder's weights come from.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(chosen_seed(hparams['seed']))
            self.head = create_head(self.kind, encoder, self.outputs, hparams)
        hparams['in_channels'] = len(encoder.sensors[0].bands)
        hparams['pooling'], hparams['options'] = encoder.pooling, options_of(encoder)
        if patch:
            hparams['options']['patch'] = patch
        self._choose_trained()
        SavedOnce(model='features.model.', embeds='features.embeds.').attach(self)
        self.begin_feeding()
        self._batch: Sample = {}

    def keep_own_settings(self) -> None:
        """Forget the settings that TorchGeo's tasks have and ours do not.

        The command line builds a task from those that a checkpoint holds.
        """
        own = inspect.signature(type(self).__init__).parameters
        for name in [n for n in self.hparams if n not in own and not n.startswith('_')]:
            del self.hparams[name]

    @property
    def frozen(self) -> bool:
        """Whether the encoder learns nothing."""
        return self.hparams['train'] != 'full'

    def _check_settings(self) -> None:
        hparams = self.hparams
        for name, choices in CHOICES.items():
            if hparams[name] not in choices:
                raise UnknownNameError(name, hparams[name], [c for c in choices if c])
        many = hparams['task'] == 'multilabel'
        wanted = 'num_labels' if many else 'num_classes'
        if not hparams[wanted]:
            raise ConfigError(f'the number of classes is needed; set {wanted}')
        if not many and hparams[wanted] < 2:
            raise ConfigError(
                f'{wanted} is {hparams[wanted]}; something and all the rest are two classes'
            )
        for name in ('labels', 'class_weights', 'pos_weight'):
            if hparams[name] and len(hparams[name]) != hparams[wanted]:
                raise ConfigError(
                    f'{len(hparams[name])} {name} came for {wanted}: {hparams[wanted]}; give one '
                    'for each class'
                )
        if not 0 <= hparams['warmup'] <= 1:
            raise ConfigError(f'warmup {hparams["warmup"]}: needs a share of the steps, 0 to 1')

    def _choose_trained(self) -> None:
        model = self.model
        model.requires_grad_(not self.frozen)
        self.embeds.requires_grad_(not self.frozen)
        # Positions are computed, but where weights learned them they go on learning; and what no
        # answer goes through must not be waited for by DistributedDataParallel.
        if not isinstance(model, Swin):
            model.pos_embed.requires_grad_(not self.frozen and self.features.position == 'table')
            model.fc_norm.requires_grad_(False)
        if not self.features.normalize_encoder:
            model.norm.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> 'Downstream':
        """Switch between training and evaluation; a frozen encoder stays in evaluation.

        Args:
            mode: Whether to train.
        """
        super().train(mode)
        if self.frozen:
            self.features.eval()
        return self

    def setup(self, stage: str) -> None:
        """Look at the data; see :meth:`Fed.setup`."""
        super().setup(stage)
        if self.frozen:
            # Lightning's, of a frozen encoder.
            warnings.filterwarnings('ignore', r'Found \d+ module\(s\) in eval mode')

    def on_fit_start(self) -> None:
        """Keep memory from step to step where the steps run on the CPU."""
        if self.device.type == 'cpu':
            keep_memory()

    def forward(self, image: Tensor) -> Tensor:
        """Run the model on images as a batch has them.

        Within :meth:`given` the batch's ``gsd`` and ``valid`` are used.

        Args:
            image: Shape (B, C, H, W).

        Returns:
            Logits, shape (B, K) or (B, K, H, W).
        """
        return self.head(self.features, *self.prepared({**self._batch, 'image': image}))

    @contextmanager
    def given(self, batch: Sample) -> Iterator[None]:
        """Let :meth:`forward`, which TorchGeo calls with images alone, know the rest of a batch.

        Args:
            batch: The batch.
        """
        self._batch = batch
        try:
            yield
        finally:
            self._batch = {}

    def checked(self, batch: Sample, number: int) -> Sample:
        """Return a batch with labels a model can learn from.

        Args:
            batch: What the data loader gave.
            number: Its number, for messages.
        """
        raise NotImplementedError

    def validation_step(self, batch: Sample, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Measure a batch, as TorchGeo's task does.

        Args:
            batch: What the data loader gave.
            batch_idx: Its number in the epoch.
            dataloader_idx: Number of the data loader.
        """
        batch = self.checked(batch, batch_idx)
        with self.given(batch):
            super().validation_step(batch, batch_idx, dataloader_idx)

    def test_step(self, batch: Sample, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Measure a batch; see :meth:`validation_step`."""
        batch = self.checked(batch, batch_idx)
        with self.given(batch):
            super().test_step(batch, batch_idx, dataloader_idx)

    def predict_step(self, batch: Sample, batch_idx: int, dataloader_idx: int = 0) -> Any:
        """Return the probabilities of classes; see :meth:`validation_step`."""
        with self.given(batch):
            return super().predict_step(batch, batch_idx, dataloader_idx)

    @property
    def seed(self) -> int:
        """Seed of the draws of this step: of (seed, step, rank) alone."""
        step = self.trainer.fit_loop.epoch_loop.total_batch_idx
        return step_seed(self.hparams['seed'], step, self.global_rank)

    @contextmanager
    def seeded(self) -> Iterator[None]:
        """Draw drop path and dropout, which know no generator but the global one, by the seed."""
        devices = [self.device] if self.device.type == 'cuda' else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(self.seed)
            yield

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what a model is fed, unless its weights are not finite."""
        check_weights(self, best_kept(self.trainer))
        super().on_save_checkpoint(checkpoint)

    def on_train_epoch_end(self) -> None:
        """Log the metrics of training, unless its loss is not finite."""
        check_loss(self)
        with warnings.catch_warnings():
            # torchmetrics', of metrics that share what they count; their values are right.
            warnings.filterwarnings('ignore', '.*was called before the ``update`` method')
            super().on_train_epoch_end()

    def configure_losses(self) -> None:
        """Build the loss; weights of classes are plain lists, as a checkpoint keeps them."""
        if self.hparams['loss'] != 'bce':
            super().configure_losses()
            return
        weight = self.hparams['pos_weight']
        self.criterion: nn.Module = nn.BCEWithLogitsLoss(
            pos_weight=None if weight is None else torch.tensor(weight, dtype=torch.float32)
        )

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Set up the optimizer with layer decay, and a warm-up and a cosine for every step."""
        hparams = self.hparams
        lr = hparams['lr'] * max(1.0, global_batch(self.trainer) / 256)
        groups = parameter_groups(
            self.model,
            self.head,
            hparams['weight_decay'],
            hparams['layer_decay'],
            self.embeds,
        )
        optimizer = create_optimizer(hparams['optimizer'], groups, lr, tuple(hparams['betas']))
        factor = warmup_cosine(hparams['warmup'], count_steps(self.trainer))
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {
            'optimizer': optimizer,
            'lr_scheduler': {'scheduler': scheduler, 'interval': 'step'},
        }
