"""Classification: a head on a pretrained encoder, as a linear probe or fine-tuned."""

from typing import Any, Literal

import torchgeo.tasks
from torch import Tensor
from torch.nn import functional as F
from torchmetrics.classification import MultilabelAveragePrecision

from ..errors import ConfigError
from ..seeds import chosen_seed
from ..types import Sample
from .downstream import Downstream
from .finite import check_loss
from .labels import check_labels, check_multilabels
from .mixing import Mixing


class Classification(Downstream, torchgeo.tasks.Classification):
    """Classify images with a vision transformer of ours.

    It takes any checkpoint of ours, each image's metres per pixel, and images of any size that
    its patches divide. Metrics and their names are those of :class:`torchgeo.tasks.Classification`,
    and ``val_mAP`` for several labels; so are checkpoints, which TorchGeo's task loads.
    """

    kind = 'classification'

    def __init__(
        self,
        model: str | None = None,
        weights: str | None = None,
        in_channels: int | None = None,
        task: Literal['multiclass', 'multilabel'] = 'multiclass',
        num_classes: int | None = None,
        num_labels: int | None = None,
        labels: list[str] | None = None,
        train: Literal['frozen', 'linear', 'full'] = 'full',
        pooling: Literal['mean', 'class'] | None = None,
        resize: int | None = None,
        normalize: Literal['contract', 'none'] | None = None,
        sensor: str | None = None,
        bands: list[str] | None = None,
        dtype: str | None = None,
        gsd: float | None = None,
        loss: Literal['ce', 'bce'] | None = None,
        class_weights: list[float] | None = None,
        pos_weight: list[float] | None = None,
        ignore_index: int | None = None,
        mixup: float = 0.0,
        cutmix: float = 0.0,
        smoothing: float = 0.0,
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
            task: One class an image ('multiclass'), or several ('multilabel').
            num_classes: Number of classes, for one class an image.
            num_labels: Number of classes, for several.
            labels: Names of the classes.
            train: 'full', the encoder too; 'linear', BatchNorm without parameters and a linear
                layer on a frozen encoder, as the papers' linear probes; 'frozen', LayerNorm and a
                linear layer on a frozen encoder.
            pooling: 'mean' of the patches, or the 'class' token; what the weights say by default.
            resize: Side in pixels that images are resampled to, for sizes no patch divides, or
                far from those of the weights; metres per pixel follow.
            normalize: 'contract', as the images the weights were trained on; 'none', as the data
                module does it, and not again. By default 'none' where the data module's ``aug``
                normalises, else 'contract'.
            sensor: Which sensor of the weights the images are of, where they know several.
            bands: Names of the bands of the batches, where the data module does not say.
            dtype: Of the images' files, where the data module does not say: 'uint8' values are
                0..255 where weights were trained on 0..1.
            gsd: Metres per pixel of images whose batches do not say.
            loss: 'ce' or 'bce'; that of the task by default.
            class_weights: Weight of each class, for 'ce'.
            pos_weight: Weight of the presence of each class, for 'bce'.
            ignore_index: Label that counts nothing.
            mixup: Parameter of mixup, 0 for none.
            cutmix: Parameter of CutMix, 0 for none.
            smoothing: Label smoothing.
            lr: Learning rate for batches up to 256 over all processes; scaled by batch / 256
                above.
            optimizer: 'adamw', or 'lars' for linear probes in large batches.
            weight_decay: Weight decay of parameters with more than one dimension.
            betas: Of AdamW.
            layer_decay: Ratio of the learning rates of neighbouring layers.
            drop_path: Stochastic depth rate of an encoder that is trained.
            warmup: Share of the steps in which the learning rate rises; then it falls on a cosine.
            options: How an encoder without weights is built and counts positions: ``block``,
                ``position``, ``normalize_encoder``.
            seed: Seed of mixing and drop path; that of ``seed_everything`` by default.

        Raises:
            XScaleError: If an argument cannot be used.
        """
        super().__init__(weights=weights)
        self.keep_own_settings()
        self.save_hyperparameters({'seed': chosen_seed(seed)})

    def configure_models(self) -> None:
        """Build the encoder and the classifier."""
        hparams = self.hparams
        many = hparams['task'] == 'multilabel'
        hparams['loss'] = hparams['loss'] or ('bce' if many else 'ce')
        if many is not (hparams['loss'] == 'bce'):
            raise ConfigError(f'loss {hparams["loss"]} does not suit task {hparams["task"]}')
        super().configure_models()
        mixes = hparams['mixup'] > 0 or hparams['cutmix'] > 0
        if mixes and hparams['ignore_index'] is not None:
            raise ConfigError('mixed labels have no ignore_index; set mixup and cutmix to 0')
        self.mixing = None
        if mixes:
            how = hparams['mixup'], hparams['cutmix'], hparams['smoothing']
            self.mixing = Mixing(*how, self.outputs, many)

    def configure_metrics(self) -> None:
        """Set up TorchGeo's metrics, and the mean average precision of several labels."""
        super().configure_metrics()
        if self.hparams['task'] == 'multilabel':
            for metrics in (self.val_metrics, self.test_metrics):
                metrics.add_metrics(
                    {
                        'mAP': MultilabelAveragePrecision(self.outputs, 'macro'),
                        'OverallmAP': MultilabelAveragePrecision(self.outputs, 'micro'),
                    }
                )

    def checked(self, batch: Sample, number: int) -> Sample:
        """Return a batch with labels a model can learn from.

        Args:
            batch: What the data loader gave.
            number: Its number, for messages.
        """
        if self.hparams['task'] == 'multilabel':
            label = check_multilabels(batch, number, self.outputs)
        else:
            label = check_labels(batch, number, self.outputs, self.hparams['ignore_index'])
        return {**batch, 'label': label}

    def training_step(self, batch: Sample, batch_idx: int, dataloader_idx: int = 0) -> Tensor:
        """Compute the loss.

        Args:
            batch: What the data loader gave.
            batch_idx: Its number in the epoch.
            dataloader_idx: Not used.
        """
        batch = self.checked(batch, batch_idx)
        self.note(batch)
        image, gsd, valid = self.prepared(batch)
        label = target = batch['label']
        if self.mixing is not None:
            # A mixture keeps the metres per pixel of the image it began with.
            image, valid, target = self.mixing(image, valid, label, self.seed)
        with self.seeded():
            logits = self.head(self.features, image, gsd, valid)
        loss = self.loss(logits, target)
        self.log('train_loss', loss.detach(), batch_size=len(image), prog_bar=True)
        if self.mixing is None:
            self.train_metrics.update(logits.detach(), label)
        return loss

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Compare logits with labels, or with shares of classes.

        Args:
            logits: Shape (B, K).
            target: Labels, shape (B,), or shares, shape (B, K).
        """
        smoothing = self.hparams['smoothing']
        if self.hparams['loss'] == 'bce':
            shares = target.float()
            if self.mixing is None:
                shares = shares * (1 - smoothing) + 0.5 * smoothing
            return self.criterion(logits, shares)
        # TorchGeo's, but that its labels are neither smooth nor mixed.
        hard: Any = self.criterion
        if self.mixing is not None:
            return F.cross_entropy(logits, target, hard.weight)
        return F.cross_entropy(
            logits,
            target,
            hard.weight,
            ignore_index=hard.ignore_index,
            label_smoothing=smoothing,
        )

    def on_train_epoch_end(self) -> None:
        """Log the metrics of training; mixed images have no class to be right about."""
        if self.mixing is None:
            super().on_train_epoch_end()
        else:
            check_loss(self)
