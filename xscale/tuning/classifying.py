"""Fine-tune encoders on labelled images, and measure them on the test images."""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm

from ..datamodules import LabelledDataModule
from ..encoders import Embedder
from ..evaluation.evaluate import Evaluation
from ..evaluation.intervals import Values, bootstrap
from ..evaluation.measure import difference, plain, values
from ..evaluation.metrics import classification_metrics
from ..recipes import task_settings
from ..tasks import Classification
from .kept import TrainingStore
from .settings import Tuning
from .start import slug, start_of, why_not
from .training import TAKEN, build, train

RECIPE = 'classify/finetune'

#: What models are compared by.
BY = 'fine-tuning'

#: Images of a step where nobody says: the data module's own number.
BATCH = 64


class FineTuner:
    """Fine-tunes one encoder after the other on the same images, in the same order.

    Attributes:
        values: By encoder what its score is the mean of, for comparisons.
    """

    def __init__(
        self,
        evaluation: Evaluation,
        models: Path,
        tuning: Tuning,
        store: TrainingStore | None = None,
    ) -> None:
        """Describe it.

        Args:
            evaluation: The data, looked at.
            models: Folder for the trained weights.
            tuning: How they are trained.
            store: Where trainings are kept and taken from; None to train all anew.
        """
        self.evaluation, self.models, self.tuning = evaluation, models, tuning
        self.store = store
        self.values: dict[str, Values] = {}

    def check(self, embedder: Embedder) -> str | None:
        """Build what would be trained, and say why it cannot be.

        Args:
            embedder: The encoder, prepared.

        Returns:
            The reason that this encoder has no column; None where it is trained.

        Raises:
            XScaleError: If it does not fit the data.
        """
        if reason := why_not(embedder.source):
            return reason
        with self._start(embedder) as settings:
            build(Classification, self.tuning.seed, **settings)
        return None

    def __call__(self, embedder: Embedder) -> dict[str, Any]:
        """Train an encoder, and measure it.

        Args:
            embedder: The encoder, prepared and checked.

        Returns:
            ``score`` with its ``interval``, the metrics, and how it was trained.
        """
        tuning, name = self.tuning, embedder.name
        module = self._module(embedder.input_side(self.evaluation.side, False))
        path = self.models / f'{len(self.values)}_{slug(name)}_fine-tuned.ckpt'
        with self._start(embedder) as settings:
            trained = train(
                build(Classification, tuning.seed, **settings),
                module,
                epochs=tuning.epochs,
                device=tuning.device,
                title=f'{name}, fine-tuned',
                path=path,
                store=self.store,
            )
        if trained.kept:
            embedder.own_notes.append(f'fine-tuned: {TAKEN} {trained.kept}')
        scores, labels = self._scores(trained.task, module, name), self.evaluation.labels.test
        own = self.values[name] = values(scores, labels)
        draws = self.evaluation.settings.draws
        interval = bootstrap(own, count=len(labels), samples=draws.samples, seed=draws.seed)
        how = {'lr': settings['lr'], 'batch_size': module.batch_size, 'side': module.side}
        return {
            **plain(interval),
            **classification_metrics(scores, labels),
            'training': trained.plain(tuning.epochs) | how | {'checkpoint': f'models/{path.name}'},
        }

    @contextmanager
    def _start(self, embedder: Embedder) -> Iterator[dict[str, Any]]:
        data, rate = self.evaluation.data, self.tuning.lr
        number = 'num_labels' if data.multilabel else 'num_classes'
        own = {'task': 'multilabel' if data.multilabel else 'multiclass', number: len(data.classes)}
        with tempfile.TemporaryDirectory() as folder:
            start = start_of(embedder, Path(folder))
            yield {**task_settings(RECIPE), **own, **start, **({'lr': rate} if rate else {})}

    def _module(self, side: int) -> LabelledDataModule:
        data, tuning = self.evaluation.data, self.tuning
        module = LabelledDataModule(
            data.name,
            size=side,
            batch_size=tuning.batch(len(data.splits['train']), BATCH),
            num_workers=tuning.workers,
            val_share=0.0,
            seed=tuning.seed,
        )
        module.data, module.announce = data, False
        # What was trained before is only tested.
        module.setup('test')
        return module

    @torch.inference_mode()
    def _scores(self, task: Classification, module: LabelledDataModule, name: str) -> Tensor:
        """Classify the test images, in order, (N, K)."""
        squares: Any = module.test_dataset
        found = []
        loader = DataLoader(squares, module.batch_size, num_workers=self.tuning.workers)
        with tqdm(total=len(squares), desc=f'{name}: test', unit='image', file=sys.stderr) as bar:
            for batch in loader:
                batch = {key: value.to(self.tuning.device) for key, value in batch.items()}
                found.append(task.head(task.features, *task.prepared(batch)).cpu())
                bar.update(len(batch['image']))
        return torch.cat(found)

    def compare(self, models: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
        """Compare each model with the best control that was fine-tuned too, image by image.

        Args:
            models: What was measured of each, ``finetune`` among it.
        """
        controls = [name for name in self.values if models[name]['control']]
        if not controls:
            return []
        control = max(controls, key=lambda name: models[name]['finetune']['score'])
        count, draws = len(self.evaluation.labels.test), self.evaluation.settings.draws
        return [
            {'model': name, 'control': control, 'by': BY}
            | difference(own, self.values[control], count, draws)
            for name, own in self.values.items()
            if not models[name]['control']
        ]
