"""Logs that go on with a run that goes on."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter
from lightning.pytorch.loggers.logger import rank_zero_experiment
from tensorboard.compat.proto.event_pb2 import Event, SessionLog

from .storage import whole


def rewind(logger: Logger, step: int) -> None:
    """Forget what was logged of steps that are about to be trained, perhaps for a second time.

    Args:
        logger: A logger; one that is neither ours nor TensorBoard's is left alone.
        step: First step to come, from 0.
    """
    if isinstance(logger, TableLogger):
        logger.experiment.rewind(step)
    elif isinstance(logger, TensorBoardLogger) and step:
        # What SummaryWriter writes for purge_step, which is not known yet when it is made.
        start = Event(step=step, session_log=SessionLog(status=SessionLog.START))
        logger.experiment._get_file_writer().add_event(start)


class Table(ExperimentWriter):
    """A table on disk that keeps its earlier rows and is whole at any time."""

    metrics: list[dict[str, Any]]

    def __init__(self, log_dir: str) -> None:
        """Find the earlier rows.

        Args:
            log_dir: Folder of ``metrics.csv``.
        """
        super().__init__(log_dir)
        self.path = Path(self.metrics_file_path)
        self.metrics_keys = _columns(self._rows())

    def _check_log_dir_exists(self) -> None:
        """Do not delete the table, as Lightning does."""

    def rewind(self, step: int) -> None:
        """Drop the rows from a step on.

        Args:
            step: The first to drop.
        """
        rows = [row for row in self._rows() if int(row['step']) < step]
        self.metrics_keys = _columns(rows)
        if rows:
            self._write(rows)
        else:
            self.path.unlink(missing_ok=True)

    def save(self) -> None:
        """Add the new rows to the file."""
        if not self.metrics:
            return
        if self._record_new_keys() or not self.path.exists():
            self._write([*self._rows(), *self.metrics])
        else:
            with self.path.open('a', newline='') as file:
                csv.DictWriter(file, self.metrics_keys).writerows(self.metrics)
        self.metrics = []

    def _rows(self) -> list[dict[str, str]]:
        """Read the file, but for a last line that was cut short."""
        if not self.path.exists():
            return []
        with self.path.open(newline='') as file:
            return list(csv.DictReader([line for line in file if line.endswith('\n')]))

    def _write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        text = io.StringIO(newline='')
        writer = csv.DictWriter(text, self.metrics_keys, extrasaction='ignore')
        writer.writeheader()
        writer.writerows(rows)
        with whole(self.path) as file:
            file.write(text.getvalue().encode())


def _columns(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the columns that some row fills; those of another run may stand empty."""
    return sorted({name for row in rows for name, value in row.items() if value != ''})


class TableLogger(CSVLogger):
    """Lightning's logger of ``metrics.csv``, which starts where the one before it ended."""

    _experiment: Table | None

    @property
    @rank_zero_experiment
    def experiment(self) -> Table:
        """The table, opened when it is first asked for."""
        if self._experiment is None:
            self._experiment = Table(self.log_dir)
        return self._experiment
