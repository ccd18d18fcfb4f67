"""What a downstream task is fed: bands, units and metres per pixel, and what is kept of them."""

import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torchgeo.tasks import BaseTask

from ..errors import ConfigError
from ..models.checkpoint import CONTRACT, Encoder, versions
from ..models.vit import patch_size
from ..types import Sample, Sensor
from .feed import Feed, choose_order, doubt, in_units_of, normalization_of
from .starting import plain_sensor, use_sensor

#: Names of classes shown in a message.
SHOWN = 8


class Fed(BaseTask):
    """A task whose encoder is given images in the units of their files.

    Whatever the data module did to them is undone, and from there they are normalised as the
    setting ``normalize`` says; so a model gets the same pixels in training and when it is given a
    file.

    Attributes:
        kind: 'classification' or 'segmentation'.
        features: The encoder, its input contract and how it counts positions.
        classes: Names of the classes.
        known: The sensor that the weights know.
    """

    kind = ''
    features: Encoder
    weights: str | None

    @property
    def outputs(self) -> int:
        """Number of classes."""
        return int(self.hparams.get('num_classes') or self.hparams['num_labels'])

    def begin_feeding(self) -> None:
        """Start with no data; :meth:`setup` looks at them."""
        self.feed, self.data_bands = Feed(), list(self.hparams['bands'] or ())
        self.classes = list(self.hparams['labels'] or map(str, range(self.outputs)))
        self.known = self.features.sensors[0]
        self.settled, self.looked = False, False
        self.seen_size, self.seen_gsd = 0, torch.tensor([torch.inf, -torch.inf])
        self.seen_ground: Tensor | None = self.features.contract.get('footprints')

    def setup(self, stage: str) -> None:
        """Take from the data module what its batches are.

        Args:
            stage: 'fit', 'validate', 'test' or 'predict'.

        Raises:
            ConfigError: If the encoder's bands are not among those of the data.
        """
        datamodule: Any = getattr(self.trainer, 'datamodule', None)
        said = _said(datamodule)
        self.data_bands = list(said.get('bands') or self.hparams['bands'] or ())
        # For a run that goes on where the data module cannot say.
        self.hparams['bands'] = self.data_bands or None
        self.feed = Feed(normalization_of(datamodule), None)
        sensor = self.features.sensors[0] if self.settled else self.known
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
        if stage == 'fit':
            self.settled = True
            self._see_ground(said.get('footprints'))

    def _see_ground(self, footprints: Tensor | None) -> None:
        """Add the ground of the data to that of the weights."""
        known = [one for one in (self.seen_ground, footprints) if one is not None]
        if known:
            self.seen_ground = torch.cat([torch.as_tensor(one) for one in known]).unique(dim=0)

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
        names = list(said.get('classes') or ())
        if names and len(names) != self.outputs:
            setting = 'num_labels' if self.hparams['task'] == 'multilabel' else 'num_classes'
            named = 'classes' in getattr(datamodule, 'hparams', ())
            or_name_them = ', or name those that are meant (data.classes)' if named else ''
            raise ConfigError(
                f'the data have {len(names)} classes ({", ".join(map(str, names[:SHOWN]))}'
                f'{" …" if len(names) > SHOWN else ""}) and {setting} is {self.outputs}; set '
                f'{setting}: {len(names)}{or_name_them}'
            )
        if self.hparams['labels']:
            return
        sets = (getattr(datamodule, f'{split}_dataset', None) for split in ('train', 'val'))
        for found in (names, *(getattr(one, 'classes', None) for one in sets)):
            if found is not None and len(found) == self.outputs:
                self.classes = [str(name) for name in found]
                return

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

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put the input contract into the checkpoint.

        Args:
            checkpoint: What is about to be written.
        """
        # As they were said, not as float32 holds them.
        low, high = (float(f'{value:.7g}') for value in self.seen_gsd.tolist())
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
        if self.seen_ground is not None:
            checkpoint[CONTRACT]['footprints'] = self.seen_ground

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
        self._see_ground(contract.get('footprints'))
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
