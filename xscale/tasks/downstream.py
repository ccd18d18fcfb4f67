"""What classification and segmentation share: encoder, data, schedule, checkpoint."""

import inspect
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torchgeo.tasks import BaseTask

from ..errors import ConfigError, UnknownNameError
from ..models.checkpoint import CONTRACT, versions
from ..models.vit import patch_size
from ..seeds import step_seed
from ..types import Sample, Sensor
from .feed import Feed, choose_order, doubt, in_units_of, normalization_of
from .heads import create_head
from .renamed import load_encoder_twice, save_encoder_once
from .schedule import create_optimizer, global_batch, parameter_groups, warmup_cosine
from .starting import options_of, plain_sensor, start_encoder, use_sensor

#: Settings that are one of a few words.
CHOICES: dict[str, tuple[str | None, ...]] = {
    'train': ('frozen', 'linear', 'full'),
    'normalize': (None, 'contract', 'none'),
    'optimizer': ('adamw', 'lars'),
}


class Downstream(BaseTask):
    """An encoder, and on it a head that is trained on labels.

    Images are brought to the units of their files, whatever the data module did to them, and from
    there normalised as the setting ``normalize`` says; so a model gets the same pixels in training
    and when it is given a file.

    Attributes:
        kind: 'classification' or 'segmentation'.
        features: The encoder, its input contract and how it counts positions.
        head: What stands on it.
        classes: Names of the classes.
    """

    ignore = ('weights',)
    kind = ''

    def configure_models(self) -> None:
        """Build the encoder and the head, and decide what is trained."""
        hparams = self.hparams
        for name in ('num_classes', 'num_labels', 'labels', 'pos_weight', 'pooling'):
            hparams.setdefault(name, None)
        self._check_settings()
        encoder, hparams['model'] = start_encoder(
            self.weights,
            hparams['model'],
            hparams['in_channels'],
            sensor=hparams['sensor'],
            pooling=hparams['pooling'],
            drop_path=hparams['drop_path'],
            options=hparams['options'],
        )
        # First, so that its parameters are known by these names.
        self.model, self.features = encoder.model, encoder
        self.head = create_head(self.kind, encoder, self.outputs, hparams)
        hparams['in_channels'] = len(encoder.sensors[0].bands)
        hparams['pooling'], hparams['options'] = encoder.pooling, options_of(encoder)
        self._choose_trained()
        self._register_state_dict_hook(save_encoder_once)
        self.register_load_state_dict_pre_hook(load_encoder_twice)
        self.feed, self.data_bands = Feed(), list(hparams['bands'] or ())
        self.classes = list(hparams['labels'] or map(str, range(self.outputs)))
        self.settled, self.looked = False, False
        self.seen_size, self.seen_gsd = 0, torch.tensor([torch.inf, -torch.inf])
        self._batch: Sample = {}

    def keep_own_settings(self) -> None:
        """Forget the settings that TorchGeo's tasks have and ours do not.

        The command line builds a task from those that a checkpoint holds.
        """
        own = inspect.signature(type(self).__init__).parameters
        for name in [n for n in self.hparams if n not in own and not n.startswith('_')]:
            del self.hparams[name]

    @property
    def outputs(self) -> int:
        """Number of classes."""
        return int(self.hparams.get('num_classes') or self.hparams['num_labels'])

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
        if hparams['labels'] and len(hparams['labels']) != hparams[wanted]:
            raise ConfigError(
                f'{len(hparams["labels"])} labels came for {wanted}: {hparams[wanted]}; name each '
                'class once'
            )
        if not 0 <= hparams['warmup'] <= 1:
            raise ConfigError(f'warmup {hparams["warmup"]}: needs a share of the steps, 0 to 1')

    def _choose_trained(self) -> None:
        model = self.model
        model.requires_grad_(not self.frozen)
        # Positions are computed, but where weights learned them they go on learning; and what no
        # answer goes through must not be waited for by DistributedDataParallel.
        model.pos_embed.requires_grad_(not self.frozen and self.features.position == 'table')
        if not self.features.normalize_encoder:
            model.norm.requires_grad_(False)
        model.fc_norm.requires_grad_(False)
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
        """Take from the data module what its batches are.

        Args:
            stage: 'fit', 'validate', 'test' or 'predict'.

        Raises:
            ConfigError: If the encoder's bands are not among those of the data.
        """
        if self.frozen:
            # Lightning's, of a frozen encoder.
            warnings.filterwarnings('ignore', r'Found \d+ module\(s\) in eval mode')
        datamodule: Any = getattr(self.trainer, 'datamodule', None)
        said = _said(datamodule)
        self.data_bands = list(said.get('bands') or self.hparams['bands'] or ())
        # For a run that goes on where the data module cannot say.
        self.hparams['bands'] = self.data_bands or None
        self.feed = Feed(normalization_of(datamodule), None)
        sensor = self.features.sensors[0]
        if not self.settled and not self.weights and self.data_bands:
            if len(self.data_bands) != len(sensor.bands):
                raise ConfigError(
                    f'the data have {len(self.data_bands)} bands ({", ".join(self.data_bands)}) '
                    f'and in_channels is {len(sensor.bands)}; set in_channels: '
                    f'{len(self.data_bands)}'
                )
            sensor = Sensor(sensor.name, tuple(self.data_bands), sensor.mean, sensor.std)
        self._choose_bands(sensor)
        if not self.settled:
            use_sensor(self.features, self._normalised(sensor, said))
            self._name_classes(datamodule, said)
        self.settled = self.settled or stage == 'fit'

    def _choose_bands(self, sensor: Sensor) -> None:
        order = choose_order(self.data_bands, sensor) if self.data_bands else None
        self.feed = Feed(self.feed.undone, order)

    @property
    def by_contract(self) -> bool:
        """Whether images are normalised as those the weights were trained on."""
        chosen = self.hparams['normalize']
        return chosen == 'contract' if chosen else self.feed.undone is None

    def _normalised(self, sensor: Sensor, said: Mapping[str, Any]) -> Sensor:
        """Return the sensor with the statistics that are used, in the files' units."""
        own = self.feed.sensor(sensor.bands)
        if self.by_contract and self.weights:
            return in_units_of(sensor, self.hparams['dtype'] or said.get('dtype', ''))
        if self.by_contract:
            # Random weights have no contract; the data's is theirs.
            for known in said.get('sensors', ()):
                if list(known['bands']) == list(sensor.bands):
                    mean, std = tuple(known['mean']), tuple(known['std'])
                    return Sensor(known['name'], sensor.bands, mean, std)
        plain = plain_sensor(len(sensor.bands))
        return own or Sensor(plain.name, sensor.bands, plain.mean, plain.std)

    def _name_classes(self, datamodule: Any, said: Mapping[str, Any]) -> None:
        if self.hparams['labels']:
            return
        for source in (
            said,
            *(getattr(datamodule, f'{s}_dataset', None) for s in ('train', 'val')),
        ):
            names = source.get('classes') if isinstance(source, Mapping) else None
            names = names or getattr(source, 'classes', None) or ()
            if len(names) == self.outputs:
                self.classes = [str(name) for name in names]
                return

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

    def prepared(self, batch: Sample) -> tuple[Tensor, Tensor, Tensor]:
        """Bring a batch to what the encoder takes.

        Args:
            batch: What the data loader gave.

        Returns:
            Images in the files' units, shape (B, C, H, W); metres per pixel, shape (B,); where
            there is data, shape (B, 1, H, W).

        Raises:
            ConfigError: If the metres per pixel are needed and not known.
        """
        return self.feed(batch['image'].nan_to_num()), self._metres(batch), self.holding(batch)

    def holding(self, batch: Sample) -> Tensor:
        """Tell where the images of a batch hold data.

        Args:
            batch: What the data loader gave.

        Returns:
            Shape (B, 1, H, W), bool.
        """
        finite = batch['image'].isfinite().all(1, keepdim=True)
        return finite & batch['valid'] if 'valid' in batch else finite

    def _known_metres(self, batch: Sample) -> Tensor:
        """Return metres per pixel as batch or settings say, NaN where neither does."""
        image, given = batch['image'], self.hparams['gsd']
        gsd = batch.get('gsd')
        if gsd is None:
            gsd = image.new_full((len(image),), torch.nan)
        gsd = gsd.float().reshape(-1)
        gsd = gsd.where(gsd.isfinite() & (gsd > 0), torch.nan)
        return gsd if given is None else gsd.nan_to_num(float(given))

    def _metres(self, batch: Sample) -> Tensor:
        gsd = self._known_metres(batch)
        if self.features.position != 'gsd':
            return gsd.nan_to_num(1.0)
        if unknown := int(gsd.isnan().sum()):
            raise ConfigError(
                f'the encoder needs metres per pixel, and of {unknown} of {len(gsd)} images of a '
                'batch they are not known; set gsd: METRES_PER_PIXEL'
            )
        return gsd

    def note(self, batch: Sample) -> None:
        """Take note of what the model is trained on, and doubt the units of the first images.

        Args:
            batch: A batch of training.
        """
        self.seen_size = self.seen_size or min(batch['image'].shape[-2:])
        gsd = self._known_metres(batch)
        known = gsd.isfinite()
        low, high = gsd.where(known, torch.inf).min(), gsd.where(known, -torch.inf).max()
        self.seen_gsd = _wider(self.seen_gsd.to(gsd.device), torch.stack([low, high]))
        if self.looked:
            return
        self.looked = True
        image, _, valid = self.prepared(batch)
        sensor = self.features.sensors[0]
        if warning := doubt(image, valid, sensor, own=not self.by_contract):
            warnings.warn(warning, stacklevel=2)

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

    def on_train_epoch_end(self) -> None:
        """Log the metrics of training."""
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
            self.model, self.head, hparams['weight_decay'], hparams['layer_decay']
        )
        optimizer = create_optimizer(hparams['optimizer'], groups, lr, tuple(hparams['betas']))
        factor = warmup_cosine(hparams['warmup'], int(self.trainer.estimated_stepping_batches))
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {
            'optimizer': optimizer,
            'lr_scheduler': {'scheduler': scheduler, 'interval': 'step'},
        }

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put the input contract into the checkpoint.

        Args:
            checkpoint: What is about to be written.
        """
        low, high = self.seen_gsd.tolist()
        own = self.features.contract
        checkpoint[CONTRACT] = {
            **own,
            'size': self.seen_size or own.get('size') or self.model.patch_embed.img_size[0],
            'gsd': [low, high] if low <= high else None,
            'pooling': self.features.pooling,
            'classes': self.classes,
            'task': self.kind,
            'patch': patch_size(self.model),
            'seed': self.hparams['seed'],
            'versions': versions(),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the input contract from a checkpoint.

        Args:
            checkpoint: What was read.
        """
        contract = checkpoint[CONTRACT]
        (known,) = contract['sensors']
        sensor = Sensor(
            known['name'], tuple(known['bands']), tuple(known['mean']), tuple(known['std'])
        )
        use_sensor(self.features, sensor)
        self.data_bands = self.data_bands or list(checkpoint['hyper_parameters']['bands'] or ())
        self._choose_bands(sensor)
        self.settled, self.classes = True, list(contract['classes'])
        self.seen_size = contract['size']
        if contract['gsd']:
            self.seen_gsd = _wider(self.seen_gsd, torch.tensor(contract['gsd']))


def _said(datamodule: Any) -> Mapping[str, Any]:
    """Return what a data module of ours says of its batches."""
    try:
        return getattr(datamodule, 'contract', None) or {}
    except ConfigError:
        # Some know it only after they looked at the training images.
        return {}


def _wider(one: Tensor, other: Tensor) -> Tensor:
    """Join two ranges, each (lowest, highest)."""
    return torch.stack([torch.minimum(one[0], other[0]), torch.maximum(one[1], other[1])])
