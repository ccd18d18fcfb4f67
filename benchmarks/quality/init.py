"""Does attention that starts on the patches nearby learn in fewer steps?

Runs ``xscale pretrain`` with Cross-Scale MAE twice, from Xavier weights and from those whose
attention is local; all else is the same. At some steps both predict the hidden patches of the same
tiles, drawn with another seed from the same rasters. Printed is how much less the squared error is
than that of the mean of each view's visible pixels: 0 % for that mean, 100 % for the image itself.
Above stand what can be had without a model, the mean colours of the visible patches weighted by
the inverse cube of their distance; and what would be had if each hidden patch were painted in its
own mean colour.

Usage: ``python benchmarks/quality/init.py [DIR] [--steps 100 200 300] [--inits xavier local]``;
without DIR, on a synthetic world.
"""

import argparse
import contextlib
import io
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback
from torch import Tensor

from xscale.cli import parser
from xscale.commands.configuration import configuration
from xscale.commands.fit import lightning
from xscale.datamodules import CrossScaleDataModule
from xscale.datasets.world import write_world
from xscale.evaluation.controls import INTERPOLATION, MEAN, OWN, hidden_pixels, without_model
from xscale.models.local import INITS
from xscale.models.tokens import unpatchify
from xscale.tasks import Pretraining
from xscale.types import Masks, Sample, View

#: Seed of the tiles and masks that are looked at, and how many batches of them.
SEED, BATCHES = 1000, 8


def squared_error(prediction: Tensor, view: View, masks: Masks, patch: int) -> float:
    """Sum the squared errors over hidden pixels that hold data."""
    counted = view.valid & hidden_pixels(masks.masked, patch, *view.image.shape[-2:])
    return float(((prediction.float() - view.image).square() * counted).sum())


class Explained(Callback):
    """Note at some steps how much of the squared error is explained."""

    def __init__(self, batches: Sequence[Sample], steps: Sequence[int]) -> None:
        self.batches, self.steps = batches, steps
        self.found: dict[int, dict[str, float]] = {}

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *_: Any) -> None:
        """Look at the tiles."""
        if trainer.global_step not in self.steps:
            return
        pl_module.eval()
        with torch.no_grad(), trainer.precision_plugin.forward_context():
            errors = self._errors(pl_module)
        pl_module.train()
        base = errors.pop(MEAN)
        self.found[trainer.global_step] = {name: 1 - e / base for name, e in errors.items()}

    def _errors(self, task: Pretraining) -> dict[str, float]:
        objective: Any = task.objective
        errors: dict[str, float] = {}
        for number, batch in enumerate(self.batches):
            generator = torch.Generator().manual_seed(SEED + number)
            views = task.make_views(batch, generator)
            masks = objective.draw_masks(views, generator)
            made = objective.reconstruct(views, masks)
            for view, mask, part in zip(views, masks, made, strict=True):
                answers = without_model(view.image, view.valid, mask.masked, objective.patch)
                size = objective.patch, *view.image.shape[-2:]
                answers['model'] = unpatchify(part.prediction, *size)
                for name, answer in answers.items():
                    error = squared_error(answer, view, mask, objective.patch)
                    errors[name] = errors.get(name, 0.0) + error
        return errors


def tiles(data: dict[str, Any]) -> list[Sample]:
    """Draw the tiles that are looked at."""
    module = CrossScaleDataModule(**data | {'seed': SEED, 'length': BATCHES * data['batch_size']})
    module.setup('fit')
    return list(module.train_dataloader())


def run(options: argparse.Namespace, init: str, out: Path) -> dict[int, dict[str, float]]:
    """Train from one kind of weights."""
    command = [
        *('pretrain', str(options.folder), '--bands', 'red,green,blue', '--model', options.model),
        *('--size', str(options.size), '--batch-size', str(options.batch)),
        *('--max-steps', str(max(options.steps)), '--out', str(out)),
    ]
    config = configuration(parser().parse_args(command), out)
    config['model']['init_args']['options']['init'] = init
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        look = Explained(tiles(config['data']['init_args']), options.steps)
        cli = lightning(config, run=False)
        cli.trainer.callbacks.append(look)
        cli.trainer.fit(cli.model, cli.datamodule)
    return look.found


def main() -> None:
    """Print the table."""
    ways = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ways.add_argument('folder', nargs='?', type=Path)
    ways.add_argument('--model', default='vit_base_patch16_224')
    ways.add_argument('--size', type=int, default=128)
    ways.add_argument('--batch', type=int, default=16)
    ways.add_argument('--steps', type=int, nargs='+', default=[100, 200, 300])
    ways.add_argument('--inits', nargs='+', choices=INITS, default=list(INITS))
    ways.add_argument('--out', type=Path, help='where to keep the runs, with their pictures')
    options = ways.parse_args()
    print(f'{options.model}, {options.size} px, batch {options.batch}; error below that of a mean')
    with tempfile.TemporaryDirectory() as temporary:
        if options.folder is None:
            write_world(Path(temporary) / 'world')
            options.folder = Path(temporary) / 'world' / 'images'
        for number, init in enumerate(options.inits):
            found = run(options, init, (options.out or Path(temporary)) / init)
            if not number:
                for name in (INTERPOLATION, OWN):
                    print(f'{name:17}{next(iter(found.values()))[name]:7.1%}')
                print(f'{"steps":17}' + ''.join(f'{step:7}' for step in found))
            print(f'{init:17}' + ''.join(f'{f["model"]:7.1%}' for f in found.values()), flush=True)


if __name__ == '__main__':
    main()
