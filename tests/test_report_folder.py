"""A report is written into its folder when it is whole; an earlier one's files give way."""

import json
import os
from pathlib import Path
from unittest.mock import patch

import pytest

from xscale.commands.report_folder import publish, report_folder
from xscale.errors import ConfigError


def write(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def names(folder: Path) -> set[str]:
    return {one.relative_to(folder).as_posix() for one in folder.rglob('*') if one.is_file()}


def test_what_an_earlier_report_wrote_gives_way(tmp_path: Path) -> None:
    out = tmp_path / 'a report'
    first = write(tmp_path / '1', 'report.html', 'models/0_a.ckpt', 'figures/a.png')
    path = publish({'command': 'first'}, first, out)
    write(out, 'models/mine.ckpt', 'figures/mine.png')
    second = write(tmp_path / '2', 'report.html', 'models/0_b.ckpt', 'figures/a.png')
    assert publish({'command': 'second'}, second, out) == path
    assert names(out) == {
        'results.json',
        'report.html',
        'models/0_b.ckpt',
        'figures/a.png',
        'models/mine.ckpt',
        'figures/mine.png',
    }
    found = json.loads(path.read_text())
    assert found['command'] == 'second'
    assert found['files'] == ['figures/a.png', 'models/0_b.ckpt', 'report.html']


def test_no_empty_folder_stays(tmp_path: Path) -> None:
    out = tmp_path / 'out'
    publish({}, write(tmp_path / '1', 'report.html', 'models/0_a.ckpt', 'figures/a.png'), out)
    publish({}, write(tmp_path / '2', 'report.html', 'figures/b.png'), out)
    assert sorted(one.name for one in out.iterdir()) == ['figures', 'report.html', 'results.json']


@pytest.mark.parametrize(
    'text',
    [
        'no JSON',
        '[]',
        '{}',
        '{"files": 1}',
        '{"files": [1]}',
        json.dumps({'files': ['models/../../mine.ckpt', '/mine.ckpt', 'models/mine.txt', 'x']}),
    ],
)
def test_nothing_else_is_removed(text: str, tmp_path: Path) -> None:
    out = write(tmp_path / 'out', 'models/mine.txt', 'models/mine.ckpt', 'x')
    write(tmp_path, 'mine.ckpt')
    (out / 'results.json').write_text(text)
    publish({}, write(tmp_path / 'made', 'report.html'), out)
    assert names(out) == {'models/mine.txt', 'models/mine.ckpt', 'x', 'report.html', 'results.json'}
    assert (tmp_path / 'mine.ckpt').exists()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / 'out').symlink_to(tmp_path / 'nowhere' / 'else')
    made = write(tmp_path / 'made', 'report.html')
    with pytest.raises(ConfigError, match=r'out cannot be written: .*; choose another folder'):
        publish({}, made, tmp_path / 'out')


def test_folders_that_cannot_be_written_to(tmp_path: Path) -> None:
    """They are refused before anything is measured."""
    file = write(tmp_path, 'file') / 'file'
    with pytest.raises(ConfigError, match='file is a file; choose another folder'):
        report_folder(str(file / 'below')).__enter__()
    new = tmp_path / 'new' / 'report'
    with report_folder(str(new)) as folder:
        assert folder == new
    with (
        patch.object(os, 'access', lambda path, mode: path != tmp_path),
        pytest.raises(ConfigError, match=f'{tmp_path} cannot be written to'),
    ):
        report_folder(str(new)).__enter__()
    assert not new.parent.exists()


def test_unasked_each_run_has_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with report_folder(None) as first, report_folder(None) as second:
        assert (first, second) == (Path('runs/evaluate-1'), Path('runs/evaluate-2'))
        publish({}, write(tmp_path / 'made', 'report.html'), second)
    assert names(tmp_path / 'runs') == {'evaluate-2/report.html', 'evaluate-2/results.json'}
    assert not first.exists()
    with pytest.raises(KeyboardInterrupt), report_folder(None):
        raise KeyboardInterrupt
    assert not first.exists()
    monkeypatch.chdir(write(tmp_path / 'new', 'x'))
    with report_folder(None):
        pass
    assert names(Path()) == {'x'}
    assert not Path('runs').exists()
