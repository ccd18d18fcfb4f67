"""What remote rasters cost: requests and bytes of a scan and of a tile, by a local server's log.

    python benchmarks/remote.py --tiles 64

Bare windows are those of the same draws, from files that rasterio keeps open with GDAL's defaults.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.enums import Resampling
from rasterio.transform import from_origin
from rasterio.windows import Window

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.datasets.server import Server, serving
from xscale.datasets import Rasters, fetch
from xscale.datasets.rasters import TileSlice
from xscale.samplers import CrossScaleSampler

#: Metres per pixel, bands.
GSD, BANDS = 10.0, 4

#: How scenes are laid out.
LAYOUTS: dict[str, dict[str, Any]] = {
    'COG, blocks of 512 px': {'driver': 'COG', 'blocksize': 512, 'overview_resampling': 'average'},
    'GeoTIFF, strips, no overviews': {'driver': 'GTiff'},
}


def write_scene(path: Path, side: int, layout: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.normal(1500, 60, (BANDS, side, side)).clip(0, 65535).astype(np.uint16)
    profile = {'count': BANDS, 'width': side, 'height': side, 'dtype': 'uint16', **layout}
    place = {'crs': 'EPSG:32633', 'transform': from_origin(500_000, 5_300_000, GSD, GSD)}
    with rasterio.open(path, 'w', compress='deflate', **profile, **place) as out:
        out.write(pixels)


def tell(what: str, server: Server, tiles: int = 1) -> None:
    """Print what was asked for since this was called last, by tile."""
    asked = server.asked()
    size, most = sum(request.size for request in asked), max(r.size for r in asked)
    print(
        f'  {what:44} {len(asked) / tiles:6.2f} requests {size / tiles / 2**20:7.2f} MiB   '
        f'largest {most / 2**20:6.2f} MiB'
    )


class Bare:
    """Windows read with rasterio alone, from a file kept open."""

    def __init__(self, address: str) -> None:
        """Open it.

        Args:
            address: The file.
        """
        self.source = rasterio.open(address)

    def __getitem__(self, draw: TileSlice) -> object:
        """Read the window of a draw."""
        tile = draw.tile
        window = Window(tile.col_off, tile.row_off, tile.extent, tile.extent)
        shape = (BANDS, tile.size, tile.size)
        way = Resampling.average if tile.extent > tile.size else Resampling.nearest
        return self.source.read(window=window, out_shape=shape, resampling=way)


def measure(name: str, server: Server, size: int, tiles: int) -> None:
    """Print the costs of one scene.

    Args:
        name: Its file.
        server: The server.
        size: Side of a tile in pixels.
        tiles: How many tiles are read of each kind.
    """
    address = f'{server.address}/{name}'
    server.asked()
    known = Rasters(address)
    tell('a scan', server)
    for zoom in (1, 4):
        gsd = (GSD * zoom, GSD * zoom)
        sampler = CrossScaleSampler(known, size=size, batch_size=tiles, gsd=gsd)
        draws = sampler.batch(0, 0)
        for way, open_one in (('xscale', Rasters), ('rasterio', Bare)):
            opened = open_one(address) if way == 'xscale' else None
            # As a worker begins, that knows the catalogue and no file.
            fetch.forget(address)
            server.asked()
            opened = opened or open_one(address)
            opened[draws[0]]
            tell(f'{way}: opened, and a tile at {GSD * zoom:.0f} m', server)
            for draw in draws[1:]:
                opened[draw]
            tell(f'{way}: each of the next {tiles - 1}', server, tiles - 1)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--size', type=int, default=224, help='side of a tile in pixels')
    parser.add_argument('--side', type=int, default=8192, help='of a scene in pixels')
    parser.add_argument('--tiles', type=int, default=64, help='of each kind')
    options = parser.parse_args()
    os.environ |= {'NO_PROXY': '*', 'GDAL_CACHEMAX': '64'}
    print(f'rasterio {rasterio.__version__}, GDAL {rasterio.__gdal_version__}, ', end='')
    print(f'tiles of {options.size} px, {BANDS} bands, uint16, deflate')
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as logs:
        os.environ['XSCALE_CACHE'] = logs
        with serving(Path(folder), Path(logs) / 'log.jsonl') as server:
            for number, (title, layout) in enumerate(LAYOUTS.items()):
                file = Path(folder) / f'{number}.tif'
                write_scene(file, options.side, layout)
                print(f'{title}, {file.stat().st_size / 2**20:.0f} MiB:')
                measure(file.name, server, options.size, options.tiles)


if __name__ == '__main__':
    main()
