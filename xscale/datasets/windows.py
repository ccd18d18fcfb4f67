"""Read the pixels of a window, and which of them hold data."""

import math
import os
from collections.abc import Sequence
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

#: A row of the index, by column.
type Row = dict[str, Any]
type Source = DatasetReader | WarpedVRT
type Pixels = tuple[NDArray[np.float32], NDArray[np.bool_]]

#: What GDAL's warper writes into an alpha band for a pixel that is there; 255 in other dtypes.
OPAQUE = {'uint16': 65535, 'int16': 32767}


#: Pixels of an overview by which a tile's first and last edge may miss it and still be meant.
OFF = 0.05, 0.5


class Tile(NamedTuple):
    """A square of ground on one raster's own grid.

    Attributes:
        row: Row of the dataset's index.
        col_off: Left edge in pixels of the raster's grid.
        row_off: Upper edge.
        extent: Side in pixels of the raster's grid.
        size: Side in pixels of the tile that is wanted.
    """

    row: int
    col_off: float
    row_off: float
    extent: float
    size: int


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
        self.overviews = source.overviews(self.bands[0])
        self.float = np.dtype(source.dtypes[self.bands[0] - 1]).kind == 'f'
        flags = source.mask_flag_enums[self.bands[0] - 1]
        # GDAL takes an alpha band for a mask only beside one or three bands of 8 or 16 bits.
        added = isinstance(source, WarpedVRT) and source.nodata is None
        self.alpha = row['mask'] or (source.count if added else 0)
        self.masked = not self.alpha and flags == [MaskFlags.per_dataset]
        # Nothing can be missing then.
        self.whole = not (self.float or self.alpha or self.masked) and self.nodata is None
        # GDAL would leave out the pixels where a band of data marked alpha is 0.
        self.by_area = MaskFlags.alpha in flags and not row['mask'] and not row['warp']

    def tile(self, tile: Tile) -> Pixels:
        """Read a tile; what lies beyond the raster is invalid.

        Args:
            tile: The tile.

        Returns:
            Values (C, H, W) float32, 0 where invalid, and validity (H, W).
        """
        size = tile.size
        if self._on_pixels(tile):
            return self.window(Window(tile.col_off, tile.row_off, size, size), (size, size))
        cols = _inside(tile.col_off, tile.extent, self.width, size)
        rows = _inside(tile.row_off, tile.extent, self.height, size)
        left, right = self._snapped(cols[0], cols[1], cols[3] - cols[2], self.width)
        top, bottom = self._snapped(rows[0], rows[1], rows[3] - rows[2], self.height)
        window = Window(left, top, right - left, bottom - top)
        shape = (rows[3] - rows[2], cols[3] - cols[2])
        if shape == (size, size):
            return self.window(window, shape)
        image = np.zeros((len(self.bands), size, size), np.float32)
        valid = np.zeros((size, size), bool)
        to = slice(rows[2], rows[3]), slice(cols[2], cols[3])
        image[:, *to], valid[to] = self.window(window, shape)
        return image, valid

    def _on_pixels(self, tile: Tile) -> bool:
        """Tell whether a tile is some of the raster's own pixels, as most are."""
        col, row, size = tile.col_off, tile.row_off, tile.size
        inside = 0 <= col <= self.width - size and 0 <= row <= self.height - size
        return inside and tile.extent == size

    def _snapped(self, start: float, stop: float, size: int, side: int) -> tuple[float, float]:
        """Move a span onto the pixels of an overview, if it is meant to lie there.

        Then GDAL copies them; else it resamples, which takes ten times as long.
        """
        for factor in self.overviews:
            pixel = overview_pixel(side, factor)
            first = round(start / pixel)
            last = abs(stop / pixel - first - size)
            if abs(start / pixel - first) < OFF[0] and last < OFF[1]:
                return first * pixel, (first + size) * pixel
        return start, stop

    def window(self, window: Window, shape: tuple[int, int]) -> Pixels:
        """Read the bands of a window and which pixels are valid.

        Args:
            window: Where to read.
            shape: Height and width wanted in pixels.

        Returns:
            Values (C, H, W) float32, 0 where invalid, and validity (H, W).
        """
        coarser = window.width > shape[1]
        resampling = Resampling.average if coarser else Resampling.bilinear
        if coarser and self.by_area:
            values = _average(self.source, self.bands, window, shape)
        else:
            pixels = self.source.read(
                self.bands,
                window=window,
                out_shape=(len(self.bands), *shape),
                resampling=resampling,
            )
            values = pixels.astype(np.float32, copy=False)
        if self.whole:
            return values, np.ones(shape, bool)
        valid = np.isfinite(values).all(0) if self.float else np.ones(shape, bool)
        if self.nodata is not None:
            valid &= (values != self.nodata).all(0)
        if self.alpha:
            cover = self.source.read(
                self.alpha, window=window, out_shape=shape, resampling=resampling
            )
            # An average takes in what is masked, so it counts only where nothing was.
            least = 0.999 * OPAQUE.get(self.source.dtypes[self.alpha - 1], 255) if coarser else 1
            valid &= cover >= least
        elif self.masked:
            mask = self.source.read_masks(self.bands[0], window=window, out_shape=shape)
            valid &= mask > 0
        if not valid.all():
            values[:, ~valid] = 0
        return values, valid


def _inside(offset: float, extent: float, limit: int, size: int) -> tuple[float, float, int, int]:
    """Clip one axis of a tile to its raster.

    Returns:
        Start and stop in raster pixels, and start and stop in tile pixels.
    """
    scale = extent / size
    first = max(0, round(-offset / scale))
    last = min(size, round((limit - offset) / scale))
    start = max(0.0, offset + first * scale)
    stop = min(float(limit), offset + last * scale)
    return start, stop, first, last


def _average(
    source: DatasetReader, bands: Sequence[int], window: Window, shape: tuple[int, int]
) -> NDArray[np.float32]:
    """Average a window where a band of data is marked alpha.

    GDAL would leave out the pixels where that band is 0, as NAIP's near infrared is over water.
    """
    levels = [1, *source.overviews(bands[0])]
    level = max(factor for factor in levels if factor <= max(1, window.width / shape[1]))
    top, height, rows = _shares(window.row_off, window.height, shape[0], level, source.height)
    left, width, cols = _shares(window.col_off, window.width, shape[1], level, source.width)
    pixels = source.read(
        bands,
        window=Window(left, top, width, height),
        out_shape=(len(bands), rows.shape[1], cols.shape[1]),
    )
    return np.stack([rows @ band.astype(np.float32) @ cols.T for band in pixels])


def _shares(
    offset: float, extent: float, size: int, level: int, limit: int
) -> tuple[float, float, NDArray[np.float32]]:
    """Weigh the pixels of an overview along one axis for an average by area.

    Returns:
        Start and length in raster pixels of the overview's pixels that are needed, and the share
        of each of them in each average, shape (size, N).
    """
    pixel = limit / math.ceil(limit / level)
    edges = (offset + np.arange(size + 1)[:, None] * extent / size) / pixel
    first, last = math.floor(edges[0, 0]), math.ceil(min(edges[-1, 0], limit / pixel))
    pixels = np.arange(first, last)
    inside = np.minimum(edges[1:], pixels + 1) - np.maximum(edges[:-1], pixels)
    shares = np.clip(inside, 0, None)
    shares /= shares.sum(1, keepdims=True)
    return first * pixel, (last - first) * pixel, shares.astype(np.float32)


def _without_alpha(source: DatasetReader) -> DatasetReader:
    """View a raster with no band marked alpha, so that a warp takes them all as data."""
    name = escape(os.path.abspath(source.name))
    bands = ''.join(
        f'<VRTRasterBand dataType="{typename_fwd[dtype_rev[dtype]]}" band="{number}"><SimpleSource>'
        f'<SourceFilename>{name}</SourceFilename><SourceBand>{number}</SourceBand>'
        '</SimpleSource></VRTRasterBand>'
        for number, dtype in enumerate(source.dtypes, 1)
    )
    size = f'rasterXSize="{source.width}" rasterYSize="{source.height}"'
    place = f'<SRS>{escape(source.crs.to_wkt())}</SRS>'
    place += f'<GeoTransform>{", ".join(map(repr, source.transform.to_gdal()))}</GeoTransform>'
    return rasterio.open(f'<VRTDataset {size}>{place}{bands}</VRTDataset>')


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
    nodata = None if np.isnan(row['nodata']) else row['nodata']
    return WarpedVRT(
        _without_alpha(source) if marked and not row['mask'] else source,
        src_nodata=nodata,
        crs=crs,
        transform=grid,
        width=width,
        height=height,
        resampling=Resampling.bilinear,
        add_alpha=nodata is None and not row['mask'],
    )
