"""Damage sound rasters at random and scan them: does any crash, hang, or eat the memory?

    python benchmarks/fuzz.py --files 20000 --seed 0

Each damaged file is examined as a scan does, and what passes is read as a training would, in a
child process that a crash or a limit may end; the next child goes on behind that file. What ended
a child is kept in ``--keep``.
"""

import argparse
import os
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning
from rasterio.transform import from_origin

from xscale.datasets.describe import describe
from xscale.datasets.formats import explain, open_raster
from xscale.datasets.windows import Reader, Tile

SIDE = 200

#: Layouts of the sound rasters: suffix, data type, bands, and what GDAL is told.
LAYOUTS: list[tuple[str, str, int, dict[str, object]]] = [
    ('.tif', 'uint8', 3, {}),
    ('.tif', 'uint16', 4, {'compress': 'deflate', 'predictor': 2, 'tiled': True}),
    ('.tif', 'float32', 1, {'compress': 'deflate', 'predictor': 3, 'nodata': -1}),
    ('.tif', 'uint8', 3, {'compress': 'lzw', 'interleave': 'band', 'BIGTIFF': 'YES'}),
    ('.tif', 'uint8', 3, {'compress': 'jpeg', 'photometric': 'ycbcr', 'tiled': True}),
    ('.tif', 'uint8', 1, {'compress': 'packbits', 'ENDIANNESS': 'BIG'}),
    ('.tif', 'uint8', 1, {'compress': 'ccittfax4', 'NBITS': 1}),
    ('.tif', 'uint8', 3, {'compress': 'webp', 'tiled': True}),
    ('.tif', 'uint16', 2, {'compress': 'zstd'}),
    ('.tif', 'float32', 1, {'compress': 'lerc'}),
    ('.tif', 'int16', 1, {'compress': 'lzma'}),
    ('.tif', 'uint8', 3, {'driver': 'COG', 'blocksize': 128}),
    ('.jp2', 'uint8', 3, {'driver': 'JP2OpenJPEG', 'BLOCKXSIZE': 64, 'BLOCKYSIZE': 64}),
    ('.jp2', 'uint16', 1, {'driver': 'JP2OpenJPEG', 'REVERSIBLE': 'YES', 'QUALITY': 100}),
]

#: Numbers that headers trip over.
NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def sound(folder: Path) -> list[tuple[str, bytes]]:
    """Write one raster of each layout; those this GDAL cannot write are left out."""
    rng = np.random.default_rng(0)
    waves = np.sin(np.arange(SIDE) / 9)[:, None] * np.cos(np.arange(SIDE) / 7) * 50 + 60
    written = []
    for number, (suffix, dtype, bands, profile) in enumerate(LAYOUTS):
        pixels = (waves + rng.normal(0, 5, (bands, SIDE, SIDE))).clip(0, 250).astype(dtype)
        path = folder / f'{number}{suffix}'
        place = {'crs': 'EPSG:32633', 'transform': from_origin(500_000, 5_300_000, 10, 10)}
        size = {'width': SIDE, 'height': SIDE, 'count': bands, 'dtype': dtype}
        try:
            with rasterio.open(path, 'w', **{'driver': 'GTiff', **size, **place, **profile}) as out:
                out.write(pixels)
        except rasterio.errors.RasterioError as error:
            print(f'no {profile}: {error}')
            continue
        written.append((suffix, path.read_bytes()))
    return written


def flip(data: NDArray[np.uint8], other: NDArray[np.uint8], rng: np.random.Generator) -> None:
    """Flip up to 16 bits."""
    places = rng.integers(0, len(data), rng.integers(1, 17))
    data[places] ^= (1 << rng.integers(0, 8, len(places))).astype(np.uint8)


def number(data: NDArray[np.uint8], other: NDArray[np.uint8], rng: np.random.Generator) -> None:
    """Write a number that headers trip over, of 1, 2 or 4 bytes, somewhere near the start."""
    size = int(rng.choice([1, 2, 4]))
    at = int(rng.integers(4, min(len(data), 600)) - size)
    value = int(rng.choice(NUMBERS)) & (1 << 8 * size) - 1
    order = 'little' if rng.integers(2) else 'big'
    data[at : at + size] = np.frombuffer(value.to_bytes(size, order), np.uint8)


def splice(data: NDArray[np.uint8], other: NDArray[np.uint8], rng: np.random.Generator) -> None:
    """Put a block of another raster somewhere."""
    size = int(rng.integers(1, min(len(data), len(other), 2000)))
    at, start = rng.integers(0, len(data) - size), rng.integers(0, len(other) - size)
    data[at : at + size] = other[start : start + size]


DAMAGES: list[Callable[[NDArray[np.uint8], NDArray[np.uint8], np.random.Generator], None]]
DAMAGES = [flip, number, splice]


def damaged(whole: list[tuple[str, bytes]], seed: int, index: int) -> tuple[str, bytes]:
    """Return file ``index`` of a seed: a pure function of both."""
    rng = np.random.default_rng((seed, index))
    suffix, sane = whole[rng.integers(len(whole))]
    data = np.frombuffer(sane, np.uint8).copy()
    other = np.frombuffer(whole[rng.integers(len(whole))][1], np.uint8)
    for _ in range(rng.integers(1, 5)):
        DAMAGES[rng.integers(len(DAMAGES))](data, other, rng)
    # The first bytes are judged without GDAL; four in five keep them, to get further.
    if rng.integers(5):
        data[:16] = np.frombuffer(sane, np.uint8)[:16]
    end = rng.integers(len(data)) if rng.integers(10) == 0 else len(data)
    return suffix, data[:end].tobytes()


def judge(path: Path) -> str:
    """Examine a file as a scan does, and read what passes; return what came of it."""
    found = describe(str(path))
    if found['reason']:
        # Without the numbers in it, so that like reasons are counted as one.
        return f'left out: {re.sub(r"[0-9][0-9.,e+]*", "#", found["reason"].split(":")[0])[:60]}'
    if found['warp']:
        return 'used, on a grid of its own'
    found['bands'] = [band for band in range(1, len(found['names']) + 1) if band != found['mask']]
    try:
        with open_raster(str(path)) as source:
            reader = Reader(source, found)
            for col, row, extent in ((0, 0, 64), (100, 100, 100), (0, 0, SIDE)):
                reader.tile(Tile(0, col, row, extent, 64))
    except Exception as error:
        return f'used, fails when read: {explain(error)[:30]}'
    return 'used'


def child(options: argparse.Namespace, whole: list[tuple[str, bytes]], work: Path, at: int) -> None:
    """Judge files from one on, until the end or a crash; write down what came of each."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    limit = options.megabytes << 20
    used = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + limit, used + limit))
    with (work / 'log.txt').open('a', buffering=1) as log:
        for index in range(at, options.files):
            suffix, data = damaged(whole, options.seed, index)
            path = work / f'{index}{suffix}'
            path.write_bytes(data)
            signal.alarm(options.seconds)
            start = time.perf_counter()
            came = judge(path)
            signal.alarm(0)
            log.write(f'{index}\t{time.perf_counter() - start:.3f}\t{came}\n')
            path.unlink()
    os._exit(0)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument('--files', type=int, default=20_000, help='damaged files')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--seconds', type=int, default=10, help='for one file')
    parser.add_argument(
        '--megabytes', type=int, default=2000, help='of address space for one child'
    )
    parser.add_argument('--keep', type=Path, default=Path('fuzz'), help='for what ended a child')
    options = parser.parse_args()
    warnings.simplefilter('ignore', NotGeoreferencedWarning)
    # Python warns of forking while GDAL's threads wait; a child that hangs for it is ended.
    warnings.simplefilter('ignore', DeprecationWarning)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        whole = sound(work)
        ended: list[str] = []
        at = 0
        while at < options.files:
            process = os.fork()
            if process == 0:
                child(options, whole, work, at)
            _, status, usage = os.wait4(process, 0)
            lines = (work / 'log.txt').read_text().splitlines()
            if status == 0:
                break
            at = int(lines[-1].split('\t')[0]) + 1 if lines else 0
            ended.append(f'{at}: {signal.strsignal(os.WTERMSIG(status))}')
            options.keep.mkdir(exist_ok=True)
            for path in work.glob(f'{at}.*'):
                shutil.copy(path, options.keep)
            at += 1
    rows = [line.split('\t') for line in lines]
    for came, count in Counter(row[2] for row in rows).most_common():
        print(f'{count:6}  {came}')
    slowest = sorted(rows, key=lambda row: -float(row[1]))[:5]
    print('slowest:', ', '.join(f'{index} ({seconds} s)' for index, seconds, _ in slowest))
    print(f'peak of the last child: {usage.ru_maxrss / 1e3:.0f} MB')
    print(f'{len(ended)} of {options.files} ended a child', *ended, sep='\n  ')
    sys.exit(bool(ended))


if __name__ == '__main__':
    main()
