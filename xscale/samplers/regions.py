"""Where tiles may lie: a region of interest, and ground kept apart for validation."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray
from pyogrio.errors import DataSourceError

from .. import geo
from ..errors import ConfigError, MissingPathError

#: Metres of a degree of latitude.
DEGREE = 111_320.0

#: Side of a block of ground in tiles.
BLOCK = 4


class Region(Protocol):
    """Says where tiles may lie."""

    def meets(self, bounds: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Tell which rasters may have a tile here.

        Args:
            bounds: West, south, east, north in degrees, (N, 4).

        Returns:
            False where no tile can lie, (N,).
        """

    def holds(self, box: NDArray[np.float64]) -> bool:
        """Tell whether a tile lies here.

        Args:
            box: West, south, east, north in degrees, (4,).
        """


@dataclass(frozen=True, slots=True)
class Area:
    """A region of interest: tiles whose middle lies inside.

    Attributes:
        geometry: The region in EPSG:4326.
    """

    geometry: shapely.Geometry

    @classmethod
    def read(cls, file: str | Path) -> 'Area':
        """Read the polygons of a vector file (GeoPackage, GeoJSON, Shapefile, …).

        Args:
            file: The file.

        Raises:
            MissingPathError: If there is none.
            ConfigError: If it holds no polygon, or none on the ground.
        """
        if not Path(file).exists():
            raise MissingPathError(file)
        try:
            frame = gpd.read_file(file)
        except (DataSourceError, ValueError) as error:
            raise ConfigError(f'{file} cannot be read as a vector file: {error}') from error
        if not isinstance(frame, gpd.GeoDataFrame) or frame.geometry.isna().all():
            raise ConfigError(f'{file} holds no geometry; a region is made of polygons')
        if frame.crs is None:
            raise ConfigError(f'{file} has no coordinate reference system')
        merged = frame.to_crs(geo.LONLAT).geometry.make_valid().union_all()
        if not merged.area > 0:
            kinds = ', '.join(sorted(set(frame.geom_type.dropna())))
            raise ConfigError(f'{file} holds {kinds}; a region is made of polygons')
        shapely.prepare(merged)
        return cls(merged)

    def meets(self, bounds: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Tell which rasters reach into the region."""
        return shapely.intersects(shapely.box(*bounds.T), self.geometry)

    def holds(self, box: NDArray[np.float64]) -> bool:
        """Tell whether a tile's middle lies inside."""
        west, south, east, north = box
        longitude = (west + east) / 2
        # Beyond the antimeridian a tile's box goes on past 180 degrees.
        return any(
            shapely.contains_xy(self.geometry, longitude + turn, (south + north) / 2)
            for turn in (0, -360)
        )


@dataclass(frozen=True, slots=True)
class Blocks:
    """The globe in square blocks of ground, some of which are kept for validation.

    A training tile touches none of these; a validation tile lies wholly inside them. So no two
    share ground, whatever rasters, sensors and dates they are from.

    Attributes:
        side: Side of a block in metres.
        kept: Row and column of the blocks kept for validation.
        part: Whose tiles these are.
    """

    side: float
    kept: frozenset[tuple[int, int]]
    part: Literal['train', 'validation']

    def meets(self, bounds: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Tell which rasters may have a tile here; larger ones than a block always may."""
        if self.part == 'train':
            return np.ones(len(bounds), bool)
        found = bounds[:, 3] - bounds[:, 1] > self.side / DEGREE
        kept = np.array(sorted(self.kept))
        keys = kept[:, 0] * 2**32 + kept[:, 1]
        for east, north in ((0, 1), (0, 3), (2, 1), (2, 3)):
            row, col = blocks_at(bounds[:, east], bounds[:, north], self.side)
            found |= np.isin(row * 2**32 + col, keys)
        return found

    def holds(self, box: NDArray[np.float64]) -> bool:
        """Tell whether a tile lies in this part's ground."""
        touched = [block in self.kept for block in blocks_of(box, self.side)]
        return all(touched) if self.part == 'validation' else not any(touched)


@dataclass(frozen=True, slots=True)
class Both:
    """Where two regions overlap."""

    first: Region
    second: Region

    def meets(self, bounds: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Tell which rasters may have a tile in both."""
        return self.first.meets(bounds) & self.second.meets(bounds)

    def holds(self, box: NDArray[np.float64]) -> bool:
        """Tell whether a tile lies in both."""
        return self.first.holds(box) and self.second.holds(box)


def blocks_at(
    lon: NDArray[np.float64], lat: NDArray[np.float64], side: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the block of each place: rows of equal latitude, as many columns as fit around.

    Args:
        lon: Longitudes in degrees, (N,).
        lat: Latitudes in degrees, (N,).
        side: Side of a block in metres.
    """
    row = np.floor(np.asarray(lat) * DEGREE / side).astype(np.int64)
    around = _around(row, side)
    col = np.floor((np.asarray(lon) + 180) % 360 / 360 * around).astype(np.int64)
    return row, col


def _around(row: NDArray[np.int64], side: float) -> NDArray[np.int64]:
    """Count the columns of a row of blocks."""
    latitude = np.clip((row + 0.5) * side / DEGREE, -90, 90)
    return np.maximum(1, np.floor(360 * DEGREE * np.cos(np.radians(latitude)) / side)).astype(
        np.int64
    )


def blocks_of(box: NDArray[np.float64], side: float) -> list[tuple[int, int]]:
    """Return the blocks a box touches.

    Args:
        box: West, south, east, north in degrees, (4,).
        side: Side of a block in metres.
    """
    west, south, east, north = box
    touched = []
    for row in range(math.floor(south * DEGREE / side), math.floor(north * DEGREE / side) + 1):
        around = int(_around(np.array(row), side))
        first, last = (math.floor((lon + 180) / 360 * around) for lon in (west, east))
        touched += [(row, col % around) for col in range(first, last + 1)]
    return touched


def box_of(block: tuple[int, int], side: float) -> tuple[float, float, float, float]:
    """Return west, south, east, north of a block in degrees.

    Args:
        block: Its row and column.
        side: Side of a block in metres.
    """
    row, col = block
    around, tall = int(_around(np.array(row), side)), side / DEGREE
    west = col * 360 / around - 180
    return west, row * tall, west + 360 / around, (row + 1) * tall
