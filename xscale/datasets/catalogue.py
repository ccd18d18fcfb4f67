"""A catalogue of rasters: each file opened once, kept as GeoParquet, refreshed by size and time."""

import hashlib
import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm.auto import tqdm

from ..errors import CatalogueError, MissingPathError
from .describe import Record, describe
from .find import Found, Rejected, as_paths, find_rasters
from .globs import matches, split
from .rules import Rule

#: Raised when a column changes its meaning: older catalogues are made anew then.
VERSION = 2

#: Columns of a catalogue: one row a file. Those after ``reason`` are empty where it is not.
SCHEMA = pa.schema(
    [
        ('filepath', pa.string()),
        ('size', pa.int64()),
        ('mtime', pa.int64()),
        ('reason', pa.string()),
        # The grid that tiles are cut from, and whether it is another than the file's own.
        ('grid', pa.string()),
        ('transform', pa.list_(pa.float64())),
        ('width', pa.int32()),
        ('height', pa.int32()),
        ('warp', pa.bool_()),
        ('gsd', pa.float64()),
        ('crs', pa.string()),
        ('mask', pa.int16()),
        ('nodata', pa.float64()),
        # The value a rule gave at the scan, if one did.
        ('given', pa.float64()),
        ('dtype', pa.string()),
        ('names', pa.list_(pa.string())),
        ('colours', pa.list_(pa.string())),
        ('overviews', pa.list_(pa.int32())),
        ('mean', pa.list_(pa.float64())),
        ('std', pa.list_(pa.float64())),
        ('valid', pa.float64()),
        ('validity', pa.binary()),
        ('start', pa.timestamp('ns')),
        ('stop', pa.timestamp('ns')),
        ('bbox', pa.struct([(name, pa.float64()) for name in ('xmin', 'ymin', 'xmax', 'ymax')])),
        ('geometry', pa.binary()),
    ]
)

#: Key of a catalogue's metadata: how many files of other formats there are, by suffix.
OTHERS = b'xscale:others'

#: New files after which the catalogue is written, so that a scan broken off loses little.
EVERY = 2000


def catalogue(
    paths: str | Path | Iterable[str | Path], rules: Sequence[Rule] = (), keep: bool = True
) -> pa.Table:
    """Describe every raster under some folders.

    Files of the same size and time as at the last scan are not opened again.

    Args:
        paths: Folders to walk, files, or catalogues (``.parquet``), which are taken as they are.
        rules: The user's rules, which may say what value is no data.
        keep: Whether the catalogues of folders are kept in :func:`cache_folder`.

    Returns:
        One row a file, sorted by path, with the columns of :data:`SCHEMA`.

    Raises:
        MissingPathError: If a path does not exist.
        CatalogueError: If a ``.parquet`` file is no catalogue.
    """
    tables, others = [], Counter[str]()
    for path in as_paths(paths):
        if not path.exists():
            raise MissingPathError(path)
        if path.suffix == '.parquet' and path.is_file():
            tables.append(read_catalogue(path))
            others.update(others_of(tables[-1]))
        else:
            found = find_rasters(path)
            store = cache_file(path) if keep and path.is_dir() else None
            table = _refresh(found, store, rules)
            tables.append(_joined(table, [_unread(r) for r in found.rejected]))
            others.update(found.others)
    table = tables[0]
    if len(tables) > 1:
        table = pa.concat_tables(tables)
        # Sorted, and a file that lies under two of the paths once.
        table = table.take(np.unique(table['filepath'].to_numpy(), return_index=True)[1])
    return table.replace_schema_metadata({OTHERS: json.dumps(others)})


def others_of(table: pa.Table) -> dict[str, int]:
    """Return how many files of other formats lie beside the rasters, by suffix.

    Args:
        table: The catalogue.
    """
    return json.loads((table.schema.metadata or {}).get(OTHERS, b'{}'))


def _unread(rejected: Rejected) -> Record:
    path = os.path.abspath(rejected.path)
    return {'filepath': path, 'size': -1, 'mtime': -1, 'reason': rejected.reason}


def cache_folder() -> Path:
    """Return where catalogues are kept: ``XSCALE_CACHE``, or ``xscale`` in the user's cache."""
    if own := os.environ.get('XSCALE_CACHE'):
        return Path(own)
    return Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache') / 'xscale'


def cache_file(root: Path) -> Path:
    """Return where the catalogue of a folder is kept.

    Args:
        root: The folder.
    """
    whole = os.path.abspath(root)
    name = hashlib.sha256(os.fsencode(whole)).hexdigest()[:16]
    return cache_folder() / f'catalogues-{VERSION}' / f'{Path(whole).name or "root"}-{name}.parquet'


def read_catalogue(file: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a catalogue.

    Args:
        file: A GeoParquet file that :func:`write_catalogue` wrote.
        columns: Columns to read; all by default.

    Raises:
        CatalogueError: If it is none.
    """
    try:
        metadata = pq.read_schema(file).metadata or {}
        if metadata.get(b'xscale') != str(VERSION).encode():
            raise CatalogueError(f'{file} is no catalogue of this version; make one: xscale scan')
        return pq.read_table(file, columns=columns, memory_map=True)
    except (pa.ArrowException, OSError) as error:
        raise CatalogueError(f'{file} cannot be read as a catalogue: {error}') from error


def write_catalogue(table: pa.Table, file: Path) -> None:
    """Write a catalogue as GeoParquet, whole or not at all.

    Args:
        table: One row a file.
        file: Where to.
    """
    covering = {'bbox': {name: ['bbox', name] for name in ('xmin', 'ymin', 'xmax', 'ymax')}}
    column = {'encoding': 'WKB', 'geometry_types': ['Polygon'], 'covering': covering}
    geo = {'version': '1.1.0', 'primary_column': 'geometry', 'columns': {'geometry': column}}
    metadata = {b'geo': json.dumps(geo).encode(), b'xscale': str(VERSION).encode()}
    metadata[OTHERS] = json.dumps(others_of(table)).encode()
    file.parent.mkdir(parents=True, exist_ok=True)
    # Two processes may write at once: each its own part, and the last one's whole file stays.
    part = file.with_suffix(f'.{os.getpid()}.part')
    try:
        pq.write_table(table.replace_schema_metadata(metadata), part)
        os.replace(part, file)
    finally:
        part.unlink(missing_ok=True)


def _refresh(found: Found, store: Path | None, rules: Sequence[Rule]) -> pa.Table:
    """Describe the files under a folder, the new and changed ones by opening them."""
    files = [os.path.abspath(file) for file in found.rasters]
    known = _kept(store)
    given = _given_nodata(files, rules)
    at = dict(zip(known['filepath'].to_pylist(), range(len(known)), strict=True))
    stamps = list(zip(*(known[n].to_pylist() for n in ('size', 'mtime', 'given')), strict=True))
    same = [
        at[file]
        for file in files
        if file in at and stamps[at[file]] == (*_stamp(file), given.get(file))
    ]
    kept = known.take(pa.array(same, pa.int64()))
    new = sorted(set(files) - {known['filepath'][number].as_py() for number in same})
    records: list[Record] = []
    try:
        for record in _describe_all({file: given.get(file) for file in new}):
            records.append(record)
            if len(records) % EVERY == 0:
                _keep(_joined(kept, records), store)
    finally:
        table = _joined(kept, records)
        if records or len(kept) < len(known):
            _keep(table, store)
    return table


def _stamp(file: str) -> tuple[int, int]:
    try:
        status = os.stat(file)
    except OSError:
        return -1, -1
    return status.st_size, status.st_mtime_ns


def _kept(store: Path | None) -> pa.Table:
    """Return what is known from earlier; nothing where that cannot be read."""
    if store is not None and store.exists():
        try:
            return read_catalogue(store).select(SCHEMA.names).cast(SCHEMA)
        except (CatalogueError, pa.ArrowException, KeyError):
            pass
    return SCHEMA.empty_table()


def _joined(kept: pa.Table, records: list[Record]) -> pa.Table:
    new = pa.Table.from_pylist(records, SCHEMA)
    return pa.concat_tables([kept, new]).sort_by('filepath')


def _keep(table: pa.Table, store: Path | None) -> None:
    """Write the catalogue; a full or read-only disk only makes the next scan slower."""
    if store is None:
        return
    try:
        write_catalogue(table, store)
    except OSError as error:
        print(f'xscale: the catalogue is not kept in {store}: {error}', file=sys.stderr)


def _given_nodata(files: Sequence[str], rules: Sequence[Rule]) -> dict[str, float]:
    """Return the value that is no data by a rule, for the files that have one."""
    if all(rule.nodata is None for rule in rules):
        return {}
    given = {}
    for file in files:
        names = split(file)
        rule = next((rule for rule in rules if matches(rule.match, names)), None)
        if rule and rule.nodata is not None:
            given[file] = rule.nodata
    return given


def _describe_all(files: Mapping[str, float | None]) -> Iterable[Record]:
    """Describe files, each with what a rule says is no data; GDAL reads in parallel."""
    pool = ThreadPoolExecutor(max_workers=min(8, (os.cpu_count() or 1) * 2))
    try:
        futures = [pool.submit(describe, *one) for one in files.items()]
        bar = tqdm(as_completed(futures), total=len(files), desc='scanning', unit='file', delay=1.0)
        for future in bar:
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)
