"""Maps on disk: classes or probabilities as cloud-optimised GeoTIFFs.

A map is first written block by block to a plain GeoTIFF, then copied, with its overviews, to a
cloud-optimised one, which takes its place when all of it is on disk.
"""

import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.io import DatasetWriter

from ..errors import ConfigError
from .plan import BLOCK, MapGrid

#: The class of a pixel without data.
NO_CLASS = 255

#: What stands for a probability of 1 in bytes, so that a step is 0.004.
FULL = 250

#: Names of the tags that hold the fingerprint of a map's model, and metres per pixel.
MODEL, GSD = 'XSCALE_MODEL', 'XSCALE_GSD'


class Layer(Protocol):
    """What a map says of each pixel.

    Attributes:
        names: What its bands are called.
        dtype: Of its values.
        nodata: Its value where there is no data.
        resampling: How it is brought to another grid.
        overview: How its overviews are made.
    """

    names: tuple[str, ...]
    dtype: str
    nodata: float
    resampling: Resampling
    overview: str

    def encode(self, probabilities: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray:
        """Turn probabilities into the values of the map.

        Args:
            probabilities: Of each class, (K, H, W).
            valid: True where there is data, (H, W).

        Returns:
            Values of each band, (C, H, W).
        """

    def describe(self, out: DatasetWriter) -> None:
        """Write what people should know of the bands.

        Args:
            out: A map that is open to be written, before its pixels are.
        """


class ClassLayer:
    """The most likely class of each pixel, in colour."""

    names = ('class',)
    dtype, nodata = 'uint8', NO_CLASS
    resampling, overview = Resampling.nearest, 'NEAREST'

    def __init__(self, classes: Sequence[str]) -> None:
        """Count the classes.

        Args:
            classes: Their names.

        Raises:
            ConfigError: If there are more than a byte counts.
        """
        self.classes = tuple(classes)
        if len(self.classes) > NO_CLASS:
            raise ConfigError(
                f'{len(self.classes)} classes: a map of classes counts up to {NO_CLASS}; write '
                'their probabilities (--probabilities)'
            )

    def encode(self, probabilities: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray:
        """Choose the class; see :meth:`Layer.encode`."""
        return np.where(valid, probabilities.argmax(0), NO_CLASS).astype(np.uint8)[None]

    def describe(self, out: DatasetWriter) -> None:
        """Write the colours; see :meth:`Layer.describe`."""
        out.write_colormap(1, colour_table(len(self.classes)))


class ProbabilityLayer:
    """The probability of each class, a band for each."""

    resampling, overview = Resampling.bilinear, 'AVERAGE'

    def __init__(self, classes: Sequence[str], dtype: Literal['uint8', 'float32']) -> None:
        """Choose how probabilities are written.

        Args:
            classes: Names of the classes.
            dtype: 'uint8' in steps of 0.004, the band's scale; or 'float32'.
        """
        self.names, self.dtype = tuple(classes), dtype
        self.nodata = NO_CLASS if dtype == 'uint8' else np.nan

    def encode(self, probabilities: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray:
        """Scale probabilities; see :meth:`Layer.encode`."""
        if self.dtype == 'uint8':
            probabilities = np.rint(probabilities * FULL)
        return np.where(valid, probabilities, self.nodata).astype(self.dtype)

    def describe(self, out: DatasetWriter) -> None:
        """Write the scale; see :meth:`Layer.describe`."""
        if self.dtype == 'uint8':
            out.scales = (1 / FULL,) * out.count


def colour_table(count: int) -> dict[int, tuple[int, int, int, int]]:
    """Give each class a colour that none of the others has; no data is clear.

    Args:
        count: Of the classes.

    Returns:
        Red, green, blue and alpha, 0..255, by class.
    """
    import matplotlib.colors

    if count <= 20:
        # Of a table of 20 neighbours are alike, so one of 10 is taken where it is enough.
        colours = matplotlib.colormaps['tab10' if count <= 10 else 'tab20'](range(count))[:, :3]
    else:
        # Hues by the golden ratio lie far apart, however many there are.
        place = np.arange(count)
        hue, saturation, value = place * 0.618034 % 1, 1 - place % 2 * 0.5, 1 - place % 3 * 0.25
        colours = matplotlib.colors.hsv_to_rgb(np.column_stack([hue, saturation, value]))
    table = {}
    for number, (red, green, blue) in enumerate(np.rint(colours * 255).astype(int).tolist()):
        table[number] = red, green, blue, 255
    return table | {NO_CLASS: (0, 0, 0, 0)}


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
