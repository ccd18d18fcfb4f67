"""Pretraining: batches in, views, an objective's terms weighed and summed, a checkpoint out."""

import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from lightning.pytorch import Callback
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torchgeo.tasks import BaseTask

from ..errors import ConfigError
from ..models.attention import set_backend
from ..models.build import build_encoder, embedded_bands, objective_options
from ..models.checkpoint import CONTRACT, versions
from ..models.dates import date_fields
from ..models.frames import Frames
from ..models.layouts import layout_of
from ..models.position import POSITIONS
from ..models.vit import patch_size
from ..objectives import find_objective
from ..objectives.terms import overlap_rate
from ..seeds import chosen_seed, step_seed
from ..transforms import Normalize, ScaleViews
from ..types import Sample, Sensor, View
from .bands import (
    check_bands,
    check_layout,
    groups_taken,
    in_another_order,
    number_groups,
)
from .frames import line_up
from .initial import load_initial
from .memory import keep_memory
from .schedule import count_steps, global_batch, warmup_cosine
from .state import SavedOnce


class Pretraining(BaseTask):
    """Train an encoder with a self-supervised objective.

    The encoder is :attr:`model`, a timm vision transformer whose checkpoint
    ``torchgeo.tasks.Classification(model=…, weights=CKPT)`` loads. A batch is TorchGeo's:
    ``image``, and ``gsd``, ``valid``, ``footprint``, ``sensor`` where the data module gives them;
    any other TorchGeo data module works when ``gsd`` is given here.
    """

    ignore = ('weights',)

    group_of: Tensor

    def __init__(
        self,
        model: str = 'vit_base_patch16_224',
        objective: str = 'CrossScaleMAE',
        options: dict[str, Any] | None = None,
        weights: str | None = None,
        in_channels: int = 3,
        groups: dict[str, int] | None = None,
        size: int = 128,
        scale: tuple[float, float] = (0.25, 0.75),
        ratio: tuple[float, float] = (1.0, 1.0),
        flip: bool = True,
        shared_crop: bool = False,
        gsd: float | None = None,
        lr: float = 1.5e-4,
        weight_decay: float = 0.05,
        betas: tuple[float, float] = (0.9, 0.95),
        warmup: float = 0.1,
        drop_path: float = 0.0,
        attention: str = 'auto',
        seed: int | None = None,
    ) -> None:
        """Build the model.

        Args:
            model: A timm vision transformer.
            objective: One in :mod:`xscale.objectives`, such as 'MAE', or the dotted path of an
                :class:`~xscale.objectives.Objective`.
            options: Arguments of the objective.
            weights: Where to start from: a checkpoint of ours, a released file, or a timm name
                with pretrained weights.
            in_channels: Bands of the images; of the first group where there are several.
            groups: Number of bands of each group of bands, by name, where there are several; the
                first group's patch embedding is the encoder's own.
            size: Side of a view in pixels.
            scale: Range of the fine view's area over the tile's.
            ratio: Range of the fine view's width over its height.
            flip: Whether tiles are turned over at random.
            shared_crop: Use one crop for a whole batch, as the released Cross-Scale MAE does.
            gsd: Metres per pixel of images whose batches do not say.
            lr: Learning rate for batches up to 256 over all processes; scaled by batch / 256
                above, not below, for Adam's steps do not shrink with the batch.
            weight_decay: Weight decay of parameters with more than one dimension.
            betas: Of AdamW.
            warmup: Share of the steps in which the learning rate rises; then it falls on a cosine.
            drop_path: Stochastic depth rate.
            attention: Attention backend.
            seed: Seed of masks and crops; that of ``seed_everything`` by default.

        Raises:
            XScaleError: If an argument cannot be used.
        """
        self.weights = weights
        super().__init__()
        self.save_hyperparameters({'seed': chosen_seed(seed)})
        own = self.objective
        crops = size, scale, ratio, flip, shared_crop
        self.views = ScaleViews(*crops, own.zoom, own.whole, own.views)
        self.normalize: Normalize | None = None
        # Moves to the device with the task; the data says which group each sensor is of.
        self.register_buffer('group_of', torch.zeros(1, dtype=torch.int64), persistent=False)
        self.contract: dict[str, Any] = {}
        self.terms: dict[str, Tensor] = {}
        self.idle_since = 0.0
        SavedOnce(model='objective.encoder.', embeds='objective.embeds.').attach(self)
        names = list(embedded_bands(self.hparams))
        self.initial = load_initial(self.objective, weights, names) if weights else None
        if self.initial and self.layout is not None:
            # Of tokens that are not patches alone there are no learned positions.
            self.initial = replace(self.initial, learned_positions=False)
        if self.initial and self.initial.learned_positions:
            # Weights that learned their positions go on with them.
            setattr(self.objective, 'position', 'table')  # noqa: B010
        position = getattr(self.objective, 'position', POSITIONS[0])
        if position != POSITIONS[0]:
            # Said to whoever loads the encoder, where it is an objective's own default too.
            self.hparams['options'] = {**(self.hparams['options'] or {}), 'position': position}

    def configure_models(self) -> None:
        """Build the encoder and the objective around it."""
        hparams, options = self.hparams, dict(self.hparams['options'] or {})
        kind = find_objective(hparams['objective'])
        if kind.defaults:
            # Said in full, so that a checkpoint knows what its encoder is made of.
            hparams['options'] = options = {**kind.defaults, **options}
        self.groups = groups_taken(hparams['groups'], hparams['in_channels'])
        self.layout = layout_of(options)
        check_layout(self.layout, self.groups)
        self.model, self.embeds = build_encoder(
            hparams, init=options.get('init', 'xavier'), drop_path=hparams['drop_path']
        )
        patch = patch_size(self.model)
        if hparams['size'] % patch:
            raise ConfigError(f'size {hparams["size"]} is no multiple of the patch, {patch} px')
        if not 0 <= hparams['warmup'] <= 1:
            raise ConfigError(f'warmup {hparams["warmup"]}: needs a share of the steps, 0 to 1')
        options = objective_options(options)
        count = {'predictor_tokens': (hparams['size'] // patch) ** 2}
        if options.get('predictor_norm') == 'token_batch':
            options = count | options
        pair = options.get('pair')
        if isinstance(pair, Mapping) and pair.get('predictor_norm') == 'token_batch':
            options['pair'] = {**count, **pair}
        if self.embeds:
            options['embeds'] = self.embeds
        try:
            self.objective = kind(self.model, **options)
        except TypeError as error:
            raise ConfigError(f'{hparams["objective"]}: {error}') from error
        # The decoder's attention too, not the encoder's alone.
        set_backend(self.objective, hparams['attention'])
        if not self.objective.normalize_encoder:
            # Nothing reads this LayerNorm then; DDP wants to know.
            self.model.norm.requires_grad_(False)

    def configure_callbacks(self) -> list[Callback]:
        """Return what every run needs, whatever callbacks it is given."""
        # Callbacks know the task.
        from .finite import FiniteCheck

        return [FiniteCheck()]

    def on_fit_start(self) -> None:
        """Keep memory from step to step where the steps run on the CPU."""
        if self.device.type == 'cpu':
            keep_memory()

    def setup(self, stage: str) -> None:
        """Take the sensors' statistics from the data module, if it knows them.

        Args:
            stage: 'fit', 'validate', 'test' or 'predict'.
        """
        datamodule: Any = getattr(self.trainer, 'datamodule', None)
        if str(self.trainer.precision) in ('bf16-true', '16-true', 'transformer-engine'):
            raise ConfigError(
                f'precision {self.trainer.precision} would round places on the ground; '
                'choose bf16-mixed, 16-mixed or 32-true'
            )
        if stage == 'fit' and hasattr(datamodule, 'contract'):
            self.contract = datamodule.contract
            sensors = [Sensor(**sensor) for sensor in self.contract['sensors']]
            check_bands(self.contract['bands'], self.layout)
            numbers = number_groups(sensors, self.groups)
            self.group_of = torch.tensor(numbers, device=self.device)
            self.normalize = Normalize(sensors).to(self.device)
            if self.initial and self.layout is None and len(self.groups) == 1:
                warning = in_another_order(self.initial.bands, sensors[0])
                if warning and self.trainer.is_global_zero:
                    print(f'xscale: warning: {warning}', file=sys.stderr, flush=True)

    def training_step(self, batch: Sample, batch_idx: int, dataloader_idx: int = 0) -> Tensor:
        """Compute the loss.

        Args:
            batch: What the data loader gave.
            batch_idx: Its number in the epoch.
            dataloader_idx: Not used.

        Returns:
            The weighted sum of the terms.
        """
        step = self.trainer.fit_loop.epoch_loop.total_batch_idx
        terms = self._terms(batch, self.generator(step))
        loss = self.total(terms)
        count = len(batch['image'])
        self.terms = {name: term.detach() for name, term in terms.items()}
        self.log_dict(
            {f'train_{name}': term for name, term in self.terms.items()},
            batch_size=count,
            prog_bar=len(terms) > 1,
        )
        self.log('train_loss', loss.detach(), batch_size=count, prog_bar=True)
        if 'footprint' in batch:
            self.log('overlap_rate', overlap_rate(batch['footprint']), batch_size=count)
        if 'paired' in batch:
            self.log('pair_rate', batch['paired'].float().mean(), batch_size=count)
        return loss

    def on_train_batch_end(self, outputs: Any, batch: Sample, batch_idx: int) -> None:
        """Take the time: every callback is done, and the next batch is waited for.

        Args:
            outputs: Not used.
            batch: Not used.
            batch_idx: Not used.
        """
        self.idle_since = time.perf_counter()

    def on_validation_end(self) -> None:
        """Take the time again: validation is no waiting."""
        self.idle_since = time.perf_counter()

    def validation_step(self, batch: Sample, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Log the loss on views and masks that are the same each time.

        Args:
            batch: What the data loader gave.
            batch_idx: Its number in the epoch.
            dataloader_idx: Not used.
        """
        terms = self._terms(batch, self.generator(batch_idx))
        self.log('val_loss', self.total(terms), batch_size=len(batch['image']))

    def test_step(self, batch: Sample, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Do nothing: a pretrained model is tested downstream."""

    def generator(self, step: int) -> torch.Generator:
        """Return the source of the randomness of one step: of (seed, step, rank) alone.

        Args:
            step: Number of the batch since the start of training.
        """
        mixed = step_seed(self.hparams['seed'], step, self.global_rank)
        return torch.Generator().manual_seed(mixed)

    def _terms(self, batch: Sample, generator: torch.Generator) -> dict[str, Tensor]:
        views = self.make_views(batch, generator)
        if not self.hparams['drop_path']:
            return self.objective(views, footprint=batch.get('footprint'), generator=generator)
        # timm's stochastic depth knows only the global generator.
        with torch.random.fork_rng(devices=[self.device] if self.device.type == 'cuda' else []):
            torch.manual_seed(generator.initial_seed())
            return self.objective(views, footprint=batch.get('footprint'), generator=generator)

    def total(self, terms: Mapping[str, Tensor]) -> Tensor:
        """Weigh and sum the terms.

        Args:
            terms: Terms of the objective.
        """
        return torch.stack([self.objective.weights[k] * v for k, v in terms.items()]).sum()

    def make_views(self, batch: Sample, generator: torch.Generator) -> tuple[View, ...]:
        """Normalise a batch and cut the views the objective wants.

        Args:
            batch: What the data loader gave.
            generator: Source of the crops.

        Raises:
            ConfigError: If neither the batch nor the task says the ground sample distance.
        """
        batch, frames = line_up(batch, self.objective.frames)
        image, valid, sensor = self._normalized(batch)
        gsd = batch.get('gsd')
        if gsd is None:
            if self.hparams['gsd'] is None:
                raise ConfigError('the batch has no gsd; give the task one: gsd: METRES_PER_PIXEL')
            gsd = image.new_full((len(image),), self.hparams['gsd'])
        coarse, other = None, sensor
        if 'image_coarse' in batch and self.objective.views > 1:
            pixels, there, other = self._normalized(batch, '_coarse')
            coarse = pixels, there, batch['gsd_coarse']
        with torch.autocast(image.device.type, enabled=False):
            views = self.views(image, valid, gsd, generator, coarse, frames)
        if isinstance(self.layout, Frames) and 'time' in batch:
            time = date_fields(batch['time'])
            views = tuple(replace(view, time=time) for view in views)
        if len(self.groups) > 1:
            sensors = sensor, other
            views = tuple(
                replace(view, group=self.group_of[own])
                for view, own in zip(views, sensors, strict=False)
            )
        return views

    def _normalized(self, batch: Sample, part: str = '') -> tuple[Tensor, Tensor, Tensor]:
        """Return images, which of their pixels hold data, and their sensors."""
        image = batch[f'image{part}'].float()
        finite = image.isfinite().all(1, keepdim=True)
        valid = batch[f'valid{part}'] & finite if f'valid{part}' in batch else finite
        image = image.nan_to_num()
        sensor = batch.get(f'sensor{part}')
        if sensor is None:
            sensor = torch.zeros(len(image), dtype=torch.int64, device=image.device)
        if self.normalize is not None:
            image = self.normalize(image, valid, sensor)
        return image, valid, sensor

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Set up AdamW, with a warm-up and a cosine for every step."""
        hparams = self.hparams
        wanted = [p for p in self.parameters() if p.requires_grad]
        groups = [
            {'params': [p for p in wanted if p.ndim > 1], 'weight_decay': hparams['weight_decay']},
            {'params': [p for p in wanted if p.ndim <= 1], 'weight_decay': 0.0},
        ]
        lr = hparams['lr'] * max(1.0, self._global_batch() / 256)
        # Under mixed precision Lightning clips no gradient of a fused optimizer.
        fused = not self.trainer.gradient_clip_val
        optimizer = torch.optim.AdamW(groups, lr=lr, betas=tuple(hparams['betas']), fused=fused)
        factor = warmup_cosine(hparams['warmup'], count_steps(self.trainer))
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {
            'optimizer': optimizer,
            'lr_scheduler': {'scheduler': scheduler, 'interval': 'step'},
        }

    def _global_batch(self) -> int:
        return global_batch(self.trainer)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put the input contract into the checkpoint.

        Args:
            checkpoint: What is about to be written.
        """
        checkpoint[CONTRACT] = self.input_contract()

    def input_contract(self) -> dict[str, Any]:
        """Return what the model may be fed, as plain values."""
        channels = self.hparams['in_channels']
        plain = {
            'name': 'as given',
            'bands': [str(band) for band in range(1, channels + 1)],
            'mean': [0.0] * channels,
            'std': [1.0] * channels,
        }
        return {
            'bands': plain['bands'],
            'sensors': [plain],
            'gsd': [self.hparams['gsd']] * 2,
            **self.contract,
            'size': self.hparams['size'],
            'pooling': 'mean',
            'normalize_encoder': self.objective.normalize_encoder,
            'seed': self.hparams['seed'],
            'versions': versions(),
        }
