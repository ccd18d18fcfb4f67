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
import pandas as pd
from affine import Affine
from rasterio.io import DatasetReader
from rasterio.windows import Window

from .. import geo
from ..errors import NoRastersError, UnusableError
from ..types import Sensor
from .bands import choose
from .find import Rejected, as_paths, find_rasters
from .formats import explain, open_raster
from .placement import unusable
from .statistics import alpha_mask, group_sensors, quantiles

#: Metres that a raster may span to be warped to a UTM zone, which stretches its edges by 3 % then.
LARGEST = 3e6


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
        note: What was not looked at, in words.
    """

    frame: gpd.GeoDataFrame
    sensors: tuple[Sensor, ...]
    rejected: tuple[Rejected, ...]
    note: str


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
    found = find_rasters(paths)
    with ThreadPoolExecutor(max_workers=min(8, (os.cpu_count() or 1) * 2)) as pool:
        results = list(pool.map(lambda file: _examine(file, bands), found.rasters))
    rejected = [result for result in (*found.rejected, *results) if isinstance(result, Rejected)]
    records = [result for result in results if not isinstance(result, Rejected)]
    records, odd = _same_band_count(records)
    rejected += odd
    if not records:
        hints = [f'bands asked for: {", ".join(bands)}' if bands else '', found.note()]
        hint = '\n'.join(hint for hint in hints if hint)
        raise NoRastersError(as_paths(paths), [(r.path, r.reason) for r in rejected], hint)
    sensors = group_sensors(records)
    by_path = tuple(sorted(rejected, key=lambda r: r.path))
    return Index(_frame(records), sensors, by_path, found.note())


def _examine(path: str, bands: Sequence[str]) -> dict[str, Any] | Rejected:
    """Describe one file, or say why it cannot be used."""
    try:
        with open_raster(path) as source:
            problem = unusable(source)
            return Rejected(path, problem) if problem else _describe(path, source, bands)
    except Exception as error:  # whatever is wrong with one file, the others are scanned
        return Rejected(path, explain(error))


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
        'key': (choice.source, names, dtype),
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
