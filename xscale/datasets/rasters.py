"""Rasters of any CRS, resolution and dtype in one dataset, each read on its own grid."""

import copy
import os
import sys
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
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
from rasterio.windows import Window
from torchgeo.datasets import RasterDataset
from torchgeo.datasets.utils import GeoSlice

from .. import geo
from ..errors import BrokenFileError
from ..types import Sample
from .coarse import read_square, square_grid
from .fetch import forget
from .files import Files
from .given import given_statistics
from .index import layer_group, scan
from .paths import as_paths
from .readers import Grid, RasterReader
from .remote import is_remote
from .rules import load_rules
from .slices import Coarse, TileSlice
from .windows import Pixels, Tile

#: Open files kept by each process.
OPEN_FILES = 64

#: Open files by their row of the index, the one used last at the end.
type Handles = OrderedDict[int, RasterReader]


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
        rules: str | Path | type | None = None,
        transforms: Callable[[Sample], Sample] | None = None,
        mean: Sequence[float] = (),
        std: Sequence[float] = (),
        mixed: bool = False,
    ) -> None:
        """Scan the files.

        Args:
            paths: Folders to walk, files, addresses (``https://``, ``s3://``, …), lists of them
                (``.txt``), or catalogues (``.parquet``).
            bands: Bands to read, by number (from 1), by description or by common name
                (``red``, ``nir``, …); empty for all.
            rules: YAML file that says what the bands of files mean; or a class derived from
                TorchGeo's ``RasterDataset``, or its dotted path, for the class's files alone.
            transforms: Applied to each sample.
            mean: Mean of each band, in the files' units; measured by the scan by default.
            std: Standard deviation of each band, likewise.
            mixed: Where all bands are taken, whether files may differ in them; samples of fewer
                bands than others are filled up with 0.

        Raises:
            MissingPathError: If a path does not exist.
            NoRastersError: If no file can be used.
            ConfigError: If a rule is wrong, or the means or deviations do not fit the bands.
        """
        self.paths = [str(path) for path in as_paths(paths)]
        self.bands = tuple(str(band) for band in bands)
        self.transforms = transforms
        found = scan(paths, self.bands, load_rules(rules) if rules else (), mixed=mixed)
        self.rows, self.rejected, self.note = found.files, found.rejected, found.note
        self.sensors = given_statistics(found.sensors, mean, std)
        self._begin()

    def _begin(self) -> None:
        """Set up what depends on the rasters, before any is read."""
        self._res = _degrees(self.rows[int(self.rows.gsd.argmin())])
        self._channels = max(len(sensor.bands) for sensor in self.sensors)
        self._handles: Handles | None = None
        self._owner = 0
        self._broken: set[int] = set()

    @classmethod
    def join(cls, layers: Mapping[str, 'Rasters']) -> 'Rasters':
        """Make one dataset of several, each with its own bands.

        Args:
            layers: The datasets by name; a sensor of a layer is called ``LAYER: SENSOR``. Bands
                that are only numbered are a group of that layer alone.
        """
        parts = list(layers.values())
        joined = copy.copy(parts[0])
        for made in ('groups', 'index'):
            joined.__dict__.pop(made, None)
        joined.paths = [path for part in parts for path in part.paths]
        joined.bands = ()
        joined.rows = Files.join([part.rows for part in parts])
        joined.sensors = tuple(
            replace(sensor, name=f'{name}: {sensor.name}', group=layer_group(name, sensor.group))
            for name, part in layers.items()
            for sensor in part.sensors
        )
        joined.rejected = tuple(rejected for part in parts for rejected in part.rejected)
        joined.note = '\n'.join(part.note for part in parts if part.note)
        joined._begin()
        return joined

    @cached_property
    def groups(self) -> dict[str, tuple[str, ...]]:
        """Groups of bands by name, that of most rasters first; see :class:`~xscale.types.Sensor`.

        The bands of a group are called as its first sensor does.
        """
        rasters = np.bincount(self.rows.sensor, minlength=len(self.sensors)).tolist()
        count: dict[str, int] = {}
        for sensor, many in zip(self.sensors, rasters, strict=True):
            count[sensor.group] = count.get(sensor.group, 0) + many
        bands = {sensor.group: sensor.bands for sensor in reversed(self.sensors)}
        return {name: bands[name] for name in sorted(count, key=lambda name: (-count[name], name))}

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
            file cannot be read any more, it is ``unreadable`` and not ``valid`` anywhere. A pair
            also has ``image_coarse``, ``valid_coarse``, ``gsd_coarse``, ``sensor_coarse`` and
            ``row_coarse`` of the same ground in the coarser raster, which fills the upper left of
            its array; ``paired`` () bool, whether that is another raster; and ``days`` ()
            float32 between them, NaN where a date is not known. Of several dates, ``image``
            (T, C, H, W), ``valid`` (T, 1, H, W), ``sensor``, ``row`` and ``unreadable`` (T,) are
            those of each, and ``time`` (T,) float64 is in seconds since 1970.

        Raises:
            IndexError: If no raster lies there.
        """
        sample = self._native(index) if isinstance(index, TileSlice) else self._warped(index)
        return self.transforms(sample) if self.transforms else sample

    def _native(self, index: TileSlice) -> Sample:
        tile, x, y = index.tile, index[0], index[1]
        if index.frames:
            return self._frames(index)
        pixels = self._read(tile.row, lambda reader: reader.tile(tile))
        image, valid = pixels or self._nothing(tile.size)
        place = (x.start, y.start, x.stop, y.stop)
        sensor = int(self.rows.sensor[tile.row])
        sample = _sample(self._filled(image), valid, index.gsd, place, sensor, pixels is None)
        sample['row'] = torch.from_numpy(np.array(tile.row))
        return sample if index.coarse is None else sample | self._coarse(tile, index.coarse)

    def _frames(self, index: TileSlice) -> Sample:
        """Read the ground of a tile at several dates, all on the tile's own grid."""
        tile, x, y, rows = index.tile, index[0], index[1], list(index.frames)
        pixels = [self._read(row, partial(self._ground, tile, row)) for row in rows]
        images, valid = zip(*(one or self._nothing(tile.size) for one in pixels), strict=True)
        arrays = {
            'image': np.stack([self._filled(image) for image in images]),
            'valid': np.stack(valid)[:, None],
            'gsd': np.array(index.gsd, np.float32),
            'footprint': np.array((x.start, y.start, x.stop, y.stop), np.float64),
            'sensor': self.rows.sensor[rows].astype(np.int64),
            'unreadable': np.array([one is None for one in pixels]),
            'row': np.array(rows),
            # The middle of the day, where no more is known.
            'time': self.rows.times[rows].astype(np.float64).mean(1) / 1e9,
        }
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    def _ground(self, tile: Tile, row: int, reader: RasterReader) -> Pixels:
        """Read the ground of a tile from one raster, on the tile's grid."""
        if row == tile.row:
            return reader.tile(tile)
        wanted = square_grid(self.rows.grid(tile.row), tile, tile.size)
        return read_square(reader, self.rows.grid(row), wanted, tile.size)

    def _coarse(self, tile: Tile, coarse: Coarse) -> Sample:
        """Read the ground of a tile from the coarser raster of its pair."""
        wanted = square_grid(self.rows.grid(tile.row), tile, coarse.size)
        own = self.rows.grid(coarse.row)
        pixels = self._read(
            coarse.row, lambda reader: read_square(reader, own, wanted, coarse.size)
        )
        image, valid = pixels or self._nothing(coarse.size)
        canvas = np.zeros((self._channels, coarse.canvas, coarse.canvas), np.float32)
        there = np.zeros((1, coarse.canvas, coarse.canvas), bool)
        canvas[: len(image), : coarse.size, : coarse.size] = image
        there[0, : coarse.size, : coarse.size] = valid
        arrays = {
            'image_coarse': canvas,
            'valid_coarse': there,
            'gsd_coarse': np.array(coarse.gsd, np.float32),
            'sensor_coarse': np.array(int(self.rows.sensor[coarse.row])),
            'row_coarse': np.array(coarse.row),
            'unreadable_coarse': np.array(pixels is None),
            'paired': np.array(coarse.row != tile.row),
            'days': np.array(coarse.days, np.float32),
        }
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    def _filled(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """Give an image as many bands as the widest of the dataset."""
        lacking = self._channels - len(image)
        return np.pad(image, ((0, lacking), (0, 0), (0, 0))) if lacking else image

    def _read(self, number: int, read: Callable[[RasterReader], Pixels]) -> Pixels | None:
        """Read a raster, or None where its file is gone or broken, as happens in a long run."""
        try:
            return self._attempt(number, read)
        except BrokenFileError as error:
            broken = error
        if is_remote(broken.path):
            # GDAL repeats no transfer that broke off in the middle.
            try:
                return self._attempt(number, read)
            except BrokenFileError as error:
                broken = error
        if number not in self._broken:
            print(f'xscale: {broken}; its tile stays empty', file=sys.stderr, flush=True)
        self._broken.add(number)
        return None

    def _attempt(self, number: int, read: Callable[[RasterReader], Pixels]) -> Pixels:
        """Read a raster; close it where that fails."""
        try:
            return read(self._open(number))
        except BrokenFileError as error:
            if self._handles and (reader := self._handles.pop(number, None)):
                reader.close()
            if is_remote(error.path):
                # What came of it is kept as all there is.
                forget(error.path)
            raise

    def _nothing(self, size: int) -> Pixels:
        """Return a square without data."""
        shape = size, size
        return np.zeros((self._channels, *shape), np.float32), np.zeros(shape, bool)

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
        image = np.zeros((self._channels, height, width), np.float32)
        valid = np.zeros((height, width), bool)
        sensor = None
        for number in rows:
            # Rasters of another sensor have other units: one sample is of one sensor.
            if sensor in (None, self.rows[number]['sensor']):
                data, there = self._warp(number, grid, width, height)
                image = np.where(valid, image, self._filled(data))
                valid |= there
                sensor = self.rows[number]['sensor'] if valid.any() else None
        across, down = geo.pixel_metres(geo.LONLAT, grid, width / 2, height / 2)
        place = (x.start, y.start, x.stop, y.stop)
        sensor = self.rows[rows[0]]['sensor'] if sensor is None else sensor
        sample = _sample(image, valid, (across * down) ** 0.5, place, sensor)
        transform = torch.tensor(tuple(grid)[:9])
        return {**sample, 'bounds': self._slice_to_tensor(index), 'transform': transform}

    def _warp(self, number: int, grid: Affine, width: int, height: int) -> Pixels:
        reader = RasterReader(self.rows[number], Grid(geo.LONLAT, grid, width, height))
        try:
            return reader.window(Window(0, 0, width, height), (height, width))
        finally:
            reader.close()

    def _open(self, number: int) -> RasterReader:
        """Return an open raster, keeping the last :data:`OPEN_FILES` of this process open."""
        if self._handles is None or self._owner != os.getpid():
            # A forked worker must not share its parent's file positions.
            self._handles, self._owner = OrderedDict(), os.getpid()
            # GDAL complains of files that are still open when Python is half gone.
            weakref.finalize(self, _close, self._handles)
        if number in self._handles:
            self._handles.move_to_end(number)
            return self._handles[number]
        self._handles[number] = reader = RasterReader(self.rows[number])
        while len(self._handles) > 1 and sum(map(len, self._handles.values())) > OPEN_FILES:
            self._handles.popitem(last=False)[1].close()
        return reader


def _close(handles: Handles) -> None:
    for reader in handles.values():
        reader.close()
    handles.clear()


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
