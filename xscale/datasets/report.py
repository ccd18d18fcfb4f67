"""Say what a catalogue holds: by bands and ground sample distance, and what is left out and why."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import shapely

from .. import geo
from ..errors import BandsNotFoundError
from .bands import BandChoice
from .catalogue import others_of
from .files import Row
from .find import passed_over
from .index import Index, choices_of
from .rules import Rule
from .stacks import stack

#: Files named for one reason before the rest is counted.
NAMED = 8

#: What is said of each raster.
COLUMNS = (
    *('path', 'files', 'reason', 'sensor', 'bands', 'source', 'dtype', 'crs', 'gsd'),
    *('width', 'height', 'nodata', 'date', 'area', 'overviews'),
)

#: What a choice of bands calls its sensor where nothing is known of it.
NAMELESS = ('number', 'colour', 'description')

#: More footprints than this are not merged to measure the ground they share.
MOST_MERGED = 100_000


def describe_files(table: pa.Table, rules: Sequence[Rule] = ()) -> pd.DataFrame:
    """Return what people want to know of each raster of a catalogue.

    Args:
        table: The catalogue.
        rules: The user's rules on what the bands of files mean.

    Returns:
        One row a raster: ``path``, ``files`` (one, or one for each band), ``reason`` (why it
        cannot be used, or ''), ``sensor`` (whose convention or rule its bands follow, or ''),
        ``bands``, ``source`` (who says so),
        ``dtype``, ``crs``, ``gsd`` in metres, ``width``, ``height``, ``nodata`` (share of pixels
        without data), ``date``, ``area`` in km² of pixels with data, ``overviews``.
    """
    stacks = stack(table.filter(pc.equal(table['reason'], '')), rules)
    found, kind = choices_of(stacks.table, (), rules)
    rows = [
        _raster(row, stacks.files(row), found[k])
        for row, k in zip(_plain(stacks.table), kind.tolist(), strict=True)
    ]
    bad = table.filter(pc.not_equal(table['reason'], ''))
    rows += [_left_out(row['filepath'], [row['filepath']], row['reason']) for row in _plain(bad)]
    return pd.DataFrame(rows, columns=COLUMNS).sort_values('path', ignore_index=True)


def _plain(table: pa.Table) -> list[Row]:
    return table.drop_columns(['geometry', 'validity']).to_pylist()


def _left_out(path: str, files: list[str], reason: str) -> Row:
    return {'path': path, 'files': files, 'reason': reason}


def _raster(row: Row, files: list[str], choice: BandChoice | str) -> Row:
    """Describe a raster; ``choice`` says what its bands are, or why a rule leaves it out."""
    if isinstance(choice, str):
        return _left_out(row['filepath'], files, choice)
    dated = row['start'] > pd.Timestamp.min
    return {
        'path': row['filepath'],
        'files': files,
        'reason': '',
        'sensor': choice.sensor if choice.sensor not in NAMELESS else '',
        'bands': _band_names(row, choice),
        'source': choice.source,
        'dtype': row['dtype'],
        'crs': row['crs'],
        'gsd': row['gsd'],
        'width': row['width'],
        'height': row['height'],
        'nodata': 1 - row['valid'],
        'date': row['start'].date().isoformat() if dated else None,
        'area': row['valid'] * row['width'] * row['height'] * row['gsd'] ** 2 / 1e6,
        'overviews': row['overviews'],
    }


def _band_names(row: Row, choice: BandChoice) -> list[str]:
    """Return what each band is called, else its colour, else its number."""
    called = dict(zip(choice.indexes, choice.names, strict=True))
    names = []
    for number, colour in enumerate(row['colours'], 1):
        name = called.get(number, str(number))
        if name == str(number) and colour not in ('gray', 'undefined'):
            name = colour
        names.append('mask' if number == row['mask'] else name)
    return names


def ground(table: pa.Table) -> float | None:
    """Estimate the ground that the usable files have data of, each place once, in km².

    Args:
        table: The catalogue.
    """
    usable = table.filter(pc.equal(table['reason'], ''))
    if not 0 < len(usable) <= MOST_MERGED:
        return None
    outlines = shapely.from_wkb(usable['geometry'])
    area = shapely.area(outlines)
    # A place whose files have holes is taken to have the same share of them.
    share = np.average(usable['valid'], weights=area)
    return share * geo.square_kilometres(shapely.union_all(outlines))


def summarise(
    table: pa.Table, index: Index | None = None, rules: Sequence[Rule] = ()
) -> dict[str, Any]:
    """Put all there is to say into plain values.

    Args:
        table: The catalogue.
        index: The files in use where bands were asked for.
        rules: The user's rules on what the bands of files mean.
    """
    files = describe_files(table, rules)
    usable = files[files['reason'] == '']
    used = [file for each in usable['files'] for file in each]
    groups = []
    if len(usable):
        key = usable['bands'].map(' '.join)
        near = geo.gsd_groups(usable['gsd'].to_numpy())
        for _, group in usable.groupby([near, usable['sensor'], key, usable['dtype']], sort=True):
            groups.append(_group(group))
    summary: dict[str, Any] = {
        'files': int(files['files'].map(len).sum()),
        'rasters': len(files),
        'usable': len(usable),
        'area': float(usable['area'].sum()) if len(usable) else 0.0,
        'ground': ground(table.filter(pc.is_in(table['filepath'], pa.array(used, pa.string())))),
        'groups': groups,
        'rejected': dict(files.loc[files['reason'] != '', ['path', 'reason']].to_numpy().tolist()),
        'others': others_of(table),
    }
    if index is not None:
        summary['in_use'] = _in_use(index)
        summary['without_bands'] = {
            r.path: r.reason for r in index.rejected if r.path not in summary['rejected']
        }
    return summary


def _group(group: pd.DataFrame) -> dict[str, Any]:
    first, dates = group.iloc[0], group['date'].dropna()
    weight = group['width'] * group['height']
    return {
        'rasters': len(group),
        'files': int(group['files'].map(len).sum()),
        'sensor': first['sensor'],
        'bands': first['bands'],
        'dtype': first['dtype'],
        'gsd': [float(group['gsd'].min()), float(group['gsd'].max())],
        'crs': sorted(set(group['crs'])),
        'nodata': float(np.average(group['nodata'], weights=weight)),
        'dates': [dates.min(), dates.max()] if len(dates) else [],
        'area': float(group['area'].sum()),
        'without_overviews': int(
            ((group[['width', 'height']].max(axis=1) > 2048) & ~group['overviews'].map(bool)).sum()
        ),
    }


def _in_use(index: Index) -> list[dict[str, Any]]:
    """Say which bands are read in which files, and how they were found."""
    files, used = index.files, []
    sources = sorted({choice.source for choice in index.choices})
    of_choice = np.array([sources.index(choice.source) for choice in index.choices])
    pairs = np.column_stack([files.sensor, of_choice[files.choice]])
    for number, source in np.unique(pairs, axis=0):
        members = np.flatnonzero((pairs == (number, source)).all(1))
        sensor = index.sensors[number]
        used.append(
            {
                'sensor': sensor.name,
                'files': len(members),
                'bands': dict(zip(index.bands or sensor.bands, sensor.bands, strict=True)),
                'source': sources[source],
                'gsd': sorted({float(f'{gsd:.3g}') for gsd in files.gsd[members]}),
                'mean': list(sensor.mean),
                'std': list(sensor.std),
            }
        )
    return used


def as_text(summary: dict[str, Any]) -> str:
    """Write a summary for people.

    Args:
        summary: What :func:`summarise` returned.
    """
    lines = [f'{summary["usable"]} of {summary["rasters"]} rasters can be used']
    if summary['usable']:
        lines[0] += f', {_area(summary["area"])} km² in all'
        if summary['ground'] is not None:
            lines[0] += f', {_area(summary["ground"])} km² of different ground'
        lines += ['', *_table(summary['groups'])]
    for number, used in enumerate(summary.get('in_use', ())):
        if not number:
            lines += ['', 'the bands asked for:']
        named = ', '.join(
            wanted if wanted == own else f'{wanted} = {own}'
            for wanted, own in used['bands'].items()
        )
        gsds = ', '.join(f'{gsd:.3g}' for gsd in used['gsd'])
        lines.append(
            f'  {used["files"]} × {used["sensor"]}, {gsds} m: {named} (by {used["source"]})'
        )
    without = sum(group['without_overviews'] for group in summary['groups'])
    if without:
        lines += [
            '',
            f'{without} large rasters have no overviews, so coarse tiles are slow to read; '
            'add them with gdaladdo -r average FILE',
        ]
    lines += _reasons('without the bands asked for', summary.get('without_bands', {}))
    if summary.get('without_bands'):
        lines.append(f'  {BandsNotFoundError.REMEDY}')
    lines += _reasons('cannot be used', summary['rejected'])
    if summary['others']:
        lines += ['', passed_over(summary['others'])]
    return '\n'.join(lines)


def _table(groups: Sequence[dict[str, Any]]) -> list[str]:
    head = ('rasters', 'GSD (m)', 'bands', 'type', 'CRS', 'no data', 'dates', 'km²')
    rows = [head]
    for group in groups:
        low, high = (f'{gsd:.3g}' for gsd in group['gsd'])
        sensor = f'{group["sensor"]}: ' if group['sensor'] else ''
        several = f' ({group["files"]} files)' if group['files'] > group['rasters'] else ''
        rows.append(
            (
                str(group['rasters']),
                low if low == high else f'{low}–{high}',
                sensor + _few(group['bands'], 8, ' ') + several,
                group['dtype'],
                _few(group['crs'], 2, ', '),
                f'{group["nodata"]:.1%}',
                ' to '.join(dict.fromkeys(group['dates'])) or '–',
                _area(group['area']),
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    right = {0, 1, 5, 7}
    return [
        '  '
        + '  '.join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _few(words: Sequence[str], most: int, between: str) -> str:
    """Join words; of many the first ones, and how many more there are."""
    if len(words) <= most:
        return between.join(words)
    return between.join([*words[: most - 1], f'+{len(words) - most + 1}'])


def _area(area: float) -> str:
    return f'{area:,.0f}' if area >= 100 else f'{area:.3g}'


def _reasons(what: str, rejected: dict[str, str]) -> Iterable[str]:
    """List files by the reason they are left out for."""
    if not rejected:
        return
    yield from ('', f'{len(rejected)} {what}:')
    for reason, count in Counter(rejected.values()).most_common():
        files = [path for path, why in rejected.items() if why == reason]
        yield f'  {reason}' + (f' ({count} files)' if count > 1 else '')
        yield from (f'    {shorten(path)}' for path in files[:NAMED])
        if count > NAMED:
            yield f'    … and {count - NAMED} more'


def shorten(path: str) -> str:
    """Return a path as seen from the working folder, where it lies in it.

    Args:
        path: An absolute path.
    """
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except ValueError:
        return path
