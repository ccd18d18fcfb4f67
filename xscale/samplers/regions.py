"""Where tiles may lie: a region of interest."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray
from pyogrio.errors import DataSourceError

from .. import geo
from ..errors import ConfigError, MissingPathError

#: A box beyond 180 degrees is looked for a turn around the globe from there, too.
TURNS = np.array([0.0, -360.0, 360.0])
SHIFTS = np.outer(TURNS, [1, 0, 1, 0])


class Region(Protocol):
    """Says where tiles may lie."""

    def shares(self, bounds: NDArray[np.float64]) -> NDArray[np.float64]:
        """Estimate how much of each raster lies here.

        Args:
            bounds: West, south, east, north in degrees, (N, 4).

        Returns:
            Shares in 0..1; 0 where no tile can lie, (N,).
        """

    def within(self, bounds: NDArray[np.float64]) -> shapely.Geometry | None:
        """Narrow down where the middles of a raster's tiles may lie.

        Args:
            bounds: West, south, east, north of the raster in degrees, (4,).

        Returns:
            A shape in degrees that holds them all; None for all of the raster.
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
        shapes = frame.to_crs(geo.LONLAT).geometry.make_valid().explode()
        polygons = shapes[(shapes.geom_type == 'Polygon') & ~shapes.is_empty]
        if polygons.empty:
            kinds = ', '.join(sorted(set(frame.geom_type.dropna())))
            raise ConfigError(f'{file} holds {kinds}; a region is made of polygons')
        merged = polygons.union_all()
        if not (np.abs(merged.bounds) <= [360, 90, 360, 90]).all():
            raise ConfigError(f'{file} lies outside of what its {frame.crs.name} covers')
        shapely.prepare(merged)
        return cls(merged)

    def shares(self, bounds: NDArray[np.float64]) -> NDArray[np.float64]:
        """Measure how much of each raster the region covers."""
        shares = np.zeros(len(bounds))
        for shift in SHIFTS if np.abs(bounds[:, ::2]).max(initial=0) > 180 else SHIFTS[:1]:
            boxes = shapely.box(*(bounds + shift).T)
            shares[shapely.contains(self.geometry, boxes)] = 1
            partly = np.flatnonzero((shares < 1) & shapely.intersects(self.geometry, boxes))
            common = shapely.area(shapely.intersection(self.geometry, boxes[partly]))
            shares[partly] += common / shapely.area(boxes[partly])
        return np.minimum(shares, 1)

    def within(self, bounds: NDArray[np.float64]) -> shapely.Geometry | None:
        """Cut the region out where a raster lies."""
        if shapely.contains(self.geometry, shapely.box(*bounds)):
            return None
        parts = []
        for shift in SHIFTS:
            part = shapely.clip_by_rect(self.geometry, *(bounds + shift))
            parts.append(shapely.transform(part, lambda place, back=shift[:2]: place - back))
        return shapely.union_all(parts)

    def holds(self, box: NDArray[np.float64]) -> bool:
        """Tell whether a tile's middle lies inside."""
        west, south, east, north = box
        longitudes = (west + east) / 2 + TURNS
        return bool(shapely.contains_xy(self.geometry, longitudes, (south + north) / 2).any())


@dataclass(frozen=True, slots=True)
class Both:
    """Where two regions overlap."""

    first: Region
    second: Region

    def shares(self, bounds: NDArray[np.float64]) -> NDArray[np.float64]:
        """Estimate how much of each raster lies in both, as if they knew nothing of each other."""
        return self.first.shares(bounds) * self.second.shares(bounds)

    def within(self, bounds: NDArray[np.float64]) -> shapely.Geometry | None:
        """Narrow down by both."""
        one, other = self.first.within(bounds), self.second.within(bounds)
        if one is None or other is None:
            return other if one is None else one
        return shapely.intersection(one, other)

    def holds(self, box: NDArray[np.float64]) -> bool:
        """Tell whether a tile lies in both."""
        return self.first.holds(box) and self.second.holds(box)
