"""The rasters in use, column by column: millions of them fit, and one is looked up in no time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
from affine import Affine
from numpy.typing import NDArray

from .. import geo
from .validity import Validity, unpack_validity

#: One raster: ``filepath``; ``grid``, the CRS, and ``transform`` (six numbers), ``width`` and
#: ``height`` of the grid tiles are cut from; ``warp``, whether that is not the file's own; ``gsd``
#: in metres; ``bands``, the band numbers read; ``mask``, the number of an alpha band that is a
#: mask, 0 for none; ``nodata``, NaN for none; ``dtype``; ``valid``, the share of pixels that hold
#: data; ``sensor``, a row of the sensors.
type Row = dict[str, Any]

#: What is needed of a catalogue once bands are chosen.
COLUMNS = (
    *('filepath', 'grid', 'transform', 'width', 'height', 'warp', 'gsd', 'mask', 'dtype'),
    *('nodata', 'overviews', 'valid', 'validity', 'start', 'stop', 'bbox', 'geometry'),
)

#: The columns of a row that are plain numbers.
NUMBERS = ('width', 'height', 'warp', 'gsd', 'mask', 'nodata', 'valid', 'sensor')


@dataclass(frozen=True)
class Files(Sequence[Row]):
    """Rasters by column.

    Attributes:
        table: Their rows of the catalogue.
        bands: The different choices of bands.
        choice: Which of them each raster has.
        sensor: The sensor of each raster.
    """

    table: pa.Table
    bands: tuple[tuple[int, ...], ...]
    choice: NDArray[np.integer]
    sensor: NDArray[np.integer]

    @classmethod
    def join(cls, parts: Sequence['Files']) -> 'Files':
        """Put rasters of several indexes into one.

        Args:
            parts: The indexes; sensors are counted on from one to the next.
        """
        bands = [choice for part in parts for choice in part.bands]
        first = np.cumsum([0, *(len(part.bands) for part in parts)])
        sensors = np.cumsum([0, *(part.sensor.max(initial=-1) + 1 for part in parts)])
        choice = [part.choice + start for part, start in zip(parts, first, strict=False)]
        sensor = [part.sensor + start for part, start in zip(parts, sensors, strict=False)]
        table = pa.concat_tables([part.table for part in parts])
        return cls(table, tuple(bands), np.concatenate(choice), np.concatenate(sensor))

    def __getstate__(self) -> dict[str, Any]:
        """Leave behind what is made of the table when it is asked for."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def __len__(self) -> int:
        """Count the rasters."""
        return len(self.table)

    def __getitem__(self, number: int) -> Row:  # type: ignore[override]
        """Return one raster.

        Args:
            number: Its number.
        """
        row = {name: column[number].item() for name, column in self._numbers.items()}
        row['filepath'] = self.path(number)
        row['transform'] = tuple(self.transform[number].tolist())
        row['bands'] = self.bands[self.choice[number]]
        for name, (codes, values) in self._words.items():
            row[name] = values[codes[number]]
        return row

    def __iter__(self) -> Iterator[Row]:
        """Go through the rasters."""
        return (self[number] for number in range(len(self)))

    def path(self, number: int) -> str:
        """Return the path of a raster.

        Args:
            number: Its number.
        """
        return self.table['filepath'][int(number)].as_py()

    def grid(self, number: int) -> tuple[str, Affine]:
        """Return the CRS and the transform of the grid that a raster's tiles are cut from.

        Args:
            number: Its number.
        """
        codes, words = self._words['grid']
        return words[codes[number]], Affine(*self.transform[number].tolist())

    @cached_property
    def _numbers(self) -> dict[str, NDArray[Any]]:
        return {n: self.sensor if n == 'sensor' else self._column(n) for n in NUMBERS}

    @cached_property
    def _words(self) -> dict[str, tuple[NDArray[Any], list[str]]]:
        """Return columns with few different words as codes and words."""
        return {name: codes_of(self.table[name]) for name in ('grid', 'dtype')}

    def _column(self, name: str) -> NDArray[Any]:
        return whole(self.table[name]).to_numpy(zero_copy_only=False)

    @cached_property
    def gsd(self) -> NDArray[np.float64]:
        """Metres per pixel, (N,)."""
        return self._column('gsd')

    @cached_property
    def shape(self) -> NDArray[np.int32]:
        """Columns and rows, (N, 2)."""
        return np.column_stack([self._column('width'), self._column('height')])

    @cached_property
    def transform(self) -> NDArray[np.float64]:
        """Six numbers from pixels to coordinates, (N, 6)."""
        return whole(self.table['transform']).flatten().to_numpy().reshape(-1, 6)

    @cached_property
    def valid(self) -> NDArray[np.float64]:
        """Share of pixels that hold data, (N,)."""
        return self._column('valid')

    @cached_property
    def bounds(self) -> NDArray[np.float64]:
        """West, south, east, north in degrees, (N, 4)."""
        box = whole(self.table['bbox'])
        return np.column_stack([box.field(side).to_numpy() for side in range(4)])

    @cached_property
    def times(self) -> NDArray[np.int64]:
        """First and last moment in nanoseconds since 1970, (N, 2)."""
        sides = [self._column(name).astype(np.int64) for name in ('start', 'stop')]
        return np.column_stack(sides)

    def validity(self, number: int) -> Validity | None:
        """Return where a raster lacks data, None where every pixel is valid.

        Args:
            number: Its number.
        """
        packed = self._validity[int(number)].as_py()
        return None if packed is None else unpack_validity(packed)

    def overviews(self, number: int) -> list[int]:
        """Return the factors of a raster's overviews; none where it is read through a warp.

        Args:
            number: Its number.
        """
        return [] if self._numbers['warp'][number] else self._overviews[int(number)].as_py()

    @cached_property
    def _overviews(self) -> pa.Array:
        return whole(self.table['overviews'])

    @cached_property
    def _validity(self) -> pa.ChunkedArray:
        # Left in its pieces: it is large.
        return self.table['validity']

    def frame(self) -> gpd.GeoDataFrame:
        """Return TorchGeo's index: one row a raster, by date, in EPSG:4326."""
        columns = {'filepath': self.table['filepath'].to_pylist()}
        for name, (codes, words) in self._words.items():
            columns[name] = [words[code] for code in codes]
        columns |= self._numbers
        columns['transform'] = [tuple(six) for six in self.transform.tolist()]
        columns['bands'] = [self.bands[choice] for choice in self.choice]
        start, stop = (pd.DatetimeIndex(column) for column in self.times.T)
        index = pd.IntervalIndex.from_arrays(start, stop, closed='both', name='datetime')
        geometry = gpd.GeoSeries.from_wkb(self.table['geometry'].to_pylist(), index=index)
        frame = pd.DataFrame(columns, index=index)
        return gpd.GeoDataFrame(frame, geometry=geometry, crs=geo.LONLAT)


def whole(column: pa.ChunkedArray) -> pa.Array:
    """Return a column in one piece.

    Args:
        column: The column.
    """
    if pa.types.is_dictionary(column.type):
        column = column.unify_dictionaries()
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def codes_of(column: pa.ChunkedArray) -> tuple[NDArray[np.int32], list[Any]]:
    """Return a column's different values, and which of them each row has.

    Args:
        column: The column.
    """
    coded = whole(column)
    coded = coded if isinstance(coded, pa.DictionaryArray) else coded.dictionary_encode()
    return coded.indices.to_numpy(), coded.dictionary.to_pylist()
