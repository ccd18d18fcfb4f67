"""What a map costs: memory against the size of the raster, and time beside the bare model's.

Writes GeoTIFFs of growing sides (bytes, noise of 8 px, deflated blocks of 512 px) and draws a map
of each as ``xscale predict`` does, each in a process of its own. Printed are windows a second; the
share of the time that the model alone would take for as many windows, so that the rest is reading,
blending and writing; and the most memory that the process took. Then both precisions take turns
over one batch of windows.

Usage: ``python benchmarks/predict.py CKPT [--sides 1024 2048 4096] [--gsd 0.13] [--batch 16]``,
where CKPT is a checkpoint of ``xscale.tasks.Segmentation``
"""

import argparse
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import rasterio
import torch
from rasterio.transform import from_origin
from rasterio.windows import Window
from step import cpu_name

from xscale.datasets.index import scan
from xscale.inference import ClassLayer, Mapper, Settings
from xscale.tasks import load_predictor

#: Blocks are 512 px, cells of one value 8 px.
BLOCK, CELL = 512, 8


def write_noise(path: Path, side: int, bands: tuple[str, ...], gsd: float) -> None:
    """Write a raster of blocks of noise."""
    random = np.random.default_rng(0)
    profile = {'driver': 'GTiff', 'width': side, 'height': side, 'count': len(bands)}
    place = {'crs': 'EPSG:32633', 'transform': from_origin(5e5, 5e6, gsd, gsd)}
    blocks = {'tiled': True, 'blockxsize': BLOCK, 'blockysize': BLOCK, 'compress': 'deflate'}
    with rasterio.open(path, 'w', dtype='uint8', **profile, **place, **blocks) as out:
        out.descriptions = bands
        for top in range(0, side, BLOCK):
            for left in range(0, side, BLOCK):
                cells = random.integers(1, 256, (len(bands), *[BLOCK // CELL] * 2), dtype=np.uint8)
                pixels = cells.repeat(CELL, 1).repeat(CELL, 2)
                out.write(pixels, window=Window(left, top, BLOCK, BLOCK))


def batch_of(model: Any, options: argparse.Namespace) -> tuple[torch.Tensor, ...]:
    """Make a batch of windows."""
    image = torch.randint(1, 256, (options.batch, len(model.bands), model.size, model.size))
    gsd = torch.full((options.batch,), options.gsd)
    return image.float().to(DEVICE), gsd.to(DEVICE), (image[:, :1] > 0).to(DEVICE)


def seconds(model: Any, batch: tuple[torch.Tensor, ...], half: bool = False) -> float:
    """Time the model on one batch."""
    begun = time.perf_counter()
    with torch.inference_mode(), torch.autocast(DEVICE, torch.bfloat16, enabled=half):
        # Its answer has to arrive.
        model(*batch).cpu()
    return time.perf_counter() - begun


def draw(path: Path, options: argparse.Namespace, queue: Any) -> None:
    """Draw a map in a process that does nothing else."""
    model = load_predictor(options.checkpoint).to(DEVICE)
    size = model.size
    settings = Settings(size, size // 4, options.batch, device=DEVICE)
    mapper = Mapper(model, len(model.classes), ClassLayer(model.classes), settings)
    row = scan(path, model.bands).files[0]
    batch = batch_of(model, options)
    seconds(model, batch)
    alone = [seconds(model, batch) for _ in range(5)]
    windows, begun = len(mapper.plan(row)), time.perf_counter()
    mapper.write(row, path.with_suffix('.map.tif'), {})
    taken = time.perf_counter() - begun
    alone += [seconds(model, batch) for _ in range(5)]
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    queue.put((windows, taken, windows * median(alone) / options.batch, peak))


def main() -> None:
    """Print the tables."""
    processes = multiprocessing.get_context('spawn')
    model = load_predictor(OPTIONS.checkpoint).to(DEVICE)
    print(f'{cpu_name() if DEVICE == "cpu" else torch.cuda.get_device_name()}, ', end='')
    print(f'{torch.get_num_threads()} threads, torch {torch.__version__}, float32')
    print(f'windows of {model.size} px, batch {OPTIONS.batch}')
    print(f'{"side":>6} {"windows":>8} {"windows/s":>10} {"model alone":>12} {"memory":>9}')
    with tempfile.TemporaryDirectory() as temporary:
        for side in OPTIONS.sides:
            path = Path(temporary, f'{side}.tif')
            write_noise(path, side, model.bands, OPTIONS.gsd)
            queue = processes.SimpleQueue()
            process = processes.Process(target=draw, args=(path, OPTIONS, queue))
            process.start()
            process.join()
            if process.exitcode:
                raise SystemExit(process.exitcode)
            windows, taken, alone, peak = queue.get()
            rate, share = windows / taken, alone / taken
            print(f'{side:6} {windows:8} {rate:10.1f} {share:12.1%} {peak / 1e9:6.2f} GB')
    batch = batch_of(model, OPTIONS)
    times = [(seconds(model, batch), seconds(model, batch, half=True)) for _ in range(9)]
    ratio = median(full / half for full, half in times[1:])
    print(f'--precision bf16-mixed: {ratio:.2f} × the windows a second of float32')


def arguments() -> argparse.Namespace:
    """Read the command line."""
    ways = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ways.add_argument('checkpoint', metavar='CKPT')
    ways.add_argument('--sides', type=int, nargs='+', default=[1024, 2048, 4096])
    ways.add_argument('--gsd', type=float, default=0.13)
    ways.add_argument('--batch', type=int, default=16)
    return ways.parse_args()


DEVICE = 'cuda' if torch.cuda.is_available() else 'cpu'

if __name__ == '__main__':
    OPTIONS = arguments()
    main()
