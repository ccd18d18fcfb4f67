"""Maps on disk: cloud-optimised GeoTIFFs that say how they were made.

A map is first written block by block to a plain GeoTIFF, then copied, with its overviews, to a
cloud-optimised one, which takes its place when all of it is on disk.
"""

import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import rasterio
import rasterio.shutil
from rasterio.errors import RasterioError
from rasterio.io import DatasetWriter

from .layers import Layer
from .plan import BLOCK, MapGrid

#: Names of the tags that hold the fingerprint of a map's model, and metres per pixel.
MODEL, GSD = 'XSCALE_MODEL', 'XSCALE_GSD'


def map_tags(
    classes: Sequence[str], gsd: float, source: str, fingerprint: str, version: str
) -> dict[str, str]:
    """Say what a map is, for its tags.

    Args:
        classes: Names of the classes, in the order they are counted.
        gsd: Metres per pixel.
        source: Name of the raster.
        fingerprint: Of the model.
        version: Of this package.
    """
    return {
        MODEL: fingerprint,
        'XSCALE_CLASSES': json.dumps(list(classes), ensure_ascii=False),
        GSD: repr(float(gsd)),
        'XSCALE_SOURCE': source,
        'XSCALE_VERSION': version,
    }


def tags_of(path: Path) -> dict[str, str]:
    """Return the tags of a map; none of a file that is no raster.

    Args:
        path: The map.
    """
    try:
        with rasterio.open(path) as source:
            return source.tags()
    except RasterioError:
        return {}


@contextmanager
def scratch(target: Path) -> Iterator[Path]:
    """Make a hidden folder beside a file that is to be written; it goes, whatever happens.

    Args:
        target: The file; its folder is made.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix='.xscale-', dir=target.parent) as folder:
        yield Path(folder)


def create_map(path: Path, grid: MapGrid, layer: Layer, tags: Mapping[str, str]) -> DatasetWriter:
    """Create a plain GeoTIFF to be filled block by block; what is not written is no data.

    Args:
        path: Where to.
        grid: Its grid.
        layer: What it says of each pixel.
        tags: What it is.
    """
    out = rasterio.open(
        path,
        'w',
        driver='GTiff',
        crs=grid.crs,
        transform=grid.transform,
        width=grid.width,
        height=grid.height,
        count=len(layer.names),
        dtype=layer.dtype,
        nodata=layer.nodata,
        tiled=True,
        blockxsize=BLOCK,
        blockysize=BLOCK,
        compress='deflate',
        zlevel=1,
        sparse_ok=True,
        bigtiff='if_safer',
    )
    out.descriptions = layer.names
    layer.describe(out)
    out.update_tags(**tags)
    return out


def write_cog(source: Path, target: Path, layer: Layer) -> None:
    """Write a cloud-optimised GeoTIFF with overviews, all of it or nothing.

    Args:
        source: A plain GeoTIFF in a folder of its own on the same disk.
        target: Where to; what was there stays until the new one is whole.
        layer: What it says of each pixel.
    """
    part = source.with_name('cog.tif')
    options = {'overview_resampling': layer.overview, 'bigtiff': 'if_safer'}
    rasterio.shutil.copy(source, part, driver='COG', compress='deflate', **options)
    with part.open('rb') as file:
        os.fsync(file.fileno())
    os.replace(part, target)
