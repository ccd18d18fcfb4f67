"""What paths a catalogue is made of: folders, files and catalogues, each file once."""

import os
from pathlib import Path

import geopandas as gpd
import pytest
import shapely

from xscale.datasets import catalogue
from xscale.datasets.catalogue import SCHEMA, cache_file
from xscale.datasets.index import scan
from xscale.errors import CatalogueError, MissingPathError, NoRastersError

from .folder import Kept, names, small


def test_a_catalogue_as_a_path_is_taken_as_it_is(kept: Kept, opened: list[str]) -> None:
    folder, _ = kept
    first = scan(folder)
    file = folder.parent / 'mine.parquet'
    file.write_bytes(cache_file(folder).read_bytes())
    for raster in folder.iterdir():
        raster.unlink()
    opened.clear()
    index = scan(file)
    assert index.files.table.equals(first.files.table)
    assert index.sensors == first.sensors
    assert opened == []


@pytest.mark.parametrize('content', [b'', b'text', None])
def test_a_path_that_is_no_catalogue(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / 'x.parquet'
    if content is None:
        gpd.GeoDataFrame(geometry=[shapely.Point(1, 2)], crs=4326).to_parquet(file)
    else:
        file.write_bytes(content)
    with pytest.raises(CatalogueError, match=r'x\.parquet'):
        scan(file)


def test_a_folder_may_be_called_parquet(tmp_path: Path) -> None:
    assert len(scan(small(tmp_path / 'x.parquet/a.tif').parent).files) == 1


def test_a_file_under_two_paths_counts_once(
    kept: Kept, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder, _ = kept
    scan(folder)
    copy = folder.parent / 'copy.parquet'
    copy.write_bytes(cache_file(folder).read_bytes())
    monkeypatch.chdir(folder)
    for paths in (
        [folder, folder],
        [folder / 'a.tif', folder],
        [folder, '.', 'b.tif', '../data/c.tif'],
        [copy, folder],
        [folder.parent, folder],
    ):
        table = catalogue.catalogue(paths)
        assert names(table) == ['a.tif', 'b.tif', 'c.tif']
        assert table.schema.equals(SCHEMA)


def test_relative_and_absolute_paths_are_one(
    kept: Kept, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = kept
    table = catalogue.catalogue(folder)
    opened.clear()
    monkeypatch.chdir(folder.parent)
    assert catalogue.catalogue('data').equals(table)
    assert catalogue.catalogue(Path('data/../data')).equals(table)
    assert opened == []
    assert all(os.path.isabs(path) for path in table['filepath'].to_pylist())


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(MissingPathError):
        catalogue.catalogue([tmp_path, tmp_path / 'nowhere'])
    (tmp_path / 'one').mkdir()
    (tmp_path / 'two').mkdir()
    with pytest.raises(NoRastersError, match='no GeoTIFF'):
        scan([tmp_path / 'one', tmp_path / 'two'])
