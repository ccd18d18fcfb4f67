"""``xscale demo``: a synthetic world seen by two sensors, and a short training on it."""

import argparse
import time
from pathlib import Path

import torch

from ..cli import parser
from ..datasets.world import write_world
from ..errors import ConfigError
from ..tasks import Pretraining
from ..types import View
from .pretrain import configuration, pretrain, resolve_precision

#: A vision transformer and a decoder small enough to learn something in minutes on two cores.
MODEL, BATCH, SIZE, LR = 'vit_tiny_patch16_224', 32, 128, 8e-3
DECODER = {'decoder_dim': 192, 'decoder_depth': 3, 'decoder_heads': 6, 'predictor_hidden': 384}


def demo(out: str, minutes: float, seed: int) -> int:
    """Make a world once, train on it, and say where things lie.

    Args:
        out: Folder of the world and the runs.
        minutes: Length of the training.
        seed: Seed of the world and the training.

    Raises:
        ConfigError: If there is no time to train.
    """
    if minutes <= 0:
        raise ConfigError(f'--minutes {minutes}: a number above 0 is needed')
    world = Path(out) / f'world-{seed}'
    if not (world / 'done').exists():
        print(f'making a synthetic world of 10 × 10 km in {world} (half a minute) …', flush=True)
        write_world(world, seed=seed)
        (world / 'done').touch()
    print(f'world: {world}/images: Sentinel-2-like at 10 m, aerial at 0.6 to 1 m, in four CRSs')
    options = _options(world, out, seed)
    print('measuring the speed of this machine …', flush=True)
    options.max_steps = max(10, round(minutes * 60 / seconds_per_step(options)))
    options.save_every = max(1, options.max_steps // 4)
    return pretrain(options, DECODER)


def _options(world: Path, out: str, seed: int) -> argparse.Namespace:
    number = 1
    while (Path(out) / f'run-{number}').exists():
        number += 1
    command = [
        *('pretrain', str(world / 'images'), '--bands', 'red,green,blue', '--model', MODEL),
        *('--size', str(SIZE), '--batch-size', str(BATCH), '--lr', str(LR)),
        *('--seed', str(seed), '--out', str(Path(out) / f'run-{number}')),
    ]
    return parser().parse_args(command)


def seconds_per_step(options: argparse.Namespace, steps: int = 4) -> float:
    """Measure a training step on pixels made up, with the task's own model.

    Args:
        options: What the command line was given.
        steps: Steps to time, after one to warm up.
    """
    config = configuration(options, Path(options.out))['model']['init_args']
    task = Pretraining(**{**config, 'options': config['options'] | DECODER})
    device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    task.to(device)
    image = torch.rand(BATCH, config['in_channels'], SIZE, SIZE, device=device)
    valid = torch.ones(BATCH, 1, SIZE, SIZE, dtype=torch.bool, device=device)
    view = View(
        image, torch.ones(BATCH, device=device), torch.zeros(BATCH, 2, device=device), valid
    )
    optimizer = torch.optim.AdamW(task.parameters())
    fast = resolve_precision(options.precision) == 'bf16-mixed'
    for step in range(steps + 1):
        if step == 1:
            started = time.perf_counter()
        with torch.autocast(device.type, torch.bfloat16, enabled=fast):
            terms = task.objective((view, view), generator=torch.Generator())
            task.total(terms).backward()
        optimizer.step()
        float(task.total(terms))
    # Reading, cropping, logging and pictures take about a tenth more.
    return 1.1 * (time.perf_counter() - started) / steps
