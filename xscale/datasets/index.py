"""Choose the bands of every raster of a catalogue, and group those that mean the same."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..errors import BandsNotFoundError, NoRastersError, UnusableError
from ..types import Sensor
from .bands import BandChoice, choose
from .catalogue import catalogue, others_of
from .files import COLUMNS, Files, Row, alike, codes_of, whole
from .find import Rejected, passed_over
from .paths import as_paths
from .remote import shown
from .rules import Rule, bundled_rules, meant_by
from .stacks import stack

#: What is needed of a catalogue to choose bands.
TO_CHOOSE = ('reason', 'names', 'colours', 'mean', 'std')

#: Between the joined names of a file's bands.
SEPARATOR = '\x1f'


@dataclass(frozen=True)
class Index:
    """What a scan found.

    Attributes:
        files: The rasters in use.
        sensors: The sensors, with the mean and deviation of their bands.
        rejected: The files left out.
        bands: The bands asked for; empty for all.
        choices: How they were found: of each file that which ``files.choice`` counts.
        note: What was not looked at, in words; empty for nothing.
    """

    files: Files
    sensors: tuple[Sensor, ...]
    rejected: tuple[Rejected, ...]
    bands: tuple[str, ...]
    choices: tuple[BandChoice, ...]
    note: str

    @cached_property
    def frame(self) -> gpd.GeoDataFrame:
        """TorchGeo's index: one row a raster in use."""
        return self.files.frame()


def scan(
    paths: str | Path | Iterable[str | Path],
    bands: Sequence[str] = (),
    rules: Sequence[Rule] = (),
    *,
    mixed: bool = False,
    keep: bool = True,
) -> Index:
    """Scan folders of rasters.

    Args:
        paths: Folders to walk, files, addresses, lists of them (``.txt``), or catalogues
            (``.parquet``).
        bands: Bands asked for, by number, description or common name; empty for all.
        rules: The user's rules on what the bands of files mean.
        mixed: Where all bands are taken, whether files may differ in them.
        keep: Whether what was found is kept, so that the next scan opens only what is new.

    Returns:
        The index.

    Raises:
        MissingPathError: If a path does not exist.
        NoRastersError: If no file can be used.
    """
    table = catalogue(paths, rules, keep, (*COLUMNS, *TO_CHOOSE))
    index = index_of(table, as_paths(paths), bands, rules, mixed=mixed)
    # Columns that have done their work: of a million rasters a quarter of a GiB, which Arrow keeps.
    del table
    pa.default_memory_pool().release_unused()
    return index


def index_of(
    table: pa.Table,
    paths: Sequence[Path | str],
    bands: Sequence[str] = (),
    rules: Sequence[Rule] = (),
    *,
    mixed: bool = False,
) -> Index:
    """Make an index of a catalogue.

    Args:
        table: The catalogue.
        paths: Where it is from, for messages.
        bands: Bands asked for, by number, description or common name; empty for all.
        rules: The user's rules on what the bands of files mean.
        mixed: Where all bands are taken, whether files may differ in them.

    Raises:
        NoRastersError: If no file can be used.
    """
    note = passed_over(others_of(table))
    good = pc.equal(table['reason'], '')
    bad = table.select(['filepath', 'reason']).filter(pc.invert(good)).to_pydict()
    rejected = [Rejected(shown(path), why) for path, why in zip(*bad.values(), strict=True)]
    if rejected:
        table = table.filter(good)
    stacks = stack(table, rules)
    table = stacks.table
    chosen = choose_bands(table, bands, rules, mixed=mixed)
    files = table['filepath']
    reasons = chosen.reasons.items()
    rejected += [Rejected(shown(files[number].as_py()), why) for number, why in reasons]
    rejected.sort(key=lambda r: r.path)
    fit = np.flatnonzero(chosen.choice >= 0)
    if not len(fit):
        asked = f'bands asked for: {", ".join(bands)}; {BandsNotFoundError.REMEDY}'
        hints = [hint for hint in (asked if bands else '', note) if hint]
        where = [shown(str(path)) for path in paths]
        raise NoRastersError(where, [(r.path, r.reason) for r in rejected], '\n'.join(hints))
    if len(fit) < len(table):
        table = table.take(fit)
    choice = chosen.choice[fit]
    sensors, sensor = group_sensors(table, chosen.choices, choice, _group_of(bands, mixed))
    indexes = tuple(one.indexes for one in chosen.choices)
    used = Files(table.select([*COLUMNS, 'first']), indexes, choice, sensor, stacks.parts)
    return Index(used, sensors, tuple(rejected), tuple(bands), tuple(chosen.choices), note)


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


def choose_bands(
    table: pa.Table, bands: Sequence[str], rules: Sequence[Rule] = (), *, mixed: bool = False
) -> Chosen:
    """Find the bands asked for in every file; files alike are looked at once.

    Args:
        table: Usable rows of a catalogue.
        bands: Bands asked for; empty for all but masks.
        rules: The user's rules.
        mixed: Where all bands are taken, whether files may differ in their number.
    """
    found, kind = choices_of(table, bands, rules)
    chosen = Chosen(np.full(len(table), -1, np.int32))
    if not bands and not mixed:
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


def choices_of(
    table: pa.Table, bands: Sequence[str], rules: Sequence[Rule]
) -> tuple[list[BandChoice | str], NDArray[np.integer]]:
    """Find the bands asked for in every kind of file.

    Args:
        table: Usable rows of a catalogue.
        bands: Bands asked for; empty for all but masks.
        rules: The user's rules.

    Returns:
        For each kind its bands, or why they are not there; and the kind of each file, (N,).
    """
    firsts, kind = _kinds(table, rules)
    return [_choose(bands, rules, row) for row in table.take(firsts).to_pylist()], kind


def _kinds(
    table: pa.Table, rules: Sequence[Rule]
) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    """Group files whose bands are found alike: the same names, colours, mask, rules, and GSD.

    Returns:
        The first file of each kind, and the kind of each file.
    """
    joined = (codes_of(pc.binary_join(table[name], SEPARATOR)) for name in ('names', 'colours'))
    names, colours = (codes for codes, _ in joined)
    near = np.round(20 * np.log(table['gsd'].to_numpy())).astype(np.int64)
    meant = meant_by([*rules, *bundled_rules()], table['filepath'])
    return alike(names, colours, table['mask'].to_numpy(), near, meant)


def _choose(bands: Sequence[str], rules: Sequence[Rule], row: Row) -> BandChoice | str:
    """Find the bands in one kind of file, or say why they are not there."""
    names = [name or None for name in row['names']]
    if not bands:
        bands = [str(number) for number in range(1, len(names) + 1) if number != row['mask']]
    try:
        return choose(bands, names, row['colours'], row['gsd'], row['filepath'], rules)
    except (BandsNotFoundError, UnusableError) as error:
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


def _group_of(bands: Sequence[str], mixed: bool) -> Callable[[BandChoice], str]:
    """Say how to name the group of bands that a choice belongs to."""
    if mixed and not bands:
        return lambda choice: group_name(choice.meanings)
    return lambda choice: group_name(bands or [f'{len(choice.indexes)} bands'])


def layer_group(layer: str, group: str) -> str:
    """Name the group of bands of a layer; bands without names mean nothing outside of it.

    Args:
        layer: Name of the layer.
        group: Name of the group in it.
    """
    nameless = re.search(r'(^|-)\d+(-|$)|^\d+_bands$', group)
    return group_name([layer, group]) if nameless else group


def group_name(bands: Sequence[str]) -> str:
    """Name a group of bands, so that a checkpoint can be keyed by it: ``red-green-blue``.

    Args:
        bands: The bands' names.
    """
    return '-'.join(re.sub(r'[^\w-]+', '_', band) for band in bands)


def group_sensors(
    table: pa.Table,
    choices: Sequence[BandChoice],
    choice: NDArray[np.integer],
    group_of: Callable[[BandChoice], str],
) -> tuple[tuple[Sensor, ...], NDArray[np.integer]]:
    """Group the files whose bands mean the same and pool their statistics.

    Args:
        table: Rows of a catalogue.
        choices: The different choices of bands.
        choice: Which of them each file has, (N,).
        group_of: Names the group of bands of a choice.

    Returns:
        The sensors, and which of them each file is of, (N,).
    """
    codes, dtypes = codes_of(table['dtype'])
    first, pair = alike(choice, codes)
    keys = [
        (*_key(choices[choice[at]]), dtypes[codes[at]], group_of(choices[choice[at]]))
        for at in first
    ]
    order = sorted(set(keys), key=str)
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
    for number, (name, bands, given, dtype, group) in enumerate(order):
        measured = (moment[: len(bands), number].tolist() for moment in (centre, spread))
        # A rule's word counts before what was measured.
        moments = [
            tuple(m if g is None else g for g, m in zip(*both, strict=True))
            for both in zip(given, measured, strict=True)
        ]
        called = f'{name} {",".join(bands)} {dtype}'
        sensors.append(Sensor(called, bands, moments[0], moments[1], group))
    return tuple(sensors), sensor


def _key(choice: BandChoice) -> tuple[Any, ...]:
    """Return what files of one sensor have in common, but for the dtype."""
    return choice.sensor, choice.names, (choice.mean, choice.std)
