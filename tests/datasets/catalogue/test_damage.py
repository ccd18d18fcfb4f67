"""A damaged catalogue is never taken for a whole one."""

import random
from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely

from xscale.datasets import catalogue
from xscale.datasets.catalogue import cache_file, read_catalogue
from xscale.datasets.index import scan
from xscale.datasets.seal import seal
from xscale.errors import CatalogueError

from .folder import Kept


@pytest.mark.parametrize(
    'spoil',
    [
        lambda file: file.write_bytes(b''),
        lambda file: file.write_bytes(b'PAR1 is what it begins with'),
        lambda file: file.write_bytes(file.read_bytes()[:-100]),
        lambda file: file.write_bytes(file.read_bytes()[100:]),
        lambda file: pq.write_table(pa.table({'x': [1]}), file),
        lambda file: sealed(pa.table({'x': [1]}), str(catalogue.VERSION), file),
        lambda file: sealed(pq.read_table(file), '1', file),
        lambda file: gpd.GeoDataFrame(geometry=[shapely.Point(1, 2)]).to_parquet(file),
        lambda file: (file.unlink(), file.mkdir()),
    ],
    ids=[
        *('empty', 'text', 'cut', 'beheaded', 'foreign', 'other columns', 'old', 'geo'),
        'a folder',
    ],
)
def test_a_spoilt_catalogue_is_made_anew(
    kept: Kept, opened: list[str], spoil: Callable[[Path], object]
) -> None:
    folder, _ = kept
    first = catalogue.catalogue(folder)
    file = cache_file(folder)
    opened.clear()
    spoil(file)
    assert catalogue.catalogue(folder).equals(first)
    assert sorted(opened) == ['a.tif', 'b.tif', 'c.tif']
    if file.is_file():
        assert read_catalogue(file).equals(first)


def sealed(table: pa.Table, version: str, file: Path) -> None:
    pq.write_table(table.replace_schema_metadata({'xscale': version}), file)
    seal(file)


def test_any_byte_may_go_wrong(kept: Kept) -> None:
    """Each byte of the file in turn, pages, headers, checksum and footer, in one bit of it."""
    folder, _ = kept
    first = catalogue.catalogue(folder)
    file = cache_file(folder)
    whole, draw = file.read_bytes(), random.Random(0)
    for place in range(len(whole)):
        with file.open('r+b') as spoilt:
            spoilt.seek(place)
            spoilt.write(bytes([whole[place] ^ 1 << draw.randrange(8)]))
        with pytest.raises(CatalogueError, match='damaged'):
            read_catalogue(file)
        with file.open('r+b') as mended:
            mended.seek(place)
            mended.write(whole[place : place + 1])
    assert read_catalogue(file).equals(first)


@pytest.mark.parametrize('place', [0, 0.3, 0.6, 0.9, 0.999], ids=str)
def test_a_damaged_catalogue_is_scanned_anew_or_said_to_be(
    kept: Kept, opened: list[str], place: float
) -> None:
    folder, _ = kept
    first = catalogue.catalogue(folder)
    file, mine = cache_file(folder), folder.parent / 'mine.parquet'
    damaged = bytearray(file.read_bytes())
    damaged[int(place * len(damaged))] ^= 1
    file.write_bytes(damaged)
    mine.write_bytes(damaged)
    opened.clear()
    assert catalogue.catalogue(folder).equals(first)
    assert sorted(opened) == ['a.tif', 'b.tif', 'c.tif']
    assert read_catalogue(file).equals(first)
    with pytest.raises(CatalogueError, match=r'mine\.parquet .* damaged.* give the folder'):
        scan(mine)
