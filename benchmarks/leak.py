"""Whether memory and open files stay where they are over many tiles of many files.

Usage: ``python benchmarks/leak.py [--files 1000] [--draws 100000]``
"""

import argparse
import os
import tempfile
from pathlib import Path

import numpy as np
import rasterio
from index import resident
from rasterio.transform import from_origin
from step import cpu_name

from xscale.datasets import Rasters
from xscale.samplers import CrossScaleSampler

#: Side of a raster and of a tile in pixels: small, for it is draws and files that may leak.
SIDE, SIZE = 128, 32

#: Rasters of a row; they lie a raster apart, so that the first place drawn is free.
ACROSS = 32


def write(folder: Path, files: int) -> None:
    """Write rasters of three kinds: plain, with a collar, and in degrees."""
    rng = np.random.default_rng(0)
    for number in range(files):
        pixels = rng.integers(1, 255, (3, SIDE, SIDE), dtype=np.uint8)
        crs, step = ('EPSG:4326', 1e-4) if number % 3 == 0 else ('EPSG:32633', 10)
        west, north = (10.0, 50.0) if number % 3 == 0 else (500_000, 5_300_000)
        down, right = divmod(number, ACROSS)
        if number % 3 == 1:
            pixels[:, np.tri(SIDE, dtype=bool)] = 0
        profile = {'driver': 'GTiff', 'count': 3, 'height': SIDE, 'width': SIDE, 'nodata': 0}
        apart = 2 * SIDE * step
        grid = from_origin(west + right * apart, north - down * apart, step, step)
        path = folder / f'{number}.tif'
        with rasterio.open(path, 'w', dtype='uint8', crs=crs, transform=grid, **profile) as out:
            out.write(pixels)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--files', type=int, default=1000)
    parser.add_argument('--draws', type=int, default=100_000)
    options = parser.parse_args()
    print(f'{cpu_name()}, rasterio {rasterio.__version__}, GDAL {rasterio.__gdal_version__}')
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / '.', options.files)
        os.environ['XSCALE_CACHE'] = str(Path(folder) / 'cache')
        dataset = Rasters(folder)
        sampler = CrossScaleSampler(dataset, size=SIZE, batch_size=50, gsd=(10, 40))
        batches = options.draws // 50
        stops = {round(share * batches): share for share in (0.1, 0.25, 0.5, 0.75, 1.0)}
        for number in range(batches):
            for draw in sampler.batch(0, number):
                dataset[draw]
            if share := stops.get(number + 1):
                files = len(os.listdir('/proc/self/fd'))
                print(
                    f'{share:4.0%}: {(number + 1) * 50:7,} tiles of {options.files:,} files, '
                    f'{1024 * resident():7.1f} MiB resident, {files} files open',
                    flush=True,
                )


if __name__ == '__main__':
    main()
