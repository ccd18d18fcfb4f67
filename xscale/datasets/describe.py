"""Describe one raster: all that is known of it without asking which bands are wanted."""

import math
import os
import re
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import rasterio
import shapely
from affine import Affine
from rasterio.io import DatasetReader
from rasterio.windows import Window

from .. import geo
from ..errors import UnusableError
from . import fetch
from .formats import explain, open_raster
from .placement import unusable
from .remote import is_fetched, is_remote, plain
from .statistics import Survey, alpha_mask, survey, survey_view
from .thinned import on_grid
from .validity import pack_validity
from .windows import warped_view

#: Metres that a raster may span to be warped to a UTM zone, which stretches its edges by 3 % then.
LARGEST = 3e6

#: Pixels along a side, as GDAL and a catalogue count them.
MOST_PIXELS = 2**31 - 1

#: One file of a catalogue, by column; ``reason`` says why it cannot be used, '' where it can.
type Record = dict[str, Any]


def describe(path: str, given: float | None = None) -> Record:
    """Describe one file, or say why it cannot be used.

    Args:
        path: The file, or its address.
        given: Value that is no data where the file declares none.

    Returns:
        ``filepath``, ``size`` in bytes, ``mtime`` in nanoseconds, ``reason``; for a file that
        can be used, all columns of :data:`~xscale.datasets.catalogue.SCHEMA`.
    """
    record: Record = {'filepath': path, 'size': -1, 'mtime': -1, 'given': given, 'reason': ''}
    try:
        # Taken before the file is read: one that changes meanwhile is read again next time.
        record['size'], record['mtime'] = stamp(path)
        return record | fetch.persistently(path, partial(_opened, path, given))
    except Exception as error:  # whatever is wrong with one file, the others are described
        return record | {'reason': explain(error, path)}


def stamp(path: str) -> tuple[int, int]:
    """Return what tells whether a file has changed: its bytes, and when that was in nanoseconds.

    Args:
        path: The file, or its address.

    Returns:
        −1 for both where there is no such file.

    Raises:
        UnusableError: If an address does not lead to a file.
    """
    if is_remote(path):
        return fetch.stamp(path)
    try:
        status = os.stat(path)
    except OSError:
        return -1, -1
    return status.st_size, status.st_mtime_ns


def _opened(path: str, given: float | None) -> Record:
    with open_raster(path) as source:
        problem = unusable(source)
        return {'reason': problem} if problem else _contents(path, source, given)


def _contents(path: str, source: DatasetReader, given: float | None) -> Record:
    grid = choose_grid(source)
    # A file cut short fails at its last pixel, if overviews hid that so far.
    source.read(source.count, window=Window(source.width - 1, source.height - 1, 1, 1))
    mask = alpha_mask(source)
    if mask and source.count == 1:
        raise UnusableError('holds nothing but a mask')
    nodata = given if source.nodata is None else source.nodata
    grid['mask'], grid['nodata'] = mask, float('nan') if nodata is None else float(nodata)
    found = _survey(source, grid, nodata)
    outline = geo.outline(grid['grid'], Affine(*grid['transform']), grid['width'], grid['height'])
    west, south, east, north = outline.bounds
    start, stop = date_of(path)
    return {
        **grid,
        'crs': _short(source.crs),
        'dtype': source.dtypes[0],
        'names': [name or '' for name in source.descriptions],
        'colours': [colour.name for colour in source.colorinterp],
        'overviews': source.overviews(1),
        'mean': found.mean[: source.count].tolist(),
        'std': found.std[: source.count].tolist(),
        'valid': float(found.valid.mean()),
        'validity': pack_validity(found.valid),
        'start': start,
        'stop': stop,
        'bbox': {'xmin': west, 'ymin': south, 'xmax': east, 'ymax': north},
        # A thousandth of its side is enough to draw it and to find it.
        'geometry': shapely.to_wkb(outline.simplify(1e-3 * min(east - west, north - south))),
    }


def _survey(source: DatasetReader, grid: Record, nodata: float | None) -> Survey:
    """Take statistics from the file, and where there is data from the grid tiles are cut from."""
    found = survey(source, grid['mask'], nodata)
    if not found.valid.any():
        raise UnusableError('holds no valid pixel')
    if not grid['warp']:
        return found
    place = grid['grid'], _affine(grid), grid['width'], grid['height']
    if is_fetched(source.name):
        return Survey(found.mean, found.std, on_grid(found.valid, source, *place))
    view = warped_view(source, grid, *place)
    with view:
        return Survey(found.mean, found.std, survey_view(view, grid['mask'], nodata))


def _affine(grid: Record) -> Affine:
    return Affine(*grid['transform'])


def _short(crs: rasterio.CRS) -> str:
    """Return a CRS for people: its code where it has one, else its name."""
    code = crs.to_epsg()
    if code:
        return f'EPSG:{code}'
    name = re.match(r'\w+\["([^"]+)"', crs.to_wkt())
    return name.group(1) if name else 'unnamed'


def choose_grid(source: DatasetReader) -> Record:
    """Choose the grid tiles are cut from: the file's own where its pixels are square on the ground.

    Degrees away from the equator, rotated and south-up rasters get a grid in the local UTM zone.

    Args:
        source: The raster.

    Returns:
        ``grid``, the CRS; ``transform``, six numbers; ``width``; ``height``; ``warp``, whether
        it is another than the file's; ``gsd`` in metres.

    Raises:
        UnusableError: If no grid in metres holds it.
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
        if max(width, height) > MOST_PIXELS:
            raise UnusableError(f'is {width}×{height} px when it is turned upright; cut it up')
    grid = {'grid': crs, 'transform': tuple(transform)[:6], 'width': width, 'height': height}
    return {**grid, 'warp': bool(warp), 'gsd': float(gsd)}


#: A day in a file name: 20190825, 2019-08-25 or 2019_08_25.
_DAY = re.compile(r'(?<!\d)((?:19|20)\d{2})([-_]?)(\d{2})\2(\d{2})(?!\d)')


def date_of(path: str) -> tuple[pd.Timestamp, pd.Timestamp]:
    """Read a day off a file name; any time where there is none.

    Args:
        path: The file.

    Returns:
        Its first and last moment.
    """
    for year, _, month, day in _DAY.findall(Path(plain(path)).name):
        found = pd.to_datetime(f'{year}{month}{day}', format='%Y%m%d', errors='coerce')
        if isinstance(found, pd.Timestamp):
            found = found.as_unit('ns')
            return found, found + pd.Timedelta(days=1) - pd.Timedelta(microseconds=1)
    return pd.Timestamp.min, pd.Timestamp.max
