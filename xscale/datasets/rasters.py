"""Rasters of any CRS, resolution and dtype in one dataset, each read on its own grid."""

import os
import sys
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import torch
from affine import Affine
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.windows import Window
from torchgeo.datasets import RasterDataset
from torchgeo.datasets.utils import GeoSlice

from .. import geo
from ..errors import ConfigError, UnusableError
from ..types import Sample, Sensor
from .fetch import persistently
from .formats import open_raster
from .index import scan
from .paths import as_paths
from .remote import conceal, shown
from .rules import load_rules
from .windows import Pixels, Reader, Source, Tile, warped_view

#: Open files kept by each process.
OPEN_FILES = 64

#: What reading a file raises that is gone or broken; IndexError where it was replaced by one of
#: fewer bands.
UNREADABLE = (RasterioError, UnusableError, OSError, IndexError)

#: Open files by their row of the index, the one used last at the end.
type Handles = OrderedDict[int, Reader]


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

    Attributes:
        rows: The rasters in use.
        sensors: What ``sensor`` of a sample counts.
        rejected: Files left out, with the reason.
        note: What was not looked at, in words; empty for nothing.
    """

    def __init__(
        self,
        paths: str | Path | Iterable[str | Path] = 'data',
        bands: Sequence[str] = (),
        rules: str | Path | None = None,
        transforms: Callable[[Sample], Sample] | None = None,
        mean: Sequence[float] = (),
        std: Sequence[float] = (),
    ) -> None:
        """Scan the files.

        Args:
            paths: Folders to walk, files, addresses (``https://``, ``s3://``, …), lists of them
                (``.txt``), or catalogues (``.parquet``).
            bands: Bands to read, by number (from 1), by description or by common name
                (``red``, ``nir``, …); empty for all.
            rules: YAML file that says what the bands of files mean.
            transforms: Applied to each sample.
            mean: Mean of each band, in the files' units; measured by the scan by default.
            std: Standard deviation of each band, likewise.

        Raises:
            MissingPathError: If a path does not exist.
            NoRastersError: If no file can be used.
            ConfigError: If a rule is wrong, or the means or deviations do not fit the bands.
        """
        self.paths = [str(path) for path in as_paths(paths)]
        self.bands = tuple(str(band) for band in bands)
        self.transforms = transforms
        found = scan(paths, self.bands, load_rules(rules) if rules else ())
        self.rows, self.rejected, self.note = found.files, found.rejected, found.note
        self.sensors = _given(found.sensors, mean, std)
        self._res = _degrees(self.rows[int(self.rows.gsd.argmin())])
        self._handles: Handles | None = None
        self._owner = 0
        self._broken: set[int] = set()

    @cached_property
    def index(self) -> gpd.GeoDataFrame:  # type: ignore[override]
        """TorchGeo's index, made when it is asked for: our own sampler does without."""
        return self.rows.frame()

    def __len__(self) -> int:
        """Count the rasters, without the index, which TorchGeo would make for it."""
        return len(self.rows)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the open files behind: they belong to one process."""
        return {**self.__dict__, '_handles': None}

    def __getitem__(self, index: GeoSlice) -> Sample:
        """Read a sample.

        Args:
            index: A :class:`TileSlice`, or any TorchGeo slice
                ``[xmin:xmax:xres, ymin:ymax:yres, tmin:tmax]`` in degrees.

        Returns:
            ``image`` (C, H, W) float32 in the file's units, 0 where there is no data;
            ``valid`` (1, H, W) bool; ``gsd`` () float32 in metres; ``footprint`` (4,) float64,
            west, south, east, north in degrees; ``sensor`` () int64, a row of :attr:`sensors`;
            ``unreadable`` () bool. A tile also has its ``row`` () int64 of the index; where its
            file cannot be read any more, it is ``unreadable`` and not ``valid`` anywhere.

        Raises:
            IndexError: If no raster lies there.
        """
        sample = self._native(index) if isinstance(index, TileSlice) else self._warped(index)
        return self.transforms(sample) if self.transforms else sample

    def _native(self, index: TileSlice) -> Sample:
        tile, x, y = index.tile, index[0], index[1]
        pixels = self._read(tile)
        image, valid = pixels or self._nothing(tile)
        place = (x.start, y.start, x.stop, y.stop)
        sensor = int(self.rows.sensor[tile.row])
        sample = _sample(image, valid, index.gsd, place, sensor, pixels is None)
        return {**sample, 'row': torch.from_numpy(np.array(tile.row))}

    def _read(self, tile: Tile) -> Pixels | None:
        """Read a tile, or None where its file is gone or broken, as happens in a long run."""
        path = self.rows.filepath(tile.row)
        try:
            return persistently(path, partial(self._tile, tile))
        except UNREADABLE as error:
            if tile.row not in self._broken:
                reason = conceal(str(error.__cause__ or error), path)
                text = f'xscale: cannot read {shown(path)} ({reason}); its tile stays empty'
                print(text, file=sys.stderr, flush=True)
            self._broken.add(tile.row)
            return None

    def _tile(self, tile: Tile) -> Pixels:
        try:
            return self._open(tile.row).tile(tile)
        except UNREADABLE:
            if self._handles and (reader := self._handles.pop(tile.row, None)):
                reader.source.close()
            raise

    def _nothing(self, tile: Tile) -> Pixels:
        """Return a tile without data."""
        bands = len(self.rows[tile.row]['bands'])
        shape = (tile.size, tile.size)
        return np.zeros((bands, *shape), np.float32), np.zeros(shape, bool)

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
        image = np.zeros((len(self.rows[rows[0]]['bands']), height, width), np.float32)
        valid = np.zeros((height, width), bool)
        sensor = None
        for number in rows:
            # Rasters of another sensor have other units: one sample is of one sensor.
            if sensor in (None, self.rows[number]['sensor']):
                data, there = self._warp(number, grid, width, height)
                image = np.where(valid, image, data)
                valid |= there
                sensor = self.rows[number]['sensor'] if valid.any() else None
        across, down = geo.pixel_metres(geo.LONLAT, grid, width / 2, height / 2)
        place = (x.start, y.start, x.stop, y.stop)
        sensor = self.rows[rows[0]]['sensor'] if sensor is None else sensor
        sample = _sample(image, valid, (across * down) ** 0.5, place, sensor)
        transform = torch.tensor(tuple(grid)[:9])
        return {**sample, 'bounds': self._slice_to_tensor(index), 'transform': transform}

    def _warp(self, number: int, grid: Affine, width: int, height: int) -> Pixels:
        row = self.rows[number]
        with (
            open_raster(row['filepath']) as source,
            warped_view(source, row, geo.LONLAT, grid, width, height) as view,
        ):
            return Reader(view, row).window(Window(0, 0, width, height), (height, width))

    def _open(self, number: int) -> Reader:
        """Return an open file, keeping the last :data:`OPEN_FILES` of this process open."""
        if self._handles is None or self._owner != os.getpid():
            # A forked worker must not share its parent's file positions.
            self._handles, self._owner = OrderedDict(), os.getpid()
            # GDAL complains of files that are still open when Python is half gone.
            weakref.finalize(self, _close, self._handles)
        if number in self._handles:
            self._handles.move_to_end(number)
            return self._handles[number]
        row = self.rows[number]
        handle: Source = open_raster(row['filepath'])
        undeclared = handle.nodata is None and not np.isnan(row['nodata'])
        # Only a view knows of a value that a rule calls no data, and keeps it out of averages.
        if row['warp'] or undeclared:
            grid = Affine(*row['transform'])
            handle = warped_view(handle, row, row['grid'], grid, row['width'], row['height'])
        self._handles[number] = reader = Reader(handle, row)
        if len(self._handles) > OPEN_FILES:
            self._handles.popitem(last=False)[1].source.close()
        return reader


def _close(handles: Handles) -> None:
    for reader in handles.values():
        reader.source.close()
    handles.clear()


def _given(
    sensors: tuple[Sensor, ...], mean: Sequence[float], std: Sequence[float]
) -> tuple[Sensor, ...]:
    """Replace the measured statistics by given ones, if there are any."""
    if not mean and not std:
        return sensors
    bands = len(sensors[0].bands)
    whole = len(mean) == len(std) == bands and np.isfinite([*mean, *std]).all()
    if not whole or min(std) <= 0:
        raise ConfigError(
            f'mean {list(mean)} and std {list(std)}: one number for each of the {bands} bands is '
            'needed in both, and deviations above 0'
        )
    return tuple(replace(sensor, mean=tuple(mean), std=tuple(std)) for sensor in sensors)


def _degrees(row: dict[str, Any]) -> tuple[float, float]:
    """Return a raster's pixel in degrees (x, y) at its middle."""
    window = (row['width'] / 2, row['height'] / 2, 1, 1)
    west, south, east, north = geo.footprint(row['grid'], Affine(*row['transform']), window)
    return float(east - west), float(north - south)


def _sample(
    image: NDArray[np.float32],
    valid: NDArray[np.bool_],
    gsd: float,
    footprint: tuple[float, float, float, float],
    sensor: int,
    unreadable: bool = False,
) -> Sample:
    # Made by NumPy, which takes a fifth of the time for things so small.
    arrays = {
        'image': image,
        'valid': valid[None],
        'gsd': np.array(gsd, np.float32),
        'footprint': np.array(footprint, np.float64),
        'sensor': np.array(sensor),
        'unreadable': np.array(unreadable),
    }
    return {name: torch.from_numpy(array) for name, array in arrays.items()}
