"""Names of maps."""

from pathlib import Path

import pytest

from xscale.errors import ConfigError
from xscale.inference.names import map_paths

OUT = Path('maps')


def names(files: list[str], paths: list[Path], ending: str = '') -> list[str]:
    return [path.as_posix() for path in map_paths(files, paths, OUT, ending)]


def test_rasters_keep_their_place_below_a_folder(tmp_path: Path) -> None:
    files = [f'{tmp_path}/a/x.tif', f'{tmp_path}/a/b/x.TIFF', f'{tmp_path}/y.jp2']
    assert names(files, [tmp_path]) == ['maps/a/x.tif', 'maps/a/b/x.tif', 'maps/y.tif']
    (tmp_path / 'a').mkdir()
    both = [tmp_path, tmp_path / 'a']
    assert names(files, both) == ['maps/x.tif', 'maps/b/x.tif', 'maps/y.tif']
    assert names(files[:1], [tmp_path / 'a/x.tif'], '_p') == ['maps/x_p.tif']


def test_addresses_and_rasters_in_several_files() -> None:
    files = ['https://host/f/x.tif?key=1', '/d/T33_{B02,B03}_10m.jp2']
    assert names(files, []) == ['maps/x.tif', 'maps/T33_B02-B03_10m.tif']


def test_two_that_differ_in_their_suffix(tmp_path: Path) -> None:
    files = [f'{tmp_path}/x.jp2', f'{tmp_path}/x.tif']
    assert names(files, [tmp_path]) == ['maps/x.jp2.tif', 'maps/x.tif']


def test_two_of_one_name() -> None:
    with pytest.raises(ConfigError, match=r'/a/x\.tif and /b/x\.tif would both be maps/x\.tif'):
        names(['/a/x.tif', '/b/x.tif'], [])


def test_a_raster_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / 'x.tif').touch()
    with pytest.raises(ConfigError, match='would replace a raster'):
        map_paths([f'{tmp_path}/x.tif'], [tmp_path], tmp_path)
