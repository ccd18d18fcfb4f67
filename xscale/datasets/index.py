"""Choose the bands of every raster of a catalogue, and group those that mean the same."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..errors import BandsNotFoundError, NoRastersError
from ..types import Sensor
from .bands import BandChoice, choose
from .catalogue import catalogue
from .files import COLUMNS, Files, codes_of, whole
from .formats import as_paths

#: What is needed of a catalogue to choose bands.
TO_CHOOSE = ('reason', 'names', 'colours', 'nodata', 'mean', 'std')

#: Between the joined names of a file's bands.
SEPARATOR = '\x1f'


@dataclass(frozen=True, slots=True)
class Rejected:
    """A file that was left out, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class Index:
    """What a scan found.

    Attributes:
        files: The rasters in use.
        sensors: The sensors, with the mean and deviation of their bands.
        rejected: The files left out.
    """

    files: Files
    sensors: tuple[Sensor, ...]
    rejected: tuple[Rejected, ...]

    @cached_property
    def frame(self) -> gpd.GeoDataFrame:
        """TorchGeo's index: one row a raster in use."""
        return self.files.frame()


def scan(
    paths: str | Path | Iterable[str | Path], bands: Sequence[str] = (), *, keep: bool = True
) -> Index:
    """Scan folders of rasters.

    Args:
        paths: Folders to walk, files, or catalogues (``.parquet``).
        bands: Bands asked for, by number, description or common name; empty for all.
        keep: Whether what was found is kept, so that the next scan opens only what is new.

    Returns:
        The index.

    Raises:
        MissingPathError: If a path does not exist.
        NoRastersError: If no file can be used.
    """
    table = catalogue(paths, keep, (*COLUMNS, *TO_CHOOSE))
    good = pc.equal(table['reason'], '')
    bad = table.select(['filepath', 'reason']).filter(pc.invert(good)).to_pydict()
    rejected = [Rejected(*pair) for pair in zip(*bad.values(), strict=True)]
    if rejected:
        table = table.filter(good)
    chosen = choose_bands(table, bands)
    files = table['filepath']
    rejected += [Rejected(files[number].as_py(), why) for number, why in chosen.reasons.items()]
    rejected.sort(key=lambda r: r.path)
    fit = np.flatnonzero(chosen.choice >= 0)
    if not len(fit):
        hint = f'bands asked for: {", ".join(bands)}' if bands else ''
        raise NoRastersError(as_paths(paths), [(r.path, r.reason) for r in rejected], hint)
    if len(fit) < len(table):
        table = table.take(fit)
    choice = chosen.choice[fit]
    sensors, sensor = group_sensors(table, chosen.choices, choice)
    nodata = table['nodata'].to_numpy()
    indexes = tuple(one.indexes for one in chosen.choices)
    files = Files(table.select(COLUMNS), indexes, choice, sensor, nodata)
    return Index(files, sensors, tuple(rejected))


@dataclass(slots=True)
class Chosen:
    """The bands of each file of a catalogue.

    Attributes:
        choice: Which of the choices each file has; −1 for none, (N,).
        reasons: Why a file has none, by its number.
        choices: The different choices.
    """

    choice: NDArray[np.int32]
    reasons: dict[int, str] = field(default_factory=dict)
    choices: list[BandChoice] = field(default_factory=list)


def choose_bands(table: pa.Table, bands: Sequence[str]) -> Chosen:
    """Find the bands asked for in every file; files alike are looked at once.

    Args:
        table: Usable rows of a catalogue.
        bands: Bands asked for; empty for all but masks.
    """
    kinds, kind = _kinds(table)
    chosen = Chosen(np.full(len(table), -1, np.int32))
    found = [_choose(bands, *one) for one in kinds]
    if not bands:
        _keep_usual_count(found, kind)
    for number, one in enumerate(found):
        members = np.flatnonzero(kind == number)
        if isinstance(one, BandChoice):
            chosen.choice[members] = len(chosen.choices)
            chosen.choices.append(one)
        else:
            chosen.reasons.update(dict.fromkeys(members.tolist(), one))
    _leave_out_empty_bands(table, chosen)
    return chosen


def _kinds(
    table: pa.Table,
) -> tuple[list[tuple[list[str], list[str], int, float]], NDArray[np.integer]]:
    """Group files whose bands are found alike: names, colours, mask and nearly the same GSD."""
    joined = (codes_of(pc.binary_join(table[name], SEPARATOR)) for name in ('names', 'colours'))
    (names, lists), (colours, marks) = joined
    gsd, mask = table['gsd'].to_numpy(), table['mask'].to_numpy()
    near = np.round(20 * np.log(gsd)).astype(np.int64)
    first, kind = _alike(names, colours, mask, near)
    kinds = [
        (
            lists[names[at]].split(SEPARATOR),
            marks[colours[at]].split(SEPARATOR),
            int(mask[at]),
            float(gsd[at]),
        )
        for at in first
    ]
    return kinds, kind


def _alike(
    *columns: NDArray[np.integer],
) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    """Group the rows that are equal in all columns.

    Returns:
        The first row of each group, and the group of each row.
    """
    group = np.zeros(len(columns[0]), np.int64)
    for column in columns:
        values = column.astype(np.int64) - column.min(initial=0)
        group, _ = pd.factorize(group * (values.max(initial=0) + 1) + values)
    first = np.empty(group.max(initial=-1) + 1, np.int64)
    first[group[::-1]] = np.arange(len(group))[::-1]
    return first, group


def _choose(
    bands: Sequence[str], names: list[str], colours: list[str], mask: int, gsd: float
) -> BandChoice | str:
    """Find the bands in one kind of file, or say why they are not there."""
    described = [name or None for name in names]
    if not bands:
        bands = [str(number) for number in range(1, len(names) + 1) if number != mask]
        if not bands:
            return 'holds nothing but a mask'
    try:
        return choose(bands, described, colours, gsd)
    except BandsNotFoundError as error:
        return str(error)


def _keep_usual_count(found: list[BandChoice | str], kind: NDArray) -> None:
    """Where all bands are taken, leave out files with another number of them than most have."""
    files = np.bincount(kind, minlength=len(found))
    counts: dict[int, int] = {}
    for one, many in zip(found, files.tolist(), strict=True):
        if isinstance(one, BandChoice):
            counts[len(one.indexes)] = counts.get(len(one.indexes), 0) + many
    usual = max(counts, key=lambda count: (counts[count], count), default=0)
    for number, one in enumerate(found):
        if isinstance(one, BandChoice) and len(one.indexes) != usual:
            count = len(one.indexes)
            found[number] = f'has {count} bands where most have {usual}; ask for some by name'


def _leave_out_empty_bands(table: pa.Table, chosen: Chosen) -> None:
    for number, one in enumerate(chosen.choices):
        members = np.flatnonzero(chosen.choice == number)
        empty = np.isnan(_of_bands(table['mean'], members, one.indexes))
        for member in np.flatnonzero(empty.any(1)):
            lacking = [name for name, none in zip(one.names, empty[member], strict=True) if none]
            chosen.choice[members[member]] = -1
            chosen.reasons[int(members[member])] = (
                f'holds no valid pixel of band {", ".join(lacking)}'
            )


def _of_bands(
    column: pa.ChunkedArray, rows: NDArray[np.integer], indexes: Sequence[int]
) -> NDArray[np.float64]:
    """Return what a column says of some bands (from 1) of some files, (rows, bands)."""
    lists = whole(column)
    start = lists.offsets.to_numpy()[rows] - lists.offsets[0].as_py()
    return lists.flatten().to_numpy()[start[:, None] + np.array(indexes) - 1]


def group_sensors(
    table: pa.Table, choices: Sequence[BandChoice], choice: NDArray[np.integer]
) -> tuple[tuple[Sensor, ...], NDArray[np.integer]]:
    """Group the files whose bands mean the same and pool their statistics.

    Args:
        table: Rows of a catalogue.
        choices: The different choices of bands.
        choice: Which of them each file has, (N,).

    Returns:
        The sensors, and which of them each file is of, (N,).
    """
    codes, dtypes = codes_of(table['dtype'])
    first, pair = _alike(choice, codes)
    chosen = [(choices[choice[at]], dtypes[codes[at]]) for at in first]
    keys = [(one.source, one.names, dtype) for one, dtype in chosen]
    order = sorted(set(keys))
    sensor = np.array([order.index(key) for key in keys])[pair]
    mean, std = np.zeros((2, max(len(one.indexes) for one in choices), len(table)))
    for number, one in enumerate(choices):
        rows = np.flatnonzero(choice == number)
        mean[: len(one.indexes), rows] = _of_bands(table['mean'], rows, one.indexes).T
        std[: len(one.indexes), rows] = _of_bands(table['std'], rows, one.indexes).T
    # Files count alike, whatever their size.
    files = np.bincount(sensor)
    centre = np.array([np.bincount(sensor, band) / files for band in mean])
    square = (mean - centre[:, sensor]) ** 2 + std**2
    spread = np.sqrt([np.bincount(sensor, band) / files for band in square])
    spread[spread == 0] = 1.0
    sensors = []
    for number, (source, bands, dtype) in enumerate(order):
        values = (tuple(moment[: len(bands), number].tolist()) for moment in (centre, spread))
        sensors.append(Sensor(f'{source} {",".join(bands)} {dtype}', bands, *values))
    return tuple(sensors), sensor
