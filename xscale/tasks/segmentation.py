"""Semantic segmentation: a decoder on a pretrained encoder, frozen or fine-tuned."""

from typing import Any, Literal

import torch
import torchgeo.tasks
from torch import Tensor

from ..errors import ConfigError
from ..seeds import chosen_seed
from ..types import Sample
from .downstream import Downstream
from .labels import check_masks


class Segmentation(Downstream, torchgeo.tasks.SemanticSegmentation):
    """Segment images with a vision transformer of ours, which TorchGeo's own task cannot take.

    It takes any checkpoint of ours, each image's metres per pixel, and images of any size that
    its patches divide. Metrics and their names are those of
    :class:`torchgeo.tasks.SemanticSegmentation`; ``val_AverageJaccardIndex`` is the mIoU.
    """

    kind = 'segmentation'

    def __init__(
        self,
        model: str | None = None,
        weights: str | None = None,
        in_channels: int | None = None,
        task: Literal['multiclass'] = 'multiclass',
        num_classes: int | None = None,
        labels: list[str] | None = None,
        train: Literal['frozen', 'linear', 'full'] = 'full',
        decoder: Literal['dpt', 'linear'] | None = None,
        decoder_channels: int = 256,
        normalize: Literal['contract', 'none'] | None = None,
        sensor: str | None = None,
        bands: list[str] | None = None,
        dtype: str | None = None,
        gsd: float | None = None,
        loss: Literal['ce', 'jaccard', 'focal', 'dice'] = 'ce',
        class_weights: list[float] | None = None,
        ignore_index: int | None = 255,
        ignore_also: list[int] | None = None,
        lr: float = 5e-4,
        optimizer: Literal['adamw', 'lars'] = 'adamw',
        weight_decay: float = 0.05,
        betas: tuple[float, float] = (0.9, 0.999),
        layer_decay: float = 0.75,
        drop_path: float = 0.1,
        warmup: float = 0.05,
        options: dict[str, Any] | None = None,
        seed: int | None = None,
    ) -> None:
        """Build the model.

        Args:
            model: A timm vision transformer; that of the weights by default.
            weights: A checkpoint of ours, a released file, or a timm name with pretrained weights;
                None for random ones.
            in_channels: Number of bands the encoder takes; that of the weights by default.
            task: 'multiclass'; two classes are two.
            num_classes: Number of classes.
            labels: Names of the classes.
            train: 'full', the encoder too; 'frozen', the decoder alone; 'linear', a linear decoder
                on a frozen encoder.
            decoder: 'dpt', on four blocks; or 'linear', on the last. By default 'dpt', and with
                ``train: linear`` 'linear'.
            decoder_channels: Width of DPT.
            normalize: 'contract', as the images the weights were trained on; 'none', as the data
                module does it, and not again. By default 'none' where the data module's ``aug``
                normalises, else 'contract'.
            sensor: Which sensor of the weights the images are of, where they know several.
            bands: Names of the bands of the batches, where the data module does not say.
            dtype: Of the images' files, where the data module does not say: 'uint8' values are
                0..255 where weights were trained on 0..1.
            gsd: Metres per pixel of images whose batches do not say.
            loss: 'ce', 'jaccard', 'focal' or 'dice'.
            class_weights: Weight of each class, for 'ce'.
            ignore_index: Label of pixels that are not labelled; those without data get it too.
            ignore_also: Other labels of pixels that are not labelled.
            lr: Learning rate for batches up to 256 over all processes; scaled by batch / 256
                above.
            optimizer: 'adamw' or 'lars'.
            weight_decay: Weight decay of parameters with more than one dimension.
            betas: Of AdamW.
            layer_decay: Ratio of the learning rates of neighbouring layers of the encoder.
            drop_path: Stochastic depth rate of an encoder that is trained.
            warmup: Share of the steps in which the learning rate rises; then it falls on a cosine.
            options: How an encoder without weights is built and counts positions: ``block``,
                ``position``, ``normalize_encoder``.
            seed: Seed of drop path and dropout; that of ``seed_everything`` by default.

        Raises:
            XScaleError: If an argument cannot be used.
        """
        super().__init__(weights=weights)
        self.keep_own_settings()
        self.save_hyperparameters({'seed': chosen_seed(seed)})

    def configure_models(self) -> None:
        """Build the encoder and the decoder."""
        hparams = self.hparams
        linear = hparams['train'] == 'linear'
        hparams['decoder'] = hparams['decoder'] or ('linear' if linear else 'dpt')
        if linear and hparams['decoder'] != 'linear':
            raise ConfigError(
                f'train: linear with decoder: {hparams["decoder"]}; set train: frozen to train a '
                'decoder on a frozen encoder'
            )
        if hparams['ignore_also'] and hparams['ignore_index'] is None:
            raise ConfigError('ignore_also needs an ignore_index, which its labels become; set one')
        super().configure_models()

    def checked(self, batch: Sample, number: int) -> Sample:
        """Return a batch with masks a model can learn from.

        Args:
            batch: What the data loader gave.
            number: Its number, for messages.
        """
        ignored, valid = self.hparams['ignore_index'], self.holding(batch)
        if self.hparams['ignore_also'] and 'mask' in batch:
            others = batch['mask'].new_tensor(self.hparams['ignore_also'])
            mask = batch['mask'].masked_fill(torch.isin(batch['mask'], others), ignored)
            batch = {**batch, 'mask': mask}
        return {**batch, 'mask': check_masks(batch, number, self.outputs, ignored, valid)}

    def training_step(self, batch: Sample, batch_idx: int, dataloader_idx: int = 0) -> Tensor:
        """Compute the loss.

        Args:
            batch: What the data loader gave.
            batch_idx: Its number in the epoch.
            dataloader_idx: Not used.
        """
        batch = self.checked(batch, batch_idx)
        self.note(batch)
        with self.seeded():
            logits = self.head(self.features, *self.prepared(batch))
        loss = self.criterion(logits, batch['mask'])
        self.log('train_loss', loss.detach(), batch_size=len(logits), prog_bar=True)
        self.train_metrics.update(logits.detach(), batch['mask'])
        return loss
