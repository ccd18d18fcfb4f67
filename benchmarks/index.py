"""What an index of a million rasters costs: to open, and at each draw.

Writes a catalogue of rasters that do not exist, half of them with the grid of a rotated collar,
opens it and draws tiles from it, beside one of a hundred, in one run.

Usage: ``python benchmarks/index.py [--rasters 1000000] [--draws 20000]``
"""

import argparse
import multiprocessing
import resource
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import rasterio
import shapely
from step import cpu_name

from xscale import geo
from xscale.datasets import Rasters
from xscale.datasets.catalogue import SCHEMA, write_catalogue
from xscale.datasets.validity import pack_validity
from xscale.samplers import CrossScaleSampler

#: Collars that are told apart, and the side of the rasters in pixels.
COLLARS, SIDE = 2000, 4096


def collars() -> list[bytes]:
    """Return the validity grids of rasters turned by all angles in a frame without data."""
    row, col = np.mgrid[:1024, :1024] / 512 - 1
    packed = []
    for angle in np.linspace(0.01, np.pi / 2, COLLARS, endpoint=False):
        across = col * np.cos(angle) + row * np.sin(angle)
        down = row * np.cos(angle) - col * np.sin(angle)
        packed.append(pack_validity((abs(across) < 0.7) & (abs(down) < 0.7)))
    return packed


def alike(values: list[object], rows: int, kind: pa.DataType) -> pa.Array:
    """Return rows that hold one and the same list."""
    many = pa.array(values, kind).take(pa.array(np.tile(np.arange(len(values)), rows)))
    return pa.ListArray.from_arrays(offsets(len(values), rows), many)


def offsets(length: int, rows: int) -> pa.Array:
    """Return where each of some lists of equal length begins."""
    return pa.array(np.arange(rows + 1) * length, pa.int32())


def catalogue(rows: int, packed: list[bytes]) -> pa.Table:
    """Make up a catalogue of Sentinel-2 rasters, half of them with a collar."""
    rng = np.random.default_rng(0)
    zone = rng.integers(1, 61, rows)
    easting, northing = rng.uniform(3e5, 7e5, rows), rng.uniform(0, 7e6, rows)
    crs = [rasterio.CRS.from_epsg(32600 + number).to_wkt() for number in range(1, 61)]
    west, south, east, north = np.empty((4, rows))
    for number in range(1, 61):
        own, side = zone == number, 10 * SIDE
        x, y = easting[own] + np.array([[0], [side]]), northing[own] - np.array([[side], [0]])
        lon, lat = geo.transformer(crs[number - 1], geo.LONLAT).transform(x, y)
        west[own], south[own], north[own] = lon[0], *lat
        # Across the antimeridian a box goes on beyond 180 degrees.
        east[own] = lon[0] + (lon[1] - lon[0]) % 360
    one, ten = np.ones(rows), np.full(rows, 10.0)
    transform = np.column_stack([ten, 0 * one, easting, 0 * one, -ten, northing]).ravel()
    collar = np.where(rng.random(rows) < 0.5, rng.integers(0, COLLARS, rows), COLLARS)
    boxes = shapely.box(west, south, east, north)
    day = np.datetime64('2020-01-01', 'ns') + rng.integers(0, 1000, rows).astype('m8[D]')
    sides = [pa.array(side) for side in (west, south, east, north)]
    columns = {
        'filepath': pa.array(
            [f'/data/sentinel2/2020/T{i:07}/T{i:07}_10m.tif' for i in range(rows)]
        ),
        'size': pa.array(rng.integers(1e7, 1e8, rows)),
        'mtime': pa.array(rng.integers(1e18, 2e18, rows)),
        'reason': pa.repeat('', rows),
        'grid': pa.DictionaryArray.from_arrays(pa.array(zone - 1, pa.int32()), crs),
        'transform': pa.ListArray.from_arrays(offsets(6, rows), transform),
        'width': pa.repeat(SIDE, rows),
        'height': pa.repeat(SIDE, rows),
        'warp': pa.repeat(False, rows),
        'gsd': pa.array(ten),
        'crs': pa.array([f'EPSG:{32600 + number}' for number in zone]),
        'mask': pa.repeat(0, rows),
        'nodata': pa.repeat(0.0, rows),
        'given': pa.nulls(rows, pa.float64()),
        'dtype': pa.repeat('uint16', rows),
        'names': alike(['B02', 'B03', 'B04', 'B08'], rows, pa.string()),
        'colours': alike(['gray'] + 3 * ['undefined'], rows, pa.string()),
        'overviews': alike([2, 4, 8, 16], rows, pa.int32()),
        'mean': alike([500, 700, 800, 2500], rows, pa.float64()),
        'std': alike([125, 175, 200, 600], rows, pa.float64()),
        'valid': pa.array(np.where(collar < COLLARS, 0.49, 1)),
        'validity': pa.array([*packed, None], pa.binary()).take(pa.array(collar)),
        'start': pa.array(day),
        'stop': pa.array(day + np.timedelta64(1, 'D')),
        'bbox': pa.StructArray.from_arrays(sides, ['xmin', 'ymin', 'xmax', 'ymax']),
        'geometry': pa.array(shapely.to_wkb(boxes), pa.binary()),
    }
    return pa.table([columns[field.name].cast(field.type) for field in SCHEMA], schema=SCHEMA)


def make(files: dict[int, Path]) -> None:
    """Write catalogues."""
    packed = collars()
    for rows, file in files.items():
        write_catalogue(catalogue(rows, packed), file)


def resident() -> float:
    """Return the resident memory of this process in GiB."""
    pages = int(Path('/proc/self/statm').read_text().split()[1])
    return pages * resource.getpagesize() / 2**30


def opened(file: Path) -> CrossScaleSampler:
    """Open a catalogue and say what it took."""
    before, start = resident(), time.perf_counter()
    dataset = Rasters(file, ['red', 'green', 'blue'])
    known = time.perf_counter()
    sampler = CrossScaleSampler(dataset, size=256, batch_size=64)
    done, after = time.perf_counter(), resident()
    print(
        f'{len(dataset.rows):9,} rasters, catalogue of {file.stat().st_size / 2**20:6.1f} MiB: '
        f'opened in {known - start:.2f} s, weighed in {done - known:.2f} s; '
        f'{after - before:.2f} GiB more resident'
    )
    return sampler


def draw_time(sampler: CrossScaleSampler, batch: int) -> float:
    """Return the time of a draw in microseconds."""
    start = time.perf_counter()
    sampler.batch(0, batch)
    return 1e6 * (time.perf_counter() - start) / sampler.batch_size


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--rasters', type=int, default=1_000_000)
    parser.add_argument('--draws', type=int, default=20_000)
    options = parser.parse_args()
    print(f'{cpu_name()}, pyarrow {pa.__version__}, numpy {np.__version__}')
    with tempfile.TemporaryDirectory() as folder:
        files = {rows: Path(folder) / f'{rows}.parquet' for rows in (100, options.rasters)}
        # Made in another process, so that what it leaves behind is not counted here.
        maker = multiprocessing.get_context('spawn').Process(target=make, args=(files,))
        maker.start()
        maker.join()
        if maker.exitcode:
            raise SystemExit('the catalogues could not be made')
        few, many = (opened(file) for file in files.values())
    times = []
    for batch in range(options.draws // few.batch_size):
        times.append([draw_time(sampler, batch) for sampler in (few, many)])
    small, large = (statistics.median(column) for column in zip(*times, strict=True))
    more = statistics.median(two - one for one, two in times)
    print(f'a draw: {small:.1f} µs of 100 rasters, {large:.1f} µs of {options.rasters:,}; ', end='')
    print(f'median difference {more:.1f} µs')


if __name__ == '__main__':
    main()
