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

#: A row of the index, by column.
type Row = dict[str, Any]
type Source = DatasetReader | WarpedVRT
type Pixels = tuple[NDArray[np.float32], NDArray[np.bool_]]

#: Most pixels a side that are read for one pixel of an average of our own; it bounds the memory.
OVERSAMPLED = 8


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


def read_tile(source: Source, row: Row, tile: Tile) -> Pixels:
    """Read a tile; what lies beyond the raster is invalid.

    Args:
        source: The raster, on the grid its row of the index describes.
        row: That row.
        tile: The tile.

    Returns:
        Values (C, H, W) float32, 0 where invalid, and validity (H, W).
    """
    image = np.zeros((len(row['bands']), tile.size, tile.size), np.float32)
    valid = np.zeros((tile.size, tile.size), bool)
    cols = _inside(tile.col_off, tile.extent, row['width'], tile.size)
    rows = _inside(tile.row_off, tile.extent, row['height'], tile.size)
    window = Window(cols[0], rows[0], cols[1] - cols[0], rows[1] - rows[0])
    to = slice(rows[2], rows[3]), slice(cols[2], cols[3])
    shape = (rows[3] - rows[2], cols[3] - cols[2])
    image[:, *to], valid[to] = read_window(source, row, window, shape)
    return image, valid


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


def read_window(source: Source, row: Row, window: Window, shape: tuple[int, int]) -> Pixels:
    """Read the bands of a window and which pixels are valid.

    Args:
        source: The raster, or a view of it on another grid.
        row: Its row of the index.
        window: Where to read.
        shape: Height and width wanted in pixels.

    Returns:
        Values (C, H, W) float32, 0 where invalid, and validity (H, W).
    """
    coarser = window.width > shape[1]
    if coarser and _misleads_gdal(source, row):
        return _average(source, row, window, shape)
    resampling = Resampling.average if coarser else Resampling.bilinear
    return _read(source, row, window, shape, resampling)


def _read(
    source: Source, row: Row, window: Window, shape: tuple[int, int], resampling: Resampling
) -> Pixels:
    """Read a window as GDAL resamples it."""
    bands, cover = list(row['bands']), _cover(source, row)
    out = {'window': window, 'resampling': resampling}
    # Read at once: a view that warps would warp twice.
    wanted = [*bands, cover] if cover else bands
    pixels = source.read(wanted, out_shape=(len(wanted), *shape), **out)
    values = pixels[: len(bands)].astype(np.float32)
    valid = np.isfinite(values).all(0)
    if not np.isnan(row['nodata']):
        valid &= (values != np.float32(row['nodata'])).all(0)
    if cover:
        valid &= pixels[-1] > 0
    elif source.mask_flag_enums[bands[0] - 1] == [MaskFlags.per_dataset]:
        valid &= source.read_masks(bands[0], out_shape=shape, **out) > 0
    return np.where(valid, values, 0), valid


def _cover(source: Source, row: Row) -> int:
    """Return the number of the band that says where there is data, 0 for none."""
    added = isinstance(source, WarpedVRT) and source.nodata is None
    return row['mask'] or (source.count if added else 0)


def _misleads_gdal(source: Source, row: Row) -> bool:
    """Tell whether GDAL's average would take in what is no data, or leave out what is."""
    if _cover(source, row):
        # An alpha band is a mask to GDAL only beside one or three bands of 8 or 16 bits.
        return True
    if _undeclared(source, row):
        return bool(row['valid'] < 1)
    # NAIP's near infrared is marked alpha, and 0 over water.
    return not row['warp'] and MaskFlags.alpha in source.mask_flag_enums[row['bands'][0] - 1]


def _undeclared(source: Source, row: Row) -> bool:
    """Tell whether a value may be NaN without GDAL knowing that this is no data."""
    return source.nodata is None and np.dtype(row['dtype']).kind == 'f'


def _average(source: Source, row: Row, window: Window, shape: tuple[int, int]) -> Pixels:
    """Average by area, as GDAL does: what there is of each pixel counts."""
    zoom = window.width / shape[1]
    # In an overview one NaN has made a hole of all it was averaged with.
    levels = [1] if _undeclared(source, row) else [1, *source.overviews(row['bands'][0])]
    level = max([zoom / OVERSAMPLED, *(factor for factor in levels if factor <= max(1, zoom))])
    top, height, rows, down = _shares(window.row_off, window.height, shape[0], level, source.height)
    left, width, cols, across = _shares(window.col_off, window.width, shape[1], level, source.width)
    fine, size = Window(left, top, width, height), (int(rows.max()) + 1, int(cols.max()) + 1)
    values, valid = _read(source, row, fine, size, Resampling.nearest)
    pixels = np.stack([*values, valid], dtype=np.float64)
    lines = sum(pixels[:, at] * share[:, None] for at, share in zip(rows, down, strict=True))
    sums = sum(lines[..., at] * share for at, share in zip(cols, across, strict=True))
    image = np.zeros((len(values), *shape), np.float32)
    np.divide(sums[:-1], sums[-1], out=image, where=sums[-1] > 0, casting='same_kind')
    return image, sums[-1] > 0


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
    nodata = source.nodata
    floats = all(np.dtype(dtype).kind == 'f' for dtype in source.dtypes)
    if nodata is None and floats and source.mask_flag_enums[0] == [MaskFlags.all_valid]:
        # Undeclared, one NaN makes NaN of all around it.
        nodata = math.nan
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
    )
