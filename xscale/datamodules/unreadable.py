"""Count the rasters that could not be read while training went on without them."""

from typing import Protocol

from torch import Tensor

from ..errors import ConfigError, UnreadableError
from ..types import Sample

#: What may fail where nothing else is said: so many rasters, or this share of them if it is more.
FEW, SHARE = 10, 0.01


class Paths(Protocol):
    """Files by number."""

    def __len__(self) -> int:
        """Count them."""

    def path(self, number: int, /) -> str:
        """Return the path of one."""


class Unreadable:
    """The rasters that could not be read so far.

    Attributes:
        files: Their paths, in the order in which they failed.
        limit: How many may fail.
    """

    def __init__(self, rows: Paths | None, limit: int | None = None) -> None:
        """Start without any.

        Args:
            rows: The rasters; None before they are known.
            limit: How many may fail; by default 10, or 1 % of all if that is more.

        Raises:
            ConfigError: If the limit is below 0.
        """
        if limit is not None and limit < 0:
            raise ConfigError(f'max_unreadable {limit}: 0 or a number above is needed')
        self._count = len(rows) if rows else 0
        self.limit = max(FEW, int(SHARE * self._count)) if limit is None else limit
        self.files: list[str] = []
        self._rows = rows

    def __str__(self) -> str:
        """Say how many there were."""
        names = ''.join(f'\n  {path}' for path in self.files)
        return f'rasters that could not be read: {len(self.files)} of {self._count}{names}'

    def count(self, batch: Sample) -> None:
        """Take note of a batch's tiles.

        Args:
            batch: As the data loader gave it, with ``row`` and ``unreadable``, each (B,), and of
                pairs ``row_coarse`` and ``unreadable_coarse``.

        Raises:
            UnreadableError: If more failed than may.
        """
        for part in ('', '_coarse'):
            if f'row{part}' not in batch:
                continue
            for path in self.named(batch[f'row{part}'][batch[f'unreadable{part}']]):
                if path not in self.files:
                    self.files.append(path)
        if len(self.files) > self.limit:
            raise UnreadableError(self.files, self.limit)

    def named(self, rows: Tensor) -> list[str]:
        """Return the distinct files of some rows of the index, in their order.

        Args:
            rows: Rows, shape (B,), or (B, T) of several dates.
        """
        if self._rows is None:
            return []
        return list(dict.fromkeys(self._rows.path(row) for row in rows.flatten().tolist()))
