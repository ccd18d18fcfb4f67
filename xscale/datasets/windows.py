"""Read the pixels of a window, and which of them hold data."""

import math
import os
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.dtypes import dtype_rev, typename_fwd
from rasterio.enums import ColorInterp, MaskFlags, Resampling
from rasterio.io import DatasetReader
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from . import fetch
from .remote import is_fetched

#: A row of the index, by column.
type Row = dict[str, Any]
type Source = DatasetReader | WarpedVRT
type Pixels = tuple[NDArray[np.float32], NDArray[np.bool_]]

#: Most pixels a side that are read for one pixel of an average of our own; it bounds the memory.
OVERSAMPLED = 8


#: Pixels by which the corner of a tile may miss those of an overview and it is still meant.
OFF = 0.02

#: Pixels by which it may miss them at its far end: an overview's pixels are not quite square.
DRIFT = 0.25


class Tile(NamedTuple):
    """A square of ground on one raster's own grid.

    Attributes:
        row: Row of the dataset's index.
        col_off: Left edge in pixels of the raster's grid.
        row_off: Upper edge.
        extent: Side in pixels of the raster's grid.
        size: Side in pixels of the tile that is wanted.
        partner: Row of a coarser raster that shows the same ground; −1 where none was drawn.
    """

    row: int
    col_off: float
    row_off: float
    extent: float
    size: int
    partner: int = -1


def overview_pixel(side: int, factor: int) -> float:
    """Return the width of an overview's pixel in pixels of the raster.

    It is a little less than the factor where that does not divide the side.

    Args:
        side: Pixels of the raster along the axis.
        factor: Of the overview.
    """
    return side / math.ceil(side / factor)


class Reader:
    """Reads tiles of one open raster; what does not change between them is found out once."""

    def __init__(self, source: Source, row: Row) -> None:
        """Look at the raster.

        Args:
            source: The raster, on the grid its row of the index describes.
            row: That row.
        """
        self.source = source
        self.bands = list(row['bands'])
        self.width, self.height = row['width'], row['height']
        self.nodata = None if np.isnan(row['nodata']) else np.float32(row['nodata'])
        self.float = np.dtype(source.dtypes[self.bands[0] - 1]).kind == 'f'
        flags = source.mask_flag_enums[self.bands[0] - 1]
        added = isinstance(source, WarpedVRT) and source.nodata is None
        # Number of the band that says where there is data, 0 for none.
        self.cover = row['mask'] or (source.count if added else 0)
        self.masked = not self.cover and flags == [MaskFlags.per_dataset]
        # Nothing can be missing.
        self.whole = not (self.float or self.cover or self.masked) and self.nodata is None
        # In an overview one NaN that GDAL does not know of made a hole of all it was averaged with.
        holes = source.nodata is None and self.float and row['valid'] < 1
        # An alpha band is a mask to GDAL only beside one or three bands of 8 or 16 bits, and
        # NAIP's near infrared, 0 over water, is marked alpha.
        marked = not row['warp'] and MaskFlags.alpha in flags
        # GDAL's average would take in what is no data, or leave out what is.
        self.misled = bool(self.cover or holes or marked)
        self.levels = [] if holes else source.overviews(self.bands[0])
        # Width and height of a pixel of the raster and of each overview.
        sides = self.width, self.height
        self.steps = [
            tuple(overview_pixel(side, factor) for side in sides) for factor in (1, *self.levels)
        ]

    def tile(self, tile: Tile) -> Pixels:
        """Read a tile; what lies beyond the raster is invalid.

        Args:
            tile: The tile.

        Returns:
            Values (C, H, W) float32, 0 where invalid, and validity (H, W).
        """
        size = tile.size
        if window := self._pixels(tile):
            return self.window(window, (size, size))
        cols = _inside(tile.col_off, tile.extent, self.width, size)
        rows = _inside(tile.row_off, tile.extent, self.height, size)
        window = Window(cols[0], rows[0], cols[1] - cols[0], rows[1] - rows[0])
        shape = (rows[3] - rows[2], cols[3] - cols[2])
        if shape == (size, size):
            return self.window(window, shape)
        image = np.zeros((len(self.bands), size, size), np.float32)
        valid = np.zeros((size, size), bool)
        to = slice(rows[2], rows[3]), slice(cols[2], cols[3])
        image[:, *to], valid[to] = self.window(window, shape)
        return image, valid

    def _pixels(self, tile: Tile) -> Window | None:
        """Return the window of a tile that is pixels of the raster or of an overview, as most are.

        GDAL copies them then; else it resamples, which takes ten times as long.
        """
        size, extent = tile.size, tile.extent
        for across, down in self.steps:
            if abs(extent / across - size) > DRIFT or abs(extent / down - size) > DRIFT:
                continue
            col, row = tile.col_off / across, tile.row_off / down
            left, top = round(col), round(row)
            inside = 0 <= left <= self.width / across - size + OFF
            inside = inside and 0 <= top <= self.height / down - size + OFF
            if inside and abs(col - left) < OFF and abs(row - top) < OFF:
                return Window(left * across, top * down, size * across, size * down)
        return None

    def window(self, window: Window, shape: tuple[int, int]) -> Pixels:
        """Read the bands of a window and which pixels are valid.

        Args:
            window: Where to read.
            shape: Height and width wanted in pixels.

        Returns:
            Values (C, H, W) float32, 0 where invalid, and validity (H, W).
        """
        if window.width <= shape[1]:
            return self._read(window, shape, Resampling.bilinear)
        if self.misled:
            return self._average(window, shape)
        return self._read(window, shape, Resampling.average)

    def _read(self, window: Window, shape: tuple[int, int], resampling: Resampling) -> Pixels:
        """Read a window as GDAL resamples it."""
        # Read at once: a view that warps would warp twice.
        bands = [*self.bands, self.cover] if self.cover else self.bands
        out = (len(bands), *shape)
        pixels = self.source.read(bands, window=window, out_shape=out, resampling=resampling)
        values = pixels[: len(self.bands)].astype(np.float32, copy=False)
        if self.whole:
            return values, np.ones(shape, bool)
        valid = np.isfinite(values).all(0) if self.float else np.ones(shape, bool)
        if self.nodata is not None:
            valid &= (values != self.nodata).all(0)
        if self.cover:
            valid &= pixels[-1] > 0
        elif self.masked:
            options: dict[str, Any] = {'window': window, 'resampling': resampling}
            valid &= self.source.read_masks(self.bands[0], out_shape=shape, **options) > 0
        if not valid.all():
            values[:, ~valid] = 0
        return values, valid

    def _average(self, window: Window, shape: tuple[int, int]) -> Pixels:
        """Average by area, as GDAL does: what there is of each pixel counts."""
        zoom = window.width / shape[1]
        level = max([1, zoom / OVERSAMPLED, *(factor for factor in self.levels if factor <= zoom)])
        high, wide = self.source.height, self.source.width
        top, height, rows, down = _shares(window.row_off, window.height, shape[0], level, high)
        left, width, cols, across = _shares(window.col_off, window.width, shape[1], level, wide)
        size = int(rows.max()) + 1, int(cols.max()) + 1
        values, valid = self._read(Window(left, top, width, height), size, Resampling.nearest)
        pixels = np.stack([*values, valid], dtype=np.float64)
        lines = sum(pixels[:, at] * share[:, None] for at, share in zip(rows, down, strict=True))
        sums = sum(lines[..., at] * share for at, share in zip(cols, across, strict=True))
        image = np.zeros((len(values), *shape), np.float32)
        np.divide(sums[:-1], sums[-1], out=image, where=sums[-1] > 0, casting='same_kind')
        return image, sums[-1] > 0


def _inside(offset: float, extent: float, limit: int, size: int) -> tuple[float, float, int, int]:
    """Clip one axis of a tile to its raster.

    Returns:
        Start and stop in raster pixels, and start and stop in tile pixels.
    """
    scale = extent / size
    # Pixels that lie in it only in part are left out: their values would belong elsewhere.
    first = max(0, math.ceil(-offset / scale - 1e-6))
    last = min(size, math.floor((limit - offset) / scale + 1e-6))
    start = max(0.0, offset + first * scale)
    stop = min(float(limit), offset + last * scale)
    return start, stop, first, last


def _shares(
    offset: float, extent: float, size: int, level: float, limit: int
) -> tuple[float, float, NDArray[np.int64], NDArray[np.float64]]:
    """Weigh the pixels of an overview along one axis for an average by area.

    Returns:
        Start and length in raster pixels of the overview's pixels that are needed; which of them
        each average is made of, shape (N, size), and how much of each lies in it, (N, size).
    """
    pixel = limit / math.ceil(limit / level)
    edges = np.minimum((offset + np.arange(size + 1) * extent / size) / pixel, limit / pixel)
    first, last = math.floor(edges[0]), math.ceil(edges[-1])
    low, high = edges[:-1] - first, edges[1:] - first
    pixels = np.floor(low) + np.arange(math.ceil(extent / size / pixel) + 1)[:, None]
    shares = np.clip(np.minimum(high, pixels + 1) - np.maximum(low, pixels), 0, None)
    needed = np.minimum(pixels, last - first - 1).astype(np.int64)
    return first * pixel, (last - first) * pixel, needed, shares


def _without_alpha(source: DatasetReader) -> DatasetReader:
    """View a raster with no band marked alpha, so that a warp takes them all as data."""
    fetched = is_fetched(source.name)
    name = escape(source.name if fetched else os.path.abspath(source.name))
    # As open_raster opens it.
    options = '<OpenOptions><OOI key="NUM_THREADS">1</OOI></OpenOptions>' if fetched else ''
    bands = ''.join(
        f'<VRTRasterBand dataType="{typename_fwd[dtype_rev[dtype]]}" band="{number}"><SimpleSource>'
        f'<SourceFilename>{name}</SourceFilename>{options}<SourceBand>{number}</SourceBand>'
        '</SimpleSource></VRTRasterBand>'
        for number, dtype in enumerate(source.dtypes, 1)
    )
    size = f'rasterXSize="{source.width}" rasterYSize="{source.height}"'
    place = f'<SRS>{escape(source.crs.to_wkt())}</SRS>'
    place += f'<GeoTransform>{", ".join(map(repr, source.transform.to_gdal()))}</GeoTransform>'
    # Asking for overviews opens the raster, which is else put off; beside it lie files that nobody
    # looked at, so GDAL is to probe for sidecars by the names that open_raster checks.
    with fetch.settings() if fetched else rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN='TRUE'):
        view = rasterio.open(f'<VRTDataset {size}>{place}{bands}</VRTDataset>')
        view.overviews(1)
    return view


def warped_view(
    source: DatasetReader, row: Row, crs: str, grid: Affine, width: int, height: int
) -> WarpedVRT:
    """View a raster on another grid; what lies beyond it is masked.

    Args:
        source: The raster.
        row: Its row of the index.
        crs: CRS of the grid.
        grid: Pixel (column, row) to CRS coordinates.
        width: Columns.
        height: Rows.
    """
    marked = ColorInterp.alpha in source.colorinterp
    nodata = source.nodata if np.isnan(row['nodata']) else row['nodata']
    floats = all(np.dtype(dtype).kind == 'f' for dtype in source.dtypes)
    if nodata is None and floats and source.mask_flag_enums[0] == [MaskFlags.all_valid]:
        # Undeclared, one NaN makes NaN of all around it.
        nodata = math.nan
    # GDAL compares the boxes of both grids to see by how much it shrinks; of a raster that is
    # turned by 90° it would take one side for shrunk, and blur it.
    turned = crs == row['grid'] and (source.transform.b or source.transform.d)
    scale = {'XSCALE': 1, 'YSCALE': 1} if turned else {}
    return WarpedVRT(
        _without_alpha(source) if marked and not row['mask'] else source,
        src_nodata=nodata,
        nodata=nodata,
        crs=crs,
        transform=grid,
        width=width,
        height=height,
        resampling=Resampling.bilinear,
        add_alpha=nodata is None and not row['mask'],
        **scale,
    )
