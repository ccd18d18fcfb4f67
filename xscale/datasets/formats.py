"""Which files are opened, and how."""

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import rasterio
from rasterio.io import DatasetReader

from .. import geo
from ..errors import MissingPathError

#: Only these formats are opened, so no file can make the reader fetch another one.
DRIVERS = {'.tif': 'GTiff', '.tiff': 'GTiff', '.jp2': 'JP2OpenJPEG'}


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


def unusable(source: DatasetReader) -> str | None:
    """Return why a file has no place on the ground, or None.

    Args:
        source: The raster.
    """
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
