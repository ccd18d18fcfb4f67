"""Bring a map that was made on a grid in metres back to the grid of its file."""

from collections.abc import Mapping
from pathlib import Path

import rasterio
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from ..datasets.files import Row
from ..datasets.formats import open_raster
from ..datasets.readers import RasterReader
from .layers import Layer
from .plan import BLOCK, map_grid
from .sinks import create_map

#: Pixels a side that are brought over at once: whole blocks of the map.
SIDE = 4 * BLOCK


def own_row(row: Row) -> Row:
    """Describe a raster on the grid of its file, where its tiles are cut from another.

    Args:
        row: The raster's row of an index.
    """
    parts = row['parts'] or (row,)
    with open_raster(parts[0]['filepath']) as source:
        own = {
            'grid': source.crs.to_wkt(),
            'transform': tuple(source.transform)[:6],
            'width': source.width,
            'height': source.height,
            'warp': False,
        }
    return {**row, **own, 'parts': tuple({**part, **own} for part in row['parts'])}


def lay_back(
    made: Path, row: Row, gsd: float | None, layer: Layer, tags: Mapping[str, str], path: Path
) -> None:
    """Write a map anew on the grid of its raster's file.

    What is no data in the file is no data in the map, pixel by pixel.

    Args:
        made: The map on the grid that tiles are cut from, which holds something wherever the
            raster may.
        row: The raster's row of an index.
        gsd: Metres per pixel of the map; the raster's own by default.
        layer: What the map says of each pixel.
        tags: What it is.
        path: Where to.
    """
    own = own_row(row)
    grid = map_grid(own, gsd)
    reader = RasterReader(own)
    # GDAL would take one side of a turned raster for shrunk, and blur it.
    options = {'resampling': layer.resampling, 'nodata': layer.nodata, 'XSCALE': 1, 'YSCALE': 1}
    place = {'transform': grid.transform, 'width': grid.width, 'height': grid.height}
    try:
        with (
            rasterio.open(made) as source,
            WarpedVRT(source, crs=grid.crs, **place, **options) as view,
            create_map(path, grid, layer, tags) as out,
        ):
            for top in range(0, grid.height, SIDE):
                for left in range(0, grid.width, SIDE):
                    height, width = min(SIDE, grid.height - top), min(SIDE, grid.width - left)
                    window = Window(left, top, width, height)
                    values = view.read(window=window)
                    _, valid = reader.tile(grid.tile(left, top, SIDE))
                    values[:, ~valid[:height, :width]] = layer.nodata
                    out.write(values, window=window)
    finally:
        reader.close()
