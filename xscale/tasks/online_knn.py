"""Nearest neighbours on labelled images, again and again while an encoder is pretrained."""

import sys
from dataclasses import dataclass
from typing import Any, cast

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor
from torch.utils.data import Dataset, Subset, default_collate
from tqdm import tqdm

from ..datasets.bands import band_names
from ..datasets.labelled import Labelled, check_readable, open_labelled
from ..encoders.checkpoints import CheckpointEmbedder
from ..errors import ConfigError, XScaleError
from ..evaluation import classification_metrics, knn_scores
from ..evaluation.features import Look, choose_side, show, statistics
from ..evaluation.kept import keep_squares
from ..evaluation.subsets import at_most
from ..types import Sample
from .callbacks import due
from .collapse import is_plain
from .pretraining import Pretraining
from .wrapped import evaluating, wrap

#: Name of the figure in logs.
NAME = 'val_knn'

#: Neighbours that vote, and images encoded together.
NEIGHBOURS, BATCH = 20, 64

#: Bytes that the images of one split may take in memory.
ROOM = 2**28


@dataclass(frozen=True, slots=True)
class Begun:
    """What is measured on, once a run has begun.

    Attributes:
        labelled: The images.
        squares: The same, as they are encoded, by split.
        embedder: The encoder of the run.
    """

    labelled: Labelled
    squares: dict[str, Dataset[Sample]]
    embedder: CheckpointEmbedder


class OnlineKNN(Callback):
    """Log ``val_knn``: how well features of the encoder as it is tell classes apart.

    It is the accuracy of 20 nearest neighbours, weighed by their cosine, or the mAP where an image
    may have several labels, as ``xscale evaluate`` measures it on the same images. The first
    process does it alone, and the training goes on to the bit as it would without. Place it before
    the callbacks that show or draw what is logged.

    Attributes:
        score: The last one, 0 to 1.
    """

    def __init__(
        self,
        data: str,
        every_n_steps: int = 500,
        bands: list[str | int] | None = None,
        gsd: float | None = None,
        root: str | None = None,
        splits: str | None = None,
        size: int | None = None,
        most: int = 2000,
        sensor: str | None = None,
        seed: int = 0,
    ) -> None:
        """Say on what and how often; the data are opened when training starts.

        Args:
            data: A folder of labelled images, a class of TorchGeo, ``FMoW``, or a task of
                GEO-Bench, as :func:`xscale.datasets.labelled.open_labelled` takes it.
            every_n_steps: Optimizer steps from one measurement to the next; one is at the end.
            bands: Bands to read, by number, name or common name; all by default.
            gsd: Metres per pixel of images that do not say.
            root: Folder of a data set that is given by its class.
            splits: Split file of a folder.
            size: Side in pixels that images are brought to; their own, up to 256, by default.
            most: Images of training and of test that are looked at, at most, of each class alike.
            sensor: Which sensor of the run the images are of; found by bands and values by default.
            seed: Decides which images.

        Raises:
            ConfigError: If a number is not above 0.
        """
        for name, value in (('every_n_steps', every_n_steps), ('most', most)):
            if value < 1:
                raise ConfigError(f'OnlineKNN: {name} {value}: a number above 0 is needed')
        self.data, self.every_n_steps, self.most, self.seed = data, every_n_steps, most, seed
        self.size, self.sensor = size, sensor
        self.opening: dict[str, Any] = {'root': root, 'splits': splits, 'bands': band_names(bands)}
        self.opening |= {'gsd': gsd, 'seed': seed}
        self.score: float | None = None
        self._begun: Begun | None = None
        self._measured = 0

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Read the images, and fail now if they cannot be used.

        Raises:
            XScaleError: If so.
        """
        failed: Exception | None = None
        if trainer.is_global_zero:
            with isolate_rng(include_cuda=False):
                try:
                    self._begin(pl_module)
                except XScaleError as error:
                    failed = ConfigError(f'{NAME}: {_translated(str(error))}')
                except Exception as error:
                    failed = error
        # The others would wait for the first one's gradients for good.
        told = '' if failed is None else str(failed) or repr(failed)
        problem = trainer.strategy.broadcast(told)
        if failed or problem:
            raise failed or ConfigError(problem)

    def _begin(self, task: LightningModule) -> None:
        if not is_plain(task):
            raise ConfigError(
                'OnlineKNN measures the plain vision transformer of xscale.tasks.Pretraining, '
                f'and {type(task).__name__} trains another model; leave it out'
            )
        labelled = open_labelled(self.data, **self.opening)
        labelled.splits = {
            name: split.keep(at_most(split.labels, self.most, self.seed).tolist())
            for name, split in labelled.splits.items()
            if name != 'val'
        }
        check_readable(labelled)
        side = choose_side(labelled.splits['train'], self.size)
        total = sum(map(len, labelled.splits.values()))
        with tqdm(total=total, desc=f'reading {labelled.name}', unit='image', delay=1.0) as bar:
            squares = {
                name: keep_squares(split, side, ROOM, bar.update)
                for name, split in labelled.splits.items()
            }
        embedder = wrap(cast(Pretraining, task), labelled, self.sensor)
        mean, std = statistics(squares['train'], side)
        warnings = embedder.fit_data(mean.tolist(), std.tolist())
        self._begun = Begun(labelled, squares, embedder)
        self._say(self._begun, side, warnings)
        for images in squares.values():
            # What the encoder cannot take, it says of one image too.
            _features(embedder, Subset(images, [0]))

    def _say(self, begun: Begun, side: int, warnings: list[str]) -> None:
        labelled = begun.labelled
        sizes = ' and '.join(f'{len(one)} {name}' for name, one in labelled.splits.items())
        print(f'{NAME}: {labelled.name}: {len(labelled.classes)} classes, {sizes} of {side} px')
        for note in (*labelled.notes, *begun.embedder.notes):
            print(f'  {_translated(note)}')
        for one in labelled.rejected[:10]:
            print(f'  left out: {one.path}: {one.reason}')
        for warning in warnings:
            print(f'warning: {NAME}: {labelled.name}: {warning}', file=sys.stderr, flush=True)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Measure every so many steps."""
        if due(trainer, self.every_n_steps) and self._measure(trainer):
            # For the bar; a logger would get it again with every row up to the next one.
            pl_module.log(NAME, self.score or 0.0, prog_bar=True, logger=False, batch_size=1)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure at the end."""
        if trainer.global_step:
            self._measure(trainer)

    def _measure(self, trainer: Trainer) -> bool:
        """Measure and log, once a step; tell whether that was done."""
        step = trainer.global_step
        if not trainer.is_global_zero or step == self._measured:
            return False
        self._measured = step
        with isolate_rng(include_cuda=False):
            try:
                self.score = self.measure()
            except XScaleError as error:
                # An image that is gone is no reason to lose a run.
                print(f'\nxscale: no {NAME} at step {step}: {error}', file=sys.stderr, flush=True)
                return False
        for logger in trainer.loggers:
            logger.log_metrics({NAME: self.score}, step=step - 1)
        return True

    def measure(self) -> float:
        """Return the score of the encoder as it is, 0 to 1.

        Raises:
            XScaleError: If an image cannot be read any more, features are not finite, or training
                has not begun.
        """
        if self._begun is None:
            raise ConfigError('OnlineKNN measures a run that has begun; call trainer.fit first')
        labelled, squares = self._begun.labelled, self._begun.squares
        splits, classes = labelled.splits, len(labelled.classes)
        train, test = (_features(self._begun.embedder, squares[n]) for n in ('train', 'test'))
        k = min(NEIGHBOURS, len(train))
        scores = knn_scores(train, splits['train'].labels, test, k=k, classes=classes)
        metrics = classification_metrics(scores, splits['test'].labels)
        return metrics['mean_average_precision' if labelled.multilabel else 'accuracy']


@torch.no_grad()
def _features(embedder: CheckpointEmbedder, squares: Any) -> Tensor:
    """Encode images and pool them as the run's checkpoint does, (N, D)."""
    found = []
    device = embedder.encoder.normalize.mean.device
    with evaluating(embedder):
        # A data loader would draw from the run's generator.
        for start in range(0, len(squares), BATCH):
            numbers = range(start, min(start + BATCH, len(squares)))
            batch = default_collate([squares[number] for number in numbers])
            batch = {name: value.to(device) for name, value in batch.items()}
            pooled = embedder(*show(batch, Look(), embedder)).pooled
            found.append(pooled[embedder.poolings[0]].cpu())
    return torch.cat(found)


def _translated(text: str) -> str:
    """Say where settings of evaluation are to be given here."""
    if '--' not in text:
        return text
    return f'{text} (flags named here are settings of xscale.tasks.OnlineKNN, in YAML)'
