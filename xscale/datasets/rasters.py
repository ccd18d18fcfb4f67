"""Rasters of any CRS, resolution and dtype in one dataset, each read on its own grid."""

import math
import os
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

import numpy as np
import pandas as pd
import rasterio
import torch
from affine import Affine
from numpy.typing import NDArray
from rasterio.dtypes import dtype_rev, typename_fwd
from rasterio.enums import ColorInterp, MaskFlags, Resampling
from rasterio.io import DatasetReader
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window
from torchgeo.datasets import RasterDataset
from torchgeo.datasets.utils import GeoSlice

from .. import geo
from ..types import Sample
from .index import as_paths, open_raster, scan

#: What GDAL's warper writes into an alpha band for a pixel that is there; 255 in other dtypes.
OPAQUE = {'uint16': 65535, 'int16': 32767}

#: Open files kept by each process.
OPEN_FILES = 64


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


class TileSlice(tuple[slice, slice, slice]):
    """A TorchGeo slice (x, y, t) that also knows its tile, so that it can be read without a warp.

    Attributes:
        tile: The tile.
        gsd: Metres per pixel of the tile.
    """

    tile: Tile
    gsd: float

    def __new__(cls, slices: tuple[slice, slice, slice], tile: Tile, gsd: float) -> 'TileSlice':
        """Make a slice.

        Args:
            slices: West to east and south to north in degrees, and the time.
            tile: The tile.
            gsd: Metres per pixel of the tile.
        """
        self = super().__new__(cls, slices)
        self.tile, self.gsd = tile, gsd
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Let worker processes be sent the slice with its tile."""
        return TileSlice, (tuple(self), self.tile, self.gsd)


class Rasters(RasterDataset):
    """GeoTIFFs of several CRSs, ground sample distances and dtypes as one dataset.

    The index is EPSG:4326. A slice of our own sampler is read as a window of the file's own grid,
    through its overviews where it is coarser; nothing is warped or merged. Any other TorchGeo
    slice is answered as :class:`~torchgeo.datasets.RasterDataset` does, warped to the grid of the
    index and merged, so TorchGeo's samplers work too.

    Files that cannot be used are left out and listed in :attr:`rejected`.
    """

    def __init__(
        self,
        paths: str | Path | Iterable[str | Path] = 'data',
        bands: Sequence[str] = (),
        transforms: Callable[[Sample], Sample] | None = None,
    ) -> None:
        """Scan the files.

        Args:
            paths: Folders to walk, or files.
            bands: Bands to read, by number (from 1), by description or by common name
                (``red``, ``nir``, …); empty for all.
            transforms: Applied to each sample.

        Raises:
            MissingPathError: If a path does not exist.
            NoRastersError: If no file can be used.
        """
        self.paths = [str(path) for path in as_paths(paths)]
        self.bands = tuple(str(band) for band in bands)
        self.transforms = transforms
        found = scan(paths, self.bands)
        self.index, self.sensors, self.rejected = found.frame, found.sensors, found.rejected
        self._rows = [row._asdict() for row in self.index.itertuples(index=False)]
        finest = min(self._rows, key=lambda row: row['gsd'])
        self._res = _degrees(finest)
        self._handles: OrderedDict[int, DatasetReader | WarpedVRT] = OrderedDict()
        self._owner = os.getpid()

    def __getstate__(self) -> dict[str, Any]:
        """Leave the open files behind: they belong to one process."""
        return {**self.__dict__, '_handles': OrderedDict()}

    def __getitem__(self, index: GeoSlice) -> Sample:
        """Read a sample.

        Args:
            index: A :class:`TileSlice`, or any TorchGeo slice
                ``[xmin:xmax:xres, ymin:ymax:yres, tmin:tmax]`` in degrees.

        Returns:
            ``image`` (C, H, W) float32 in the file's units, 0 where there is no data;
            ``valid`` (1, H, W) bool; ``gsd`` () float32 in metres; ``footprint`` (4,) float64,
            west, south, east, north in degrees; ``sensor`` () int64, a row of :attr:`sensors`.

        Raises:
            IndexError: If no raster lies there.
        """
        sample = self._native(index) if isinstance(index, TileSlice) else self._warped(index)
        return self.transforms(sample) if self.transforms else sample

    def _native(self, index: TileSlice) -> Sample:
        tile = index.tile
        row = self._rows[tile.row]
        image, valid = self._read(tile)
        window = (tile.col_off, tile.row_off, tile.extent, tile.extent)
        place = geo.footprint(row['grid'], Affine(*row['transform']), window)
        return _sample(image, valid, index.gsd, place, row['sensor'])

    def _read(self, tile: Tile) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Read a tile; what lies beyond the raster is invalid."""
        row, size = self._rows[tile.row], tile.size
        image = np.zeros((len(row['bands']), size, size), np.float32)
        valid = np.zeros((size, size), bool)
        cols = _inside(tile.col_off, tile.extent, row['width'], size)
        rows = _inside(tile.row_off, tile.extent, row['height'], size)
        window = Window(cols[0], rows[0], cols[1] - cols[0], rows[1] - rows[0])
        to = slice(rows[2], rows[3]), slice(cols[2], cols[3])
        shape = (rows[3] - rows[2], cols[3] - cols[2])
        image[:, *to], valid[to] = _read_window(self._open(tile.row), row, window, shape)
        return image, valid

    def _warped(self, index: GeoSlice) -> Sample:
        """Answer a TorchGeo slice: warp every raster there to the index grid, first valid wins."""
        x, y, t = self._disambiguate_slice(index)
        frame = self.index.assign(row=range(len(self.index)))
        frame = frame.iloc[frame.index.overlaps(pd.Interval(t.start, t.stop, closed='both'))]
        rows = frame.cx[x.start : x.stop, y.start : y.stop]['row'].tolist()
        if not rows:
            raise IndexError(f'no raster at {index}; the dataset covers {self.bounds}')
        width, height = round((x.stop - x.start) / x.step), round((y.stop - y.start) / y.step)
        grid = Affine(x.step, 0, x.start, 0, -y.step, y.stop)
        image = np.zeros((len(self._rows[rows[0]]['bands']), height, width), np.float32)
        valid = np.zeros((height, width), bool)
        sensor = None
        for number in rows:
            # Rasters of another sensor have other units: one sample is of one sensor.
            if sensor in (None, self._rows[number]['sensor']):
                data, there = self._warp(number, grid, width, height)
                image = np.where(valid, image, data)
                valid |= there
                sensor = self._rows[number]['sensor'] if valid.any() else None
        across, down = geo.pixel_metres(geo.LONLAT, grid, width / 2, height / 2)
        place = np.array([x.start, y.start, x.stop, y.stop])
        sensor = self._rows[rows[0]]['sensor'] if sensor is None else sensor
        sample = _sample(image, valid, (across * down) ** 0.5, place, sensor)
        transform = torch.tensor(tuple(grid)[:9])
        return {**sample, 'bounds': self._slice_to_tensor(index), 'transform': transform}

    def _warp(
        self, number: int, grid: Affine, width: int, height: int
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        row = self._rows[number]
        with (
            open_raster(row['filepath']) as source,
            _warped_view(source, row, geo.LONLAT, grid, width, height) as view,
        ):
            return _read_window(view, row, Window(0, 0, width, height), (height, width))

    def _open(self, number: int) -> DatasetReader | WarpedVRT:
        """Return an open file, keeping the last :data:`OPEN_FILES` of this process open."""
        if self._owner != os.getpid():
            # A forked worker must not share its parent's file positions.
            self._handles, self._owner = OrderedDict(), os.getpid()
        if number in self._handles:
            self._handles.move_to_end(number)
            return self._handles[number]
        row = self._rows[number]
        handle = open_raster(row['filepath'])
        if row['warp']:
            grid = Affine(*row['transform'])
            handle = _warped_view(handle, row, row['grid'], grid, row['width'], row['height'])
        self._handles[number] = handle
        if len(self._handles) > OPEN_FILES:
            self._handles.popitem(last=False)[1].close()
        return handle


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


def _read_window(
    source: DatasetReader | WarpedVRT, row: dict[str, Any], window: Window, shape: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Read the bands of a window and which pixels are valid.

    Returns:
        Values (C, H, W) float32, 0 where invalid, and validity (H, W).
    """
    bands = list(row['bands'])
    coarser = window.width > shape[1]
    resampling = Resampling.average if coarser else Resampling.bilinear
    flags = source.mask_flag_enums[bands[0] - 1]
    if coarser and MaskFlags.alpha in flags and not row['mask'] and not row['warp']:
        values = _average(source, bands, window, shape)
    else:
        values = source.read(
            bands, window=window, out_shape=(len(bands), *shape), resampling=resampling
        ).astype(np.float32)
    valid = np.isfinite(values).all(0)
    if not np.isnan(row['nodata']):
        valid &= (values != np.float32(row['nodata'])).all(0)
    # GDAL takes an alpha band for a mask only beside one or three bands of 8 or 16 bits.
    added = isinstance(source, WarpedVRT) and source.nodata is None
    alpha = row['mask'] or (source.count if added else 0)
    if alpha:
        cover = source.read(alpha, window=window, out_shape=shape, resampling=resampling)
        # An average takes in what is masked, so it counts only where nothing was.
        least = 0.999 * OPAQUE.get(source.dtypes[alpha - 1], 255) if coarser else 1
        valid &= cover >= least
    elif flags == [MaskFlags.per_dataset]:
        valid &= source.read_masks(bands[0], window=window, out_shape=shape) > 0
    return np.where(valid, values, 0), valid


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


def _warped_view(
    source: DatasetReader, row: dict[str, Any], crs: str, grid: Affine, width: int, height: int
) -> WarpedVRT:
    """View a raster on another grid; what lies beyond it is masked."""
    marked = ColorInterp.alpha in source.colorinterp
    return WarpedVRT(
        _without_alpha(source) if marked and not row['mask'] else source,
        src_nodata=source.nodata,
        crs=crs,
        transform=grid,
        width=width,
        height=height,
        resampling=Resampling.bilinear,
        add_alpha=source.nodata is None and not row['mask'],
    )


def _degrees(row: dict[str, Any]) -> tuple[float, float]:
    """Return a raster's pixel in degrees (x, y) at its middle."""
    window = (row['width'] / 2, row['height'] / 2, 1, 1)
    west, south, east, north = geo.footprint(row['grid'], Affine(*row['transform']), window)
    return float(east - west), float(north - south)


def _sample(
    image: NDArray[np.float32],
    valid: NDArray[np.bool_],
    gsd: float,
    footprint: NDArray[np.float64],
    sensor: int,
) -> Sample:
    return {
        'image': torch.from_numpy(image),
        'valid': torch.from_numpy(valid)[None],
        'gsd': torch.tensor(gsd, dtype=torch.float32),
        'footprint': torch.from_numpy(footprint),
        'sensor': torch.tensor(sensor),
    }
