"""What is found under folders, and what is passed over."""

import os
from pathlib import Path

import pytest

from xscale.datasets.catalogue import catalogue, write_catalogue
from xscale.datasets.find import Rejected, find_rasters, passed_over
from xscale.datasets.index import scan
from xscale.errors import MissingPathError, NoRastersError

from ..data.bad.tiff import build


def raster(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(build())
    return path


def test_walks_folders_and_takes_files(tmp_path: Path) -> None:
    upper = raster(tmp_path / 'deep/er/UPPER.TIF')
    (tmp_path / 'notes.txt').touch()
    assert find_rasters(tmp_path).rasters == (str(upper),)
    assert find_rasters([tmp_path, upper]).rasters == (str(upper),)
    with pytest.raises(MissingPathError, match='nowhere does not exist'):
        find_rasters([tmp_path, tmp_path / 'nowhere'])


def test_follows_links_once(tmp_path: Path) -> None:
    (tmp_path / 'a').mkdir()
    elsewhere = raster(tmp_path / 'elsewhere/x.tif').parent
    (tmp_path / 'a/link').symlink_to(elsewhere)
    (tmp_path / 'a/twice').symlink_to(elsewhere)
    (elsewhere / 'up').symlink_to(tmp_path / 'a')
    assert find_rasters(tmp_path / 'a').rasters == (str(tmp_path / 'a/link/x.tif'),)


def test_passes_over_what_is_hidden(tmp_path: Path) -> None:
    seen = raster(tmp_path / 'x.tif')
    raster(tmp_path / '._x.tif')
    raster(tmp_path / '.trash/y.tif')
    assert find_rasters(tmp_path).rasters == (str(seen),)
    assert find_rasters(tmp_path / '.trash').rasters == (str(tmp_path / '.trash/y.tif'),)


def test_a_folder_called_tif_is_a_folder(tmp_path: Path) -> None:
    inner = raster(tmp_path / 'x.tif/y.tif')
    assert find_rasters(tmp_path).rasters == (str(inner),)


def test_counts_other_formats(tmp_path: Path) -> None:
    raster(tmp_path / 'x.tif')
    for name in ('a.jpg', 'b.JPG', 'c.nc', 'd.txt'):
        (tmp_path / name).touch()
    raster(tmp_path / 'cube.zarr/0/chunk.tif')
    found = find_rasters(tmp_path)
    assert found.others == {'.jpg': 2, '.nc': 1, '.zarr': 1}
    assert len(found.rasters) == 1
    note = 'not looked at: 2 .jpg, 1 .nc, 1 .zarr; only GeoTIFF and JPEG 2000 are read'
    assert passed_over(found.others) == note
    # The second scan takes what it knows of the rasters from the first.
    assert scan(tmp_path).note == scan(tmp_path).note == note
    write_catalogue(catalogue(tmp_path), tmp_path / 'kept.parquet')
    assert scan(tmp_path / 'kept.parquet').note == note
    (tmp_path / 'x.tif').unlink()
    with pytest.raises(NoRastersError, match=r'no GeoTIFF .*\nnot looked at: 2 .jpg'):
        scan(tmp_path)


def test_names_virtual_rasters(tmp_path: Path) -> None:
    (tmp_path / 'x.VRT').touch()
    ((path, reason),) = ((r.path, r.reason) for r in find_rasters(tmp_path).rejected)
    assert path.endswith('x.VRT')
    assert 'may point to any file' in reason


@pytest.mark.parametrize('name', ['x.vrt', 'x.img'])
def test_a_file_asked_for_by_name_is_left_out_with_a_reason(tmp_path: Path, name: str) -> None:
    with pytest.raises(NoRastersError, match=r'virtual raster|only GeoTIFF and JPEG 2000'):
        scan(raster(tmp_path / name))


def test_folders_that_cannot_be_looked_into(tmp_path: Path) -> None:
    """A path longer than the system allows, for root may look into every other folder."""
    seen = raster(tmp_path / 'x.tif')
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(20):
        os.mkdir('d' * 250, dir_fd=here)
        deeper = os.open('d' * 250, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = deeper
    os.close(here)
    found = find_rasters(tmp_path)
    assert found.rasters == (str(seen),)
    assert [r.reason for r in found.rejected] == ['cannot be looked into: File name too long']


@pytest.mark.skipif(os.geteuid() == 0, reason='root may look into every folder')
def test_folders_without_permission(tmp_path: Path) -> None:
    raster(tmp_path / 'locked/x.tif').parent.chmod(0)
    path = str(tmp_path / 'locked')
    assert find_rasters(tmp_path).rejected == (
        Rejected(path, 'cannot be looked into: Permission denied'),
    )


def test_names_that_are_no_text(tmp_path: Path) -> None:
    with open(os.fsencode(tmp_path) + b'/\xff.tif', 'wb') as file:
        file.write(build())
    raster(tmp_path / 'two\nlines.tif')
    japanese = raster(tmp_path / '東京\u3000é.tif')
    found = find_rasters(tmp_path)
    assert found.rasters == (str(japanese),)
    assert [Path(r.path).name for r in found.rejected] == ['\\udcff.tif', 'two\\x0alines.tif']
    assert all('no text' in r.reason for r in found.rejected)
