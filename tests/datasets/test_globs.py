"""Which files a pattern means."""

from pathlib import Path

import pyarrow as pa
import pytest

from xscale.datasets.globs import Glob


@pytest.mark.parametrize(
    ('pattern', 'path', 'meant'),
    [
        ('ms*.tif', '/data/a/ms1.tif', True),
        ('MS*.TIF', '/data/a/ms1.tif', True),
        ('ms*.tif', '/DATA/A/MS1.TIF', True),
        ('ms*.tif', '/data/ms1/pan.tif', False),
        ('ms*.tif', '/data/rooms1.tif', False),
        ('ms?.tif', '/data/ms12.tif', False),
        ('ms[0-9].tif', '/data/ms1.tif', True),
        ('ms[!0-9].tif', '/data/ms1.tif', False),
        ('rotterdam/*.tif', '/data/vhr/rotterdam/ms1.tif', True),
        ('rotterdam/*.tif', '/data/vhr_rotterdam/ms1.tif', False),
        ('rotterdam/*.tif', '/data/rotterdam/a/ms1.tif', False),
        ('rotterdam/**/*.tif', '/data/rotterdam/a/b/ms1.tif', True),
        ('rotterdam/**/*.tif', '/data/rotterdam/ms1.tif', True),
        ('rotterdam/**', '/data/rotterdam/a/ms1.tif', True),
        ('rotterdam/**', '/data/rotterdam', False),
        ('**/ms1.tif', '/ms1.tif', True),
        ('**', '/data/ms1.tif', True),
        ('*', '/data/ms1.tif', True),
        ('/data/*.tif', '/data/ms1.tif', True),
        ('/data/*.tif', '/more/data/ms1.tif', False),
        ('/**/ms1.tif', '/more/data/ms1.tif', True),
        ('a+b(1).tif', '/data/a+b(1).tif', True),
        ('[z-a].tif', '/data/z.tif', False),
    ],
)
def test_globs(pattern: str, path: str, meant: bool) -> None:
    assert Glob(pattern).means(path) == meant
    assert Glob(pattern).meant(pa.array([path, path])).tolist() == [meant, meant]


def test_globs_from_the_working_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / 'scenes').mkdir()
    monkeypatch.chdir(tmp_path / 'scenes')
    assert Glob('scenes/*.tif').means('ms1.tif')
    assert Glob('scenes/*.tif').means('../scenes/ms1.tif')
