"""The table of a run is whole at any time and goes on with it."""

import csv
from pathlib import Path

import pytest

from xscale.tasks import TableLogger


def read(folder: Path) -> list[dict[str, str]]:
    with (folder / 'metrics.csv').open(newline='') as file:
        return list(csv.DictReader(file))


def logger(folder: Path) -> TableLogger:
    return TableLogger(folder, name='', version='')


def test_rows_stay(tmp_path: Path) -> None:
    first = logger(tmp_path)
    for step in range(4):
        first.log_metrics({'loss': step / 3}, step)
        first.save()
    second = logger(tmp_path)
    second.experiment.rewind(2)
    second.log_metrics({'loss': 9.0}, 2)
    second.save()
    # A new column is for all rows.
    second.log_metrics({'loss': 9.5, 'speed': 7.0}, 3)
    second.save()
    second.log_metrics({'loss': 9.75}, 4)
    second.finalize('success')
    rows = read(tmp_path)
    assert [row['step'] for row in rows] == [*'01234']
    assert [float(row['loss']) for row in rows] == [0, 1 / 3, 9, 9.5, 9.75]
    assert [row['speed'] for row in rows] == ['', '', '', '7.0', '']


def test_a_row_cut_short_is_dropped(tmp_path: Path) -> None:
    first = logger(tmp_path)
    for step in range(2):
        first.log_metrics({'loss': 0.25, 'speed': 123.5}, step)
        first.save()
    path = tmp_path / 'metrics.csv'
    path.write_bytes(path.read_bytes()[:-4])
    second = logger(tmp_path)
    second.experiment.rewind(5)
    assert read(tmp_path) == [{'loss': '0.25', 'speed': '123.5', 'step': '0'}]


def test_nothing_is_left_of_another_run(tmp_path: Path) -> None:
    first = logger(tmp_path)
    first.log_metrics({'other': 1.0}, 0)
    first.save()
    second = logger(tmp_path)
    second.experiment.rewind(0)
    assert not (tmp_path / 'metrics.csv').exists()
    second.log_metrics({'loss': 2.0}, 0)
    second.save()
    assert read(tmp_path) == [{'loss': '2.0', 'step': '0'}]


def test_columns_change_all_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is killed while it writes a new header leaves the old table."""
    table = logger(tmp_path)
    table.log_metrics({'loss': 1.0}, 0)
    table.save()
    before = (tmp_path / 'metrics.csv').read_bytes()

    def killed(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr('os.replace', killed)
    table.log_metrics({'speed': 1.0}, 1)
    with pytest.raises(KeyboardInterrupt):
        table.save()
    assert (tmp_path / 'metrics.csv').read_bytes() == before
