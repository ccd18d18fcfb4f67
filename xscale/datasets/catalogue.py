"""A catalogue of rasters: each file opened once, kept as GeoParquet, refreshed by size and time."""

import hashlib
import json
import os
import secrets
import sys
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from tqdm import tqdm

from ..errors import CatalogueError, ConfigError, MissingPathError
from .describe import Record, describe
from .find import Found, Rejected, as_paths, find_rasters
from .rules import Rule, bundled_rules
from .seal import is_whole, seal

#: Raised when a column changes its meaning: older catalogues are made anew then.
VERSION = 4

#: Words of which there are few, thousands of letters long some of them.
WORD = pa.dictionary(pa.int32(), pa.string())

#: Columns of a catalogue: one row a file. Those after ``reason`` are empty where it is not.
SCHEMA = pa.schema(
    [
        ('filepath', pa.string()),
        ('size', pa.int64()),
        ('mtime', pa.int64()),
        ('reason', pa.string()),
        # The grid that tiles are cut from, and whether it is another than the file's own.
        ('grid', WORD),
        ('transform', pa.list_(pa.float64())),
        ('width', pa.int32()),
        ('height', pa.int32()),
        ('warp', pa.bool_()),
        ('gsd', pa.float64()),
        ('crs', WORD),
        ('mask', pa.int16()),
        ('nodata', pa.float64()),
        # The value a rule gave at the scan, if one did.
        ('given', pa.float64()),
        ('dtype', WORD),
        ('names', pa.list_(pa.string())),
        ('colours', pa.list_(pa.string())),
        ('overviews', pa.list_(pa.int32())),
        ('mean', pa.list_(pa.float64())),
        ('std', pa.list_(pa.float64())),
        ('valid', pa.float64()),
        ('validity', pa.large_binary()),
        ('start', pa.timestamp('ns')),
        ('stop', pa.timestamp('ns')),
        ('bbox', pa.struct([(name, pa.float64()) for name in ('xmin', 'ymin', 'xmax', 'ymax')])),
        ('geometry', pa.binary()),
    ]
)

#: Key of a catalogue's metadata: how many files of other formats there are, by suffix.
OTHERS = b'xscale:others'

#: Columns are read in parallel by groups of rows; what differs from file to file needs no words.
PARQUET: dict[str, Any] = {
    'compression': 'zstd',
    'row_group_size': 2**16,
    'use_dictionary': [name for name in SCHEMA.names if name not in ('validity', 'geometry')],
}

#: New files after which the catalogue is written, so that a scan that is killed loses little; or
#: a tenth of those it holds, so that a long scan does not spend its time with writing.
EVERY, SHARE = 2000, 0.1

#: Files that are described before the first of them is asked for.
AHEAD = 256


def catalogue(
    paths: str | Path | Iterable[str | Path],
    rules: Sequence[Rule] = (),
    keep: bool = True,
    columns: Sequence[str] = SCHEMA.names,
) -> pa.Table:
    """Describe every raster under some folders.

    Files of the same size and time as at the last scan are not opened again.

    Args:
        paths: Folders to walk, files, or catalogues (``.parquet``), which are taken as they are.
        rules: The user's rules, which may say what value is no data.
        keep: Whether the catalogues of folders are kept in :func:`cache_folder`.
        columns: Columns of :data:`SCHEMA` that are wanted, the path among them.

    Returns:
        One row a file; sorted by path, but for a catalogue that was given.

    Raises:
        MissingPathError: If a path does not exist.
        CatalogueError: If a ``.parquet`` file is no catalogue.
    """
    tables, others = [], Counter[str]()
    for path in as_paths(paths):
        if not path.exists():
            raise MissingPathError(path)
        if path.suffix == '.parquet' and path.is_file():
            tables.append(read_catalogue(path, columns))
            others.update(others_of(tables[-1]))
        else:
            found = find_rasters(path)
            store = cache_file(path) if keep and path.is_dir() else None
            refused = pa.Table.from_pylist([_unread(r) for r in found.rejected], SCHEMA)
            table = _joined([_refresh(found, store, rules), refused])
            tables.append(table.select(columns))
            others.update(found.others)
    table = tables[0]
    if len(tables) > 1:
        table = _joined(tables).combine_chunks()
        # A file that lies under two of the paths counts once.
        files, first = table['filepath'], np.ones(len(table), bool)
        first[1:] = pc.not_equal(files[1:], files[:-1])
        table = table.filter(first)
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
    try:
        return Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache') / 'xscale'
    except RuntimeError as error:
        raise ConfigError(
            'there is no home folder to keep catalogues in; set XSCALE_CACHE to a folder'
        ) from error


def cache_file(root: Path) -> Path:
    """Return where the catalogue of a folder is kept.

    Args:
        root: The folder.
    """
    whole = os.path.abspath(root)
    key = hashlib.sha256(os.fsencode(whole)).hexdigest()[:16]
    name = Path(whole).name[:40] or 'root'
    return cache_folder() / f'catalogues-{VERSION}' / f'{name}-{key}.parquet'


def read_catalogue(file: Path, columns: Sequence[str] = SCHEMA.names) -> pa.Table:
    """Read a catalogue.

    Args:
        file: A GeoParquet file that :func:`write_catalogue` wrote.
        columns: Columns to read.

    Raises:
        CatalogueError: If it is none, or a byte of it has changed.
    """
    try:
        # Opened once: another process may put a new file in its place at any moment.
        with file.open('rb') as opened:
            content = memoryview(mmap(opened.fileno(), 0, access=ACCESS_READ))
        if not is_whole(content):
            raise ValueError(
                'its bytes are not those that a scan wrote: it is damaged, or of another program; '
                'give the folder of the rasters instead'
            )
        source = pq.ParquetFile(pa.BufferReader(pa.py_buffer(content)))
        version = (source.schema_arrow.metadata or {}).get(b'xscale')
        if version != str(VERSION).encode() or not source.schema_arrow.equals(SCHEMA):
            raise ValueError('it is of another version; give the folder of the rasters instead')
        others = (source.schema_arrow.metadata or {}).get(OTHERS, b'{}')
        return source.read(list(columns)).replace_schema_metadata({OTHERS: others})
    except (pa.ArrowException, OSError, ValueError) as error:
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
    part = file.with_suffix(f'.{secrets.token_hex(4)}.part')
    try:
        pq.write_table(table.replace_schema_metadata(metadata), part, **PARQUET)
        seal(part)
        os.replace(part, file)
    finally:
        part.unlink(missing_ok=True)


def _refresh(found: Found, store: Path | None, rules: Sequence[Rule]) -> pa.Table:
    """Describe the files under a folder, the new and changed ones by opening them."""
    files = [os.path.abspath(file) for file in found.rasters]
    known = _kept(store)
    ours = [rule for rule in bundled_rules() if rule.nodata is not None]
    given = _given_nodata(files, ours) | _given_nodata(files, rules)
    kept, new = _sorted_out(known, files, given)
    tables, records, unsaved = [kept], list[Record](), 0
    todo = {file: given.get(file) for file in new}
    try:
        for record in tqdm(_describe_all(todo), 'scanning', len(new), unit='file', delay=1.0):
            records.append(record)
            if len(records) < EVERY:
                continue
            full, records = records, []
            tables.append(pa.Table.from_pylist(full, SCHEMA))
            unsaved += EVERY
            if unsaved >= SHARE * sum(map(len, tables)):
                _keep(_joined(tables), store)
                unsaved = 0
    finally:
        table = _joined([*tables, pa.Table.from_pylist(records, SCHEMA)])
        if new or len(kept) < len(known):
            _keep(table, store)
    return table


def _sorted_out(
    known: pa.Table, files: Sequence[str], given: Mapping[str, float]
) -> tuple[pa.Table, list[str]]:
    """Part what is known of files that are as they were from files that are new or changed."""
    at = {path: number for number, path in enumerate(known['filepath'].to_pylist())}
    stamps = list(zip(*(known[n].to_pylist() for n in ('size', 'mtime', 'given')), strict=True))
    same, new = [], []
    for file in files:
        number = at.get(file)
        if number is not None and stamps[number] == (*_stamp(file), given.get(file)):
            same.append(number)
        else:
            new.append(file)
    return known.take(pa.array(same, pa.int64())), new


def _stamp(file: str) -> tuple[int, int]:
    try:
        status = os.stat(file)
    except OSError:
        return -1, -1
    return status.st_size, status.st_mtime_ns


def _kept(store: Path | None) -> pa.Table:
    """Return what is known from earlier; nothing where that cannot be read."""
    try:
        return SCHEMA.empty_table() if store is None else read_catalogue(store)
    except CatalogueError:
        return SCHEMA.empty_table()


def _joined(tables: Sequence[pa.Table]) -> pa.Table:
    return pa.concat_tables(tables).sort_by('filepath')


def _keep(table: pa.Table, store: Path | None) -> None:
    """Write the catalogue; a full or read-only disk only makes the next scan slower."""
    if store is None:
        return
    try:
        write_catalogue(table, store)
    except OSError as error:
        print(f'xscale: the catalogue is not kept in {store}: {error}', file=sys.stderr)


def _given_nodata(files: Sequence[str], rules: Sequence[Rule]) -> dict[str, float]:
    """Return the value that is no data by the first rule that means a file, where it gives one."""
    given, left = dict[str, float](), pa.array(files, pa.string())
    for rule in rules:
        meant = rule.files.meant(left)
        if rule.nodata is not None:
            given |= dict.fromkeys(left.filter(pa.array(meant)).to_pylist(), rule.nodata)
        left = left.filter(pa.array(~meant))
    return given


def _describe_all(files: Mapping[str, float | None]) -> Iterator[Record]:
    """Describe files, each with what a rule says is no data; GDAL reads in parallel."""
    pool = ThreadPoolExecutor(max_workers=min(8, (os.cpu_count() or 1) * 2))
    waiting: deque[Future[Record]] = deque()
    try:
        for one in files.items():
            waiting.append(pool.submit(describe, *one))
            if len(waiting) > AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
