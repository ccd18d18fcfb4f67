"""Open each raster once and write down what the sampler and the reader need to know of it."""

import math
import os
import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import rasterio
from affine import Affine
from pyproj.exceptions import ProjError
from rasterio.io import DatasetReader
from rasterio.windows import Window

from .. import geo
from ..errors import BandsNotFoundError, MissingPathError, NoRastersError, UnusableError
from ..types import Sensor
from .bands import choose
from .statistics import alpha_mask, group_sensors, quantiles

#: Only these formats are opened, so no file can make the reader fetch another one.
DRIVERS = {'.tif': 'GTiff', '.tiff': 'GTiff', '.jp2': 'JP2OpenJPEG'}

#: Metres that a raster may span to be warped to a UTM zone, which stretches its edges by 3 % then.
LARGEST = 3e6


@dataclass(frozen=True, slots=True)
class Rejected:
    """A file that was left out, and why."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Index:
    """What a scan found.

    Attributes:
        frame: One row a usable raster; geometry in EPSG:4326, indexed by date interval. Columns:
            ``filepath``; ``grid``, the CRS, and ``transform`` (six numbers), ``width`` and
            ``height`` of the grid tiles are cut from; ``warp``, whether that is not the file's
            own; ``gsd`` in metres; ``bands``, the band numbers read; ``mask``, the number of an
            alpha band that is a mask, 0 for none; ``nodata``, NaN for none; ``dtype``;
            ``sensor``, a row of ``sensors``.
        sensors: The sensors, with the mean and deviation of their bands.
        rejected: The files left out.
    """

    frame: gpd.GeoDataFrame
    sensors: tuple[Sensor, ...]
    rejected: tuple[Rejected, ...]


def find_rasters(paths: str | Path | Iterable[str | Path]) -> list[str]:
    """List the raster files under some folders, sorted.

    Args:
        paths: Folders to walk, or files.

    Raises:
        MissingPathError: If a path does not exist.
    """
    found: set[str] = set()
    for path in as_paths(paths):
        if not path.exists():
            raise MissingPathError(path)
        if path.is_file():
            found.add(str(path))
        for folder, _, names in os.walk(path):
            found.update(str(Path(folder, n)) for n in names if Path(n).suffix.lower() in DRIVERS)
    return sorted(found)


def open_raster(path: str) -> DatasetReader:
    """Open a raster with the one driver its suffix allows.

    Args:
        path: The file.

    Raises:
        rasterio.errors.RasterioIOError: If it is not such a file.
    """
    # TorchGeo's command line tells GDAL not to look for masks and overviews beside a file.
    with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN='FALSE'):
        return rasterio.open(path, driver=DRIVERS.get(Path(path).suffix.lower(), 'GTiff'))


def as_paths(paths: str | Path | Iterable[str | Path]) -> list[Path]:
    """Return one path or several as a list.

    Args:
        paths: A path, or an iterable of them.
    """
    return [Path(paths)] if isinstance(paths, str | Path) else [Path(path) for path in paths]


def scan(paths: str | Path | Iterable[str | Path], bands: Sequence[str] = ()) -> Index:
    """Scan folders of rasters.

    Args:
        paths: Folders to walk, or files.
        bands: Bands asked for, by number, description or common name; empty for all.

    Returns:
        The index.

    Raises:
        MissingPathError: If a path does not exist.
        NoRastersError: If no file can be used.
    """
    files = find_rasters(paths)
    with ThreadPoolExecutor(max_workers=min(8, (os.cpu_count() or 1) * 2)) as pool:
        results = list(pool.map(lambda file: _examine(file, bands), files))
    rejected = [result for result in results if isinstance(result, Rejected)]
    records = [result for result in results if not isinstance(result, Rejected)]
    records, odd = _same_band_count(records)
    rejected += odd
    if not records:
        hint = f'bands asked for: {", ".join(bands)}' if bands else ''
        raise NoRastersError(as_paths(paths), [(r.path, r.reason) for r in rejected], hint)
    sensors = group_sensors(records)
    return Index(_frame(records), sensors, tuple(sorted(rejected, key=lambda r: r.path)))


def _examine(path: str, bands: Sequence[str]) -> dict[str, Any] | Rejected:
    """Describe one file, or say why it cannot be used."""
    try:
        with open_raster(path) as source:
            problem = _unusable(source)
            return Rejected(path, problem) if problem else _describe(path, source, bands)
    except (BandsNotFoundError, UnusableError) as error:
        return Rejected(path, str(error))
    except ProjError as error:
        return Rejected(path, f'its coordinate reference system leads nowhere on Earth: {error}')
    except (rasterio.errors.RasterioError, rasterio.errors.CRSError, ValueError) as error:
        cause = error.__cause__ or error
        return Rejected(path, f'cannot be read: {cause}')


def _unusable(source: DatasetReader) -> str | None:
    """Return why a file has no place on the ground, or None."""
    transform = source.transform
    if source.crs is None:
        return 'has no coordinate reference system; write one with gdal_edit -a_srs'
    if transform.is_identity:
        return 'has no georeference: where it lies on the ground is unknown'
    if not np.isfinite(tuple(transform)).all() or transform.determinant == 0:
        return f'its georeference is degenerate: {tuple(transform)[:6]}'
    if any(np.dtype(dtype).kind == 'c' for dtype in source.dtypes):
        return 'holds complex numbers'
    place = geo.outline(source.crs.to_wkt(), transform, source.width, source.height)
    west, south, east, north = place.bounds
    if not (-360 <= west < east <= 360 and -90 <= south < north <= 90):
        return 'lies outside of what its coordinate reference system covers'
    return None


def _describe(path: str, source: DatasetReader, bands: Sequence[str]) -> dict[str, Any]:
    grid, gsd = _grid(source)
    colours = [interpretation.name for interpretation in source.colorinterp]
    choice = choose(bands, source.descriptions, colours, gsd)
    # A mask is found before the bands are read, for it says which of their pixels count.
    mask = alpha_mask(source)
    indexes = choice.indexes if bands else tuple(i for i in choice.indexes if i != mask)
    if not indexes:
        raise UnusableError('holds nothing but a mask')
    # A file cut short fails at its last pixel, if overviews hid that so far.
    source.read(source.count, window=Window(source.width - 1, source.height - 1, 1, 1))
    dtype = source.dtypes[indexes[0] - 1]
    nodata = source.nodatavals[indexes[0] - 1]
    names = tuple(source.descriptions[i - 1] or str(i) for i in indexes)
    return {
        'filepath': path,
        **grid,
        'gsd': gsd,
        'bands': indexes,
        'mask': mask,
        'nodata': float('nan') if nodata is None else float(nodata),
        'dtype': dtype,
        'key': (choice.sensor, names, dtype),
        'quantiles': quantiles(source, indexes, mask, nodata),
        'date': _date(path),
    }


def _grid(source: DatasetReader) -> tuple[dict[str, Any], float]:
    """Choose the grid tiles are cut from: the file's own where its pixels are square on the ground.

    Degrees away from the equator, rotated and south-up rasters get a grid in the local UTM zone.
    """
    crs, transform = source.crs.to_wkt(), source.transform
    width, height = source.width, source.height
    across, down = geo.pixel_metres(crs, transform, width / 2, height / 2)
    gsd = (across * down) ** 0.5
    upright = transform.b == transform.d == 0 and transform.a > 0 > transform.e
    warp = not upright or abs(across / down - 1) > geo.ANISOTROPY
    if warp:
        if max(width * across, height * down) > LARGEST:
            raise UnusableError('spans too much of the globe for one grid in metres; cut it up')
        middle = geo.apply(transform, width / 2, height / 2)
        zone = geo.utm(*geo.transformer(crs, geo.LONLAT).transform(*middle))
        west, south, east, north = geo.outline(crs, transform, width, height, zone).bounds
        crs, transform = zone, Affine(gsd, 0, west, 0, -gsd, north)
        width, height = math.ceil((east - west) / gsd), math.ceil((north - south) / gsd)
    grid = {'grid': crs, 'transform': tuple(transform)[:6], 'width': width, 'height': height}
    return {**grid, 'warp': warp}, float(gsd)


def _date(path: str) -> tuple[pd.Timestamp, pd.Timestamp]:
    """Read a date (YYYYMMDD) off a file name; any time where there is none."""
    for text in re.findall(r'(?<!\d)((?:19|20)\d{6})(?!\d)', Path(path).name):
        day = pd.to_datetime(text, format='%Y%m%d', errors='coerce')
        if day is not pd.NaT:
            return day, day + pd.Timedelta(days=1) - pd.Timedelta(microseconds=1)
    return pd.Timestamp.min, pd.Timestamp.max


def _same_band_count(
    records: list[dict[str, Any]],
) -> tuple[list[dict[str, Any]], list[Rejected]]:
    """Keep the files with valid pixels and the most common number of bands."""
    rejected = [
        Rejected(r['filepath'], 'holds no valid pixel') for r in records if r['quantiles'] is None
    ]
    records = [r for r in records if r['quantiles'] is not None]
    if not records:
        return records, rejected
    counts = pd.Series([len(r['bands']) for r in records])
    usual = int(counts.mode().iloc[-1])
    for record in records:
        if len(record['bands']) != usual:
            reason = (
                f'has {len(record["bands"])} bands where most have {usual}; ask for some by name'
            )
            rejected.append(Rejected(record['filepath'], reason))
    return [r for r in records if len(r['bands']) == usual], rejected


def _frame(records: list[dict[str, Any]]) -> gpd.GeoDataFrame:
    dates = [record.pop('date') for record in records]
    for record in records:
        del record['key'], record['quantiles']
    geometry = [
        geo.outline(r['grid'], Affine(*r['transform']), r['width'], r['height']) for r in records
    ]
    index = pd.IntervalIndex.from_tuples(dates, closed='both', name='datetime')
    frame = pd.DataFrame(records, index=index)
    return gpd.GeoDataFrame(frame, geometry=geometry, crs=geo.LONLAT)
