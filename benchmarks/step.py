"""How close a training step comes to the machine's matrix products.

One step of Cross-Scale MAE (views, forward, backward, AdamW) against a 2048³ matrix product
measured in between, so that both see the same machine. Counts only the method's necessary
operations: visible patches through the encoder, all patches through the decoder, forward and
twice that backward.

Usage: ``python benchmarks/step.py [--model vit_base_patch16_224] [--size 128] [--batch 16]``
"""

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from xscale.tasks import Pretraining
from xscale.tasks.memory import keep_memory

SIDE = 2048


def necessary_flop(task: Pretraining, size: int) -> float:
    """Count the multiply-adds (as two operations) an image needs, attention included."""
    encoder, decoder = task.model, task.objective.decoder
    patches = (size // task.objective.patch) ** 2
    visible = int(patches * (1 - task.objective.mask_ratio)) + 1
    pixels = 3 * task.objective.patch**2

    def blocks(depth: int, dim: int, tokens: int) -> float:
        return depth * tokens * (24 * dim**2 + 4 * tokens * dim)

    width, dim = encoder.embed_dim, decoder.dim
    view = blocks(len(encoder.blocks), width, visible) + 2 * visible * pixels * width
    view += 2 * visible * width * dim + blocks(len(decoder.blocks), dim, patches + 1)
    view += 2 * patches * dim * pixels
    head = 2 * patches * 2 * dim * task.objective.predictor[0].out_features
    return 3 * (2 * view + head)


def cpu_name() -> str:
    """Return the processor's name where the system tells it."""
    info = Path('/proc/cpuinfo')
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(':')[1].strip() for line in lines if line.startswith('model name')]
    return names[0] if names else platform.machine()


def seconds(function: Callable[[], object], device: torch.device) -> float:
    """Time one call."""
    if device.type == 'cuda':
        torch.cuda.synchronize()
    start = time.perf_counter()
    function()
    if device.type == 'cuda':
        torch.cuda.synchronize()
    return time.perf_counter() - start


def measure(options: argparse.Namespace, dtype: torch.dtype, device: torch.device) -> None:
    torch.manual_seed(0)
    task = Pretraining(model=options.model, size=options.size).to(device)
    wanted = [p for p in task.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(wanted, lr=1e-4, betas=(0.9, 0.95), fused=True)
    tile = 2 * options.size
    batch = {
        'image': torch.randn(options.batch, 3, tile, tile, device=device),
        'gsd': torch.full((options.batch,), 10.0, device=device),
    }

    def step() -> None:
        generator = task.generator(0)
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            views = task.make_views(batch, generator)
            loss = task.total(task.objective(views, generator=generator))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    left, right = (torch.randn(SIDE, SIDE, device=device).to(dtype) for _ in range(2))
    repeat = 200 if device.type == 'cuda' else 5

    def product() -> None:
        for _ in range(repeat):
            left @ right

    for _ in range(2):
        step()
        product()
    pairs = [
        (seconds(step, device), seconds(product, device) / repeat) for _ in range(options.steps)
    ]
    step_s, product_s = (statistics.median(times) for times in zip(*pairs, strict=True))
    need = necessary_flop(task, options.size)
    rate, peak = options.batch * need / step_s, 2 * SIDE**3 / product_s
    print(
        f'{str(dtype).removeprefix("torch."):9} {options.batch / step_s:8.1f} images/s   '
        f'{rate / 1e9:9.1f} GFLOP/s of {peak / 1e9:9.1f} = {rate / peak:5.1%}   '
        f'({need / 1e9:.1f} GFLOP an image, {step_s:.3f} s a step)'
    )


def main() -> None:
    """Print the rates."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--model', default='vit_base_patch16_224')
    parser.add_argument('--size', type=int, default=128)
    parser.add_argument('--batch', type=int, default=16)
    parser.add_argument('--steps', type=int, default=10)
    options = parser.parse_args()
    device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    name = torch.cuda.get_device_name() if device.type == 'cuda' else cpu_name()
    print(f'{name}, {torch.get_num_threads()} threads, torch {torch.__version__}')
    if device.type == 'cpu':
        # As training does.
        keep_memory()
    print(f'Cross-Scale MAE, {options.model}, {options.size} px, batch {options.batch}')
    for dtype in (torch.float32, torch.bfloat16):
        measure(options, dtype, device)


if __name__ == '__main__':
    main()
