"""Look at each image once: its size, its metadata, its place. Kept as Parquet in the cache."""

import hashlib
import os
import secrets
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import batched
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from rasterio.errors import RasterioError
from tqdm.auto import tqdm

from ... import geo
from ...errors import UnusableError
from ..catalogue import cache_folder
from ..formats import explain
from .classes import STATISTICS
from .listing import Listing
from .metadata import NOWHERE, Metadata, read_metadata
from .pixels import open_image, without_place

type Record = dict[str, Any]

#: Raised when a column changes its meaning: what was kept before is found anew then.
VERSION = 1

SIDES = ('west', 'south', 'east', 'north')

#: One row an image; those after ``reason`` are empty where it is not.
SCHEMA = pa.schema(
    [
        ('filepath', pa.string()),
        # Size and time of the image, and of its metadata.
        ('stamp', pa.list_(pa.int64(), 4)),
        ('reason', pa.string()),
        ('width', pa.int32()),
        ('height', pa.int32()),
        # Metres per pixel that the metadata state, and along a row and a column as measured.
        ('stated', pa.float64()),
        ('across', pa.float64()),
        ('down', pa.float64()),
        *((side, pa.float64()) for side in SIDES),
        ('time', pa.timestamp('ns')),
        ('boxes', pa.list_(pa.float32())),
        ('categories', pa.list_(pa.string())),
    ]
)

#: Images after which what was found is written, so that a scan that is killed loses little.
EVERY = 20_000

#: Sides of an image and of the one its metadata describe are in one ratio but for this share.
SAME_RATIO = 0.01


def scan(listing: Listing, images: str) -> pa.Table:
    """Look at the images of a split; those that are as they were are not opened again.

    Args:
        listing: The images.
        images: What was looked for in folders: 'rgb' or 'msrgb'.

    Returns:
        Rows of :data:`SCHEMA`, in the order of the listing.
    """
    store = _store(listing.source, images)
    paths, metadata = (listing.images[name].tolist() for name in ('filepath', 'metadata'))
    stamps = [(*_stamp(path), *_stamp(about)) for path, about in zip(paths, metadata, strict=True)]
    known = _kept(store)
    # What could not be used is looked at again: it may have been brought back as it was.
    good = known.filter(pc.equal(known['reason'], ''))
    columns = (good[name].to_pylist() for name in ('filepath', 'stamp'))
    found = {path: tuple(stamp) for path, stamp in zip(*columns, strict=True)}
    new = [number for number, path in enumerate(paths) if found.get(path) != stamps[number]]
    tables = [good]

    def look(number: int) -> Record:
        path, about = paths[number], metadata[number]
        record = describe(path, about, listing.kind, listing.needed)
        return {'filepath': path, 'stamp': stamps[number], **record}

    progress = tqdm(total=len(new), desc='scanning', unit='image', delay=1.0)
    with without_place(), progress:
        for part in batched(new, EVERY):
            tables.append(pa.Table.from_pylist(list(_all(look, part, progress)), SCHEMA))
            _keep(_ordered(tables, paths), store)
    return _ordered(tables, paths)


def describe(path: str, metadata: str, kind: str, needed: bool) -> Record:
    """Look at one image.

    Args:
        path: The image.
        metadata: Its JSON file; '' for none.
        kind: 'rgb' or 'sentinel'.
        needed: Whether it cannot be used without metadata.

    Returns:
        Columns of :data:`SCHEMA`, or the ``reason`` why it cannot be used.
    """
    try:
        record = _image(path, len(STATISTICS[kind]))
        if metadata and (needed or os.path.exists(metadata)):
            record |= _told(read_metadata(metadata), record['width'], record['height'])
        return {'reason': '', **record}
    except (UnusableError, RasterioError, OSError) as error:
        return {'reason': explain(error)}


def _image(path: str, bands: int) -> Record:
    """Open an image; measure its pixels where it has a place on Earth."""
    with closing(open_image(path)) as source:
        if source.count != bands:
            raise UnusableError(f'has {source.count} bands where {bands} are needed')
        record: Record = {'width': source.width, 'height': source.height}
        if source.crs:
            crs, grid, middle = source.crs.to_wkt(), source.transform, (source.width, source.height)
            across, down = geo.pixel_metres(crs, grid, *(side / 2 for side in middle))
            box = geo.footprint(crs, grid, (0, 0, *middle)).tolist()
            record |= {'across': across, 'down': down, **dict(zip(SIDES, box, strict=True))}
    return record


def _told(metadata: Metadata, width: int, height: int) -> Record:
    """Bring what the metadata say to the pixels there are: images may have been made smaller."""
    across, down = (size / side for size, side in zip(metadata.size, (width, height), strict=True))
    # A side of few pixels is rounded to a whole one.
    slack = SAME_RATIO + 1 / min(width, height)
    if abs(across / down - 1) > slack:
        size = '×'.join(map(str, metadata.size))
        raise UnusableError(
            f'has {width}×{height} px where its metadata describe {size}: it was cropped or '
            'stretched, so neither its gsd nor its boxes are known'
        )
    boxes = [
        number / scale
        for box in metadata.boxes
        for number, scale in zip(box, (across, down) * 2, strict=True)
    ]
    place = {} if metadata.bounds == NOWHERE else dict(zip(SIDES, metadata.bounds, strict=True))
    return {
        'stated': metadata.gsd * (across * down) ** 0.5,
        'time': None if np.isnat(metadata.time) else metadata.time,
        'boxes': boxes,
        'categories': list(metadata.categories),
        **{name: value for name, value in place.items() if np.isfinite(value)},
    }


def _all(look: Any, numbers: Iterable[int], progress: tqdm) -> Iterable[Record]:
    """Look at images in parallel: GDAL and the disk do not hold Python up."""
    pool = ThreadPoolExecutor(max_workers=min(8, (os.cpu_count() or 1) * 2))
    try:
        for record in pool.map(look, numbers):
            progress.update()
            yield record
    finally:
        pool.shutdown(cancel_futures=True)


def _ordered(tables: Sequence[pa.Table], paths: Sequence[str]) -> pa.Table:
    """Return the newest row of each path that has one, in the order of the paths."""
    table = pa.concat_tables(tables)
    at = {path: number for number, path in enumerate(table['filepath'].to_pylist())}
    return table.take(pa.array([at[path] for path in paths if path in at], pa.int64()))


def _stamp(file: str) -> tuple[int, int]:
    try:
        status = os.stat(file)
    except OSError:
        return -1, -1
    return status.st_size, status.st_mtime_ns


def _store(source: Path, images: str) -> Path:
    """Return where what is found is kept."""
    whole = os.path.abspath(source)
    key = hashlib.sha256(os.fsencode(f'{images} {whole}')).hexdigest()[:16]
    return cache_folder() / f'fmow-{VERSION}' / f'{Path(whole).stem[:40]}-{key}.parquet'


def _kept(store: Path) -> pa.Table:
    """Return what was found earlier; nothing where that cannot be read."""
    try:
        table = pq.read_table(store, page_checksum_verification=True)
        return table if table.schema.equals(SCHEMA) else SCHEMA.empty_table()
    except (pa.ArrowException, OSError, ValueError):
        return SCHEMA.empty_table()


def _keep(table: pa.Table, store: Path) -> None:
    """Write what was found, whole or not at all; without it the next scan is only slower."""
    part = store.with_suffix(f'.{secrets.token_hex(4)}.part')
    try:
        store.parent.mkdir(parents=True, exist_ok=True)
        try:
            pq.write_table(table, part, compression='zstd', write_page_checksum=True)
            os.replace(part, store)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        print(f'xscale: what the scan found is not kept in {store}: {error}', file=sys.stderr)
