"""A catalogue is refreshed by size and time: only what is new or changed is opened."""

import os
from pathlib import Path

from xscale.datasets import catalogue
from xscale.datasets.catalogue import cache_file, read_catalogue
from xscale.datasets.index import scan

from .folder import Kept, names, small


def test_an_unchanged_folder_opens_nothing(kept: Kept, opened: list[str]) -> None:
    folder, _ = kept
    first = catalogue.catalogue(folder)
    assert sorted(opened) == ['a.tif', 'b.tif', 'c.tif']
    before = cache_file(folder).stat()
    opened.clear()
    assert catalogue.catalogue(folder).equals(first)
    assert scan(folder).files.table.equals(scan(folder).files.table)
    assert opened == []
    # Nor is it written again.
    assert cache_file(folder).stat().st_mtime_ns == before.st_mtime_ns


def test_only_what_is_new_or_changed_is_opened(kept: Kept, opened: list[str]) -> None:
    folder, _ = kept
    catalogue.catalogue(folder)
    opened.clear()
    (folder / 'a.tif').unlink()
    small(folder / 'b.tif', side=30)
    small(folder / 'deep/d.tif')
    table = catalogue.catalogue(folder)
    assert sorted(opened) == ['b.tif', 'd.tif']
    assert names(table) == ['b.tif', 'c.tif', 'd.tif']
    assert table['width'].to_pylist() == [30, 20, 20]
    assert read_catalogue(cache_file(folder)).equals(table)


def test_a_file_of_the_same_size_is_told_by_its_time(kept: Kept, opened: list[str]) -> None:
    folder, _ = kept
    catalogue.catalogue(folder)
    size = (folder / 'a.tif').stat().st_size
    small(folder / 'a.tif', value=2)
    assert (folder / 'a.tif').stat().st_size == size
    os.utime(folder / 'a.tif', ns=(1, 1))
    opened.clear()
    table = catalogue.catalogue(folder)
    assert opened == ['a.tif']
    assert table['mean'].to_pylist()[0] == [2]


def test_what_cannot_be_used_is_not_looked_at_again(kept: Kept, opened: list[str]) -> None:
    folder, _ = kept
    (folder / 'text.tif').write_text('I am no raster.')
    first = scan(folder).rejected
    opened.clear()
    assert scan(folder).rejected == first
    assert [Path(r.path).name for r in first] == ['text.tif']
    assert opened == []


def test_other_bands_need_no_other_scan(stack: Path, opened: list[str]) -> None:
    scan(stack)
    opened.clear()
    assert len(scan(stack, ['red']).files) != len(scan(stack, ['height']).files)
    assert opened == []
