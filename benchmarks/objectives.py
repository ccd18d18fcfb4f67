"""What the objectives cost, with the same encoder, size and batch.

For the recipe of each objective: parameters, those of the encoder among them; images a second of
whole training steps (views, forward, backward, AdamW), where an image is a tile of the batch,
however many views or dates of it there are; and peak memory, from a process of its own. Steps of
all objectives take turns, so that each sees the same machine; times are medians, and beside them
stands the time of a step over MAE's.

Usage: ``python benchmarks/objectives.py [--model MODEL] [--swin MODEL] [--size 128] [--batch 16]``,
where ``--swin`` is for those that take a Swin transformer
"""

import argparse
import multiprocessing
import resource
import statistics
from typing import Any

import torch
from step import cpu_name, seconds

from xscale.models.swin import is_swin
from xscale.recipes import objectives, task_settings
from xscale.tasks import Pretraining
from xscale.tasks.memory import keep_memory
from xscale.types import Sample


class Run:
    """One objective, its optimizer and a batch."""

    def __init__(self, recipe: str, options: argparse.Namespace, device: torch.device) -> None:
        torch.manual_seed(0)
        settings = task_settings(f'pretrain/{recipe}')
        model = options.swin if is_swin(settings['model']) else options.model
        settings |= {'model': model, 'size': options.size, 'seed': 0}
        self.task = Pretraining(**settings).to(device)
        wanted = [p for p in self.task.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(wanted, lr=1e-4, betas=(0.9, 0.95), fused=True)
        self.batch = self._batch(settings.get('in_channels', 3))
        self.batch = {name: value.to(device) for name, value in self.batch.items()}

    def _batch(self, bands: int) -> Sample:
        side = 2 * self.task.objective.zoom * self.task.hparams['size']
        frames = getattr(self.task.objective, 'frames', 1)
        shape = [OPTIONS.batch, *([frames] if frames > 1 else []), bands, side, side]
        batch: dict[str, Any] = {'image': torch.randn(shape)}
        batch['gsd'] = torch.full((OPTIONS.batch,), 10.0)
        if frames > 1:
            batch['time'] = torch.arange(OPTIONS.batch * frames).view(-1, frames) * 1e7
        return batch

    def step(self) -> None:
        """Train on the batch once."""
        generator = self.task.generator(0)
        views = self.task.make_views(self.batch, generator)
        self.task.total(self.task.objective(views, generator=generator)).backward()
        self.optimizer.step()
        self.optimizer.zero_grad()


def peak(recipe: str, device: torch.device, queue: Any) -> None:
    """Report how many bytes two steps need at most, in a process that does nothing else."""
    before = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    run = Run(recipe, OPTIONS, device)
    for _ in range(2):
        run.step()
    after = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    cuda = device.type == 'cuda'
    queue.put(torch.cuda.max_memory_allocated() if cuda else after - before)


def memory(recipe: str, device: torch.device) -> float:
    """Return the peak memory in GiB."""
    context = multiprocessing.get_context('spawn' if device.type == 'cuda' else 'fork')
    queue = context.Queue()
    process = context.Process(target=peak, args=(recipe, device, queue))
    process.start()
    found = queue.get(timeout=600)
    process.join()
    return found / 2**30


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--model', default='vit_small_patch16_224')
    parser.add_argument('--swin', default='swin_tiny_patch4_window7_224')
    parser.add_argument('--size', type=int, default=128)
    parser.add_argument('--batch', type=int, default=16)
    parser.add_argument('--steps', type=int, default=5)
    return parser.parse_args()


def main() -> None:
    """Print the table."""
    device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    name = torch.cuda.get_device_name() if device.type == 'cuda' else cpu_name()
    print(f'{name}, {torch.get_num_threads()} threads, torch {torch.__version__}, float32')
    print(f'{OPTIONS.model} or {OPTIONS.swin}, {OPTIONS.size} px, batch {OPTIONS.batch}')
    recipes = [one for one in objectives() if '/' not in one]
    gib = {recipe: memory(recipe, device) for recipe in recipes}
    if device.type == 'cpu':
        # As training does.
        keep_memory()
    runs = {recipe: Run(recipe, OPTIONS, device) for recipe in recipes}
    times: dict[str, list[float]] = {recipe: [] for recipe in recipes}
    for number in range(OPTIONS.steps + 1):
        for recipe, run in runs.items():
            spent = seconds(run.step, device)
            if number:
                times[recipe].append(spent)
    print(f'{"":26}{"parameters":>12}{"encoder":>10}{"images/s":>10}{"step":>8}{"memory":>10}')
    for recipe, run in runs.items():
        spent = statistics.median(times[recipe])
        ratio = statistics.median(
            own / mae for own, mae in zip(times[recipe], times['mae'], strict=True)
        )
        every, encoder = (
            sum(one.numel() for one in module.parameters()) / 1e6
            for module in (run.task.objective, run.task.model)
        )
        print(
            f'{recipe:26}{every:10.1f} M{encoder:8.1f} M{OPTIONS.batch / spent:10.1f}{ratio:7.2f}×'
            f'{gib[recipe]:6.2f} GiB',
            flush=True,
        )


OPTIONS = parse()

if __name__ == '__main__':
    main()
