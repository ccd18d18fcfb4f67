"""Read tiles: ours, TorchGeo's own way, and bare rasterio windows, side by side in one run.

python benchmarks/read.py
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import rasterio
import torch
from rasterio.enums import Resampling
from rasterio.transform import from_origin
from rasterio.windows import Window
from torch.utils.data import DataLoader
from torchgeo.datasets import RasterDataset, stack_samples
from torchgeo.samplers import RandomPatchSampler

from xscale.datasets import Rasters, TileSlice
from xscale.samplers import CrossScaleSampler

GSD, BANDS = 10.0, 4


def write_scenes(folder: Path, scenes: int, side: int, compress: str | None) -> None:
    """Write scenes of one UTM zone side by side, tiled, with overviews.

    Args:
        folder: Where to.
        scenes: How many.
        side: Side in pixels.
        compress: As GDAL calls it; None for none.
    """
    rng = np.random.default_rng(0)
    # Ground is smooth at some scale, which is what compression lives on.
    rough = rng.normal(0, 400, (BANDS, side // 8, side // 8))
    smooth = np.kron(rough, np.ones((1, 8, 8))) + rng.normal(2000, 60, (BANDS, side, side))
    pixels = np.clip(smooth, 1, 10_000).astype(np.uint16)
    for scene in range(scenes):
        grid = from_origin(300_000 + scene * side * GSD, 5_300_000, GSD, GSD)
        shape = {'count': BANDS, 'height': side, 'width': side, 'dtype': 'uint16'}
        tiles = {'tiled': True, 'blockxsize': 256, 'blockysize': 256, 'compress': compress}
        path = folder / f'{scene}.tif'
        options = {'driver': 'GTiff', 'crs': 'EPSG:32633', 'transform': grid}
        with rasterio.open(path, 'w', **options, **shape, **tiles) as out:
            out.write(np.roll(pixels, scene * 97, axis=1))
        with rasterio.open(path, 'r+') as out:
            out.build_overviews([2, 4, 8, 16], Resampling.average)


def rate(read: Callable[[int], object], tiles: int, seconds: float) -> float:
    """Return tiles a second.

    Args:
        read: Reads tile i.
        tiles: How many different ones there are.
        seconds: How long to go on.
    """
    started, count = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        read(count % tiles)
        count += 1
    return count / (time.perf_counter() - started)


def take_turns(
    ways: dict[str, Callable[[int], object]], tiles: int, seconds: float, rounds: int, unit: str
) -> None:
    """Measure ways to read in turns, and print their median rates beside that of xscale.

    Args:
        ways: Reads tile i, by name; one of them is 'xscale'.
        tiles: How many different ones there are.
        seconds: How long each way is measured, in each round.
        rounds: Rounds.
        unit: What is read, for the table.
    """
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            rates[name].append(rate(way, tiles, seconds))
    median = {name: float(np.median(values)) for name, values in rates.items()}
    for name, value in median.items():
        share = median['xscale'] / value
        print(f'  {name:30} {value:8.0f} {unit}/s   xscale is {share:6.2f} ×')


class Bare:
    """Windows read with rasterio alone, from files kept open."""

    def __init__(self, dataset: Rasters, convert: bool) -> None:
        """Open the files.

        Args:
            dataset: For the paths.
            convert: Whether a float32 tensor is made of what was read.
        """
        self.files = [rasterio.open(dataset.rows.path(row)) for row in range(len(dataset))]
        self.convert = convert

    def __call__(self, draw: TileSlice) -> object:
        """Read the window of a draw."""
        tile = draw.tile
        window = Window(tile.col_off, tile.row_off, tile.extent, tile.extent)
        shape = (BANDS, tile.size, tile.size)
        coarse = tile.extent > tile.size
        resampling = Resampling.average if coarse else Resampling.nearest
        pixels = self.files[tile.row].read(window=window, out_shape=shape, resampling=resampling)
        return torch.from_numpy(pixels.astype(np.float32)) if self.convert else pixels


def compare(folder: Path, size: int, zoom: float, seconds: float, rounds: int) -> None:
    """Print the rates of one kind of tile.

    Args:
        folder: The scenes.
        size: Side of a tile in pixels.
        zoom: Its GSD over the scenes'.
        seconds: How long each way is measured, in each round.
        rounds: Rounds; the ways take turns, and the median counts.
    """
    ours = Rasters(folder)
    gsd = (GSD * zoom, GSD * zoom)
    sampler = CrossScaleSampler(ours, size=size, batch_size=64, gsd=gsd)
    draws = [draw for number in range(16) for draw in sampler.batch(0, number)]
    theirs = RasterDataset(str(folder), res=GSD * zoom)
    patches = RandomPatchSampler(theirs, size=size, length=1024, generator=0)
    slices = list(islice(patches, 1024))
    read, converted = Bare(ours, False), Bare(ours, True)
    ways: dict[str, Callable[[int], object]] = {
        'xscale': lambda i: ours[draws[i]],
        'torchgeo': lambda i: theirs[slices[i]],
        'rasterio, to float32': lambda i: converted(draws[i]),
        'rasterio, read only': lambda i: read(draws[i]),
    }
    take_turns(ways, len(slices), seconds, rounds, 'tiles')


def workers(folder: Path, size: int, seconds: float) -> None:
    """Print how the rate of whole batches grows with reading processes.

    Args:
        folder: The scenes.
        size: Side of a tile in pixels.
        seconds: How long each number of workers is measured.
    """
    dataset = Rasters(folder)
    first = None
    for count in (0, 1, 2, 4):
        if count > (os.cpu_count() or 1):
            break
        sampler = CrossScaleSampler(dataset, size=size, batch_size=32, length=10**7)
        loader = DataLoader(
            dataset, batch_size=32, sampler=sampler, num_workers=count, collate_fn=stack_samples
        )
        batches = iter(loader)
        for _ in range(8):
            next(batches)
        started, tiles = time.perf_counter(), 0
        while time.perf_counter() - started < seconds:
            tiles += len(next(batches)['image'])
        speed = tiles / (time.perf_counter() - started)
        first = first or speed
        print(f'  {count} workers: {speed:8.0f} tiles/s, {speed / first:.2f} ×')


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--size', type=int, default=224, help='side of a tile in pixels')
    parser.add_argument('--scenes', type=int, default=4)
    parser.add_argument('--side', type=int, default=4096, help='of a scene in pixels')
    parser.add_argument('--seconds', type=float, default=2.0, help='each way, in each round')
    parser.add_argument('--rounds', type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(
        f'{os.cpu_count()} cores, rasterio {rasterio.__version__}, tiles of {options.size} px, '
        f'{BANDS} bands, uint16, warm files'
    )
    for compress in (None, 'deflate'):
        with tempfile.TemporaryDirectory() as folder:
            write_scenes(Path(folder), options.scenes, options.side, compress)
            for zoom in (1, 8):
                print(f'{compress or "uncompressed"}, tiles at {GSD * zoom:.0f} m of {GSD:.0f} m:')
                compare(Path(folder), options.size, zoom, options.seconds, options.rounds)
            if compress is None:
                print('drawn, read and put into batches of 32:')
                workers(Path(folder), options.size, options.seconds)


if __name__ == '__main__':
    main()
