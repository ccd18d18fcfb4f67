"""``xscale demo``: a synthetic world seen by two sensors, and a short training on it."""

import argparse
import time
from pathlib import Path

import torch

from ..cli import parser
from ..datasets.world import write_world
from ..errors import ConfigError
from ..tasks import Pretraining
from .configuration import configuration
from .pretrain import pretrain

#: A vision transformer and a decoder small enough to learn something in minutes on two cores.
MODEL, BATCH, SIZE, LR = 'vit_tiny_patch16_224', 16, 96, 1e-3
PICTURES = 4
OPTIONS = {
    'decoder_dim': 192,
    'decoder_depth': 2,
    'decoder_heads': 6,
    'predictor_hidden': 256,
    # So short a run is spent on what the pictures show.
    'weights': {'consistency': 0.1},
}


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
    options.save_every = max(3, round(minutes * 60 / seconds_per_step(options) / PICTURES))
    options.max_steps = PICTURES * options.save_every
    return pretrain(options, OPTIONS, devices=1)


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
    """Measure a training step on made-up tiles, with the task that will be trained.

    Args:
        options: What the command line was given.
        steps: Steps to time, after one to warm up.
    """
    config = configuration(options, Path(options.out))
    task = Pretraining(**config['model']['init_args'] | {'options': OPTIONS})
    device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    tile = config['data']['init_args']['tile_size']
    batch = {
        'image': torch.rand(BATCH, task.hparams['in_channels'], tile, tile, device=device),
        'gsd': torch.ones(BATCH, device=device),
    }
    optimizer = torch.optim.AdamW(task.to(device).parameters())
    half = config['trainer']['precision'] == 'bf16-mixed'
    started = 0.0
    for step in range(steps + 1):
        if step == 1:
            started = time.perf_counter()
        generator = task.generator(step)
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            loss = task.total(
                task.objective(task.make_views(batch, generator), generator=generator)
            )
        loss.backward()
        optimizer.step()
        # The value is asked for so that a GPU has to finish.
        loss.item()
    # Reading, logging and pictures take about a quarter more.
    return 1.25 * (time.perf_counter() - started) / steps
