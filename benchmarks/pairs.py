"""Read pairs of two sensors whose reference systems differ: ours and TorchGeo's way, in one run.

TorchGeo's documented way is the intersection of two datasets, which brings the second one to the
reference system and the resolution of the first. The same pair as ours, each part at its own
resolution, is had by asking both datasets for the same square, one after the other.

Usage: ``python benchmarks/pairs.py [--size 256]``
"""

import argparse
import os
import tempfile
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import rasterio
import torch
from rasterio.enums import Resampling
from rasterio.transform import from_origin
from rasterio.warp import transform
from read import BANDS, take_turns
from torchgeo.datasets import RasterDataset
from torchgeo.samplers import RandomPatchSampler

from xscale.datasets import Rasters
from xscale.samplers import PairSampler

#: Metres per pixel of the finer and the coarser raster, and the side of both in metres.
FINE, COARSE, SIDE = 10.0, 30.0, 40_960.0

#: The finer raster's reference system, and those of the coarser one.
OWN, OTHERS = 'EPSG:32633', ('EPSG:32633', 'EPSG:32632', 'EPSG:3857')


class Fine(RasterDataset):
    """The finer raster."""

    filename_glob = 'fine*.tif'
    separate_files = False


class Coarse(RasterDataset):
    """The coarser one."""

    filename_glob = 'coarse*.tif'
    separate_files = False


def write(path: Path, crs: str, gsd: float) -> None:
    """Write a raster around one place, tiled, with overviews."""
    x, y = transform(OWN, crs, [450_000.0], [5_300_000.0])
    latitude = transform(OWN, 'EPSG:4326', [450_000.0], [5_300_000.0])[1][0]
    step = gsd / np.cos(np.radians(latitude)) if crs == 'EPSG:3857' else gsd
    side = round(SIDE / gsd)
    rng = np.random.default_rng(0)
    pixels = rng.integers(1, 4000, (BANDS, side, side), dtype=np.uint16)
    grid = from_origin(x[0] - side / 2 * step, y[0] + side / 2 * step, step, step)
    shape = {'count': BANDS, 'height': side, 'width': side, 'dtype': 'uint16'}
    tiles = {'tiled': True, 'blockxsize': 256, 'blockysize': 256}
    options = {'driver': 'GTiff', 'crs': crs, 'transform': grid}
    with rasterio.open(path, 'w', **options, **shape, **tiles) as out:
        out.write(pixels)
    with rasterio.open(path, 'r+') as out:
        out.build_overviews([2, 4, 8], Resampling.average)


def compare(folder: Path, size: int, seconds: float, rounds: int) -> None:
    """Print the rates of one pair of reference systems.

    Args:
        folder: The two rasters.
        size: Side of the fine tile in pixels.
        seconds: How long each way is measured, in each round.
        rounds: Rounds; the ways take turns, and the median counts.
    """
    ours = Rasters(folder)
    view = round(size * FINE / COARSE)
    sampler = PairSampler(ours, size=size, view=view, batch_size=64, share=1.0)
    draws = [draw for number in range(8) for draw in sampler.batch(0, number)]
    fine, coarse = Fine(str(folder), res=FINE), Coarse(str(folder), crs=OWN, res=COARSE)
    both = Fine(str(folder), res=FINE) & Coarse(str(folder))
    patches = list(islice(RandomPatchSampler(both, size=size, length=512, generator=0), 512))

    def apart(number: int) -> tuple[object, object]:
        x, y, *t = patches[number]
        wide = slice(x.start, x.stop, COARSE), slice(y.start, y.stop, COARSE), *t
        return fine[patches[number]], coarse[wide]

    ways: dict[str, Callable[[int], object]] = {
        'xscale': lambda i: ours[draws[i]],
        'torchgeo, each at its own GSD': apart,
        'torchgeo, intersection': lambda i: both[patches[i]],
    }
    take_turns(ways, len(patches), seconds, rounds, 'pairs')


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--size', type=int, default=256, help='side of the fine tile in pixels')
    parser.add_argument('--seconds', type=float, default=1.0, help='each way, in each round')
    parser.add_argument('--rounds', type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(
        f'{os.cpu_count()} cores, rasterio {rasterio.__version__}, {options.size} px at '
        f'{FINE:.0f} m and the same ground at {COARSE:.0f} m, {BANDS} bands, uint16, warm files'
    )
    for crs in OTHERS:
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder) / 'fine.tif', OWN, FINE)
            write(Path(folder) / 'coarse.tif', crs, COARSE)
            print(f'{OWN} and {crs}:')
            compare(Path(folder), options.size, options.seconds, options.rounds)


if __name__ == '__main__':
    main()
