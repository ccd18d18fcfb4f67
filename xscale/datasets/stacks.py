"""Put files that hold one band each together: those of one scene on one grid are one raster."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from .conventions import CONVENTIONS
from .files import Row, alike, codes_of, whole
from .globs import several_paths
from .rules import Rule, bundled_rules, meant_by_any

#: What is kept of each file of a raster that lies in several.
PARTS = ('filepath', 'nodata', 'overviews', 'valid', 'validity')

#: Shares of a pixel by which corners, and of its side by which pixels of one grid may differ.
CORNER, SIDE = 1e-3, 1e-7

#: What is known of a file that holds one band by its name: its row of the catalogue; what stands
#: in its path before the band, for the band, and after it; the band's place among those of the
#: rule, and its name; and the number of the rule.
NAMED = pa.schema(
    [
        *((name, pa.int64()) for name in ('row', 'place', 'rule')),
        *((name, pa.string()) for name in ('head', 'part', 'tail', 'name')),
    ]
)


@dataclass(frozen=True, slots=True)
class Stacks:
    """The rasters of a catalogue.

    Attributes:
        table: One row a raster, as in the catalogue, and ``first``: of a raster in several files
            the row of ``parts`` with its first band, −1 for one that lies in its own file. The
            path of several is written as :func:`~xscale.datasets.globs.several_paths` does, and
            bands are named as the names of their files say.
        parts: The files that hold one band each, those of a raster in the order of its bands.
    """

    table: pa.Table
    parts: pa.Table

    def files(self, row: Row) -> list[str]:
        """Return the files of a raster.

        Args:
            row: Its row of the table.
        """
        if row['first'] < 0:
            return [row['filepath']]
        return self.parts['filepath'].slice(row['first'], len(row['names'])).to_pylist()


def stack(table: pa.Table, rules: Sequence[Rule] = ()) -> Stacks:
    """Put files that hold one band each of one scene together.

    They are told by their names, which are the same but for the band's. Files of one scene that
    lie on different grids, such as Sentinel-2's bands of 10, 20 and 60 m, become several rasters.

    Args:
        table: Usable rows of a catalogue.
        rules: The user's rules; those that ship with us come after them.
    """
    table = _dated(table, rules)
    alone = table.append_column('first', pa.array(np.full(len(table), -1)))
    named = _named(table, [*rules, *bundled_rules()])
    if not len(named):
        return Stacks(alone, table.slice(0, 0).select(PARTS))
    group = _group(table, named)
    order = np.lexsort((named['place'].to_numpy(), group))
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    rows = named['row'].to_numpy()[order]
    single = np.ones(len(table), bool)
    single[rows] = False
    rasters = _rasters(table, named.take(order), starts)
    both = pa.concat_tables([alone.filter(pa.array(single)), rasters])
    places = np.concatenate([np.flatnonzero(single), rows[starts]])
    return Stacks(both.take(np.argsort(places)), table.select(PARTS).take(rows))


def _dated(table: pa.Table, rules: Sequence[Rule]) -> pa.Table:
    """Date the files of TorchGeo's classes as these do."""
    if not any(rule.naming for rule in rules):
        return table
    at, paths = np.arange(len(table)), table['filepath']
    start, stop = (table[name].to_numpy().copy() for name in ('start', 'stop'))
    for rule in rules:
        own = rule.files.meant(paths)
        if rule.naming:
            for row in at[own].tolist():
                first, last = rule.naming.dates(table['filepath'][row].as_py())
                start[row], stop[row] = first.to_datetime64(), last.to_datetime64()
        at, paths = at[~own], paths.filter(pa.array(~own))
    for name, moments in (('start', start), ('stop', stop)):
        table = table.set_column(table.column_names.index(name), name, pa.array(moments))
    return table


def _named(table: pa.Table, rules: Sequence[Rule]) -> pa.Table:
    """Find the files with one band that a rule knows by their names, as :data:`NAMED`."""
    rows = np.flatnonzero(pc.equal(pc.list_value_length(table['names']), 1))
    paths = table['filepath'].take(rows)
    separate = [number for number, rule in enumerate(rules) if rule.parts and not rule.leave_out]
    possible = meant_by_any([rules[number] for number in separate], paths)
    rows, paths = rows[possible], paths.filter(pa.array(possible))
    found = [NAMED.empty_table()]
    for number, rule in enumerate(rules):
        # The first rule of the user's that says what a file is counts.
        if number in separate or (rule.source and (rule.bands or rule.leave_out)):
            own = rule.files.meant(paths)
            if number in separate and own.any():
                divided = rule.files.divide_all(whole(paths.filter(pa.array(own))))
                found.append(_read(table, rows[own], divided, rule, number))
            rows, paths = rows[~own], paths.filter(pa.array(~own))
    return pa.concat_tables(found)


def _read(
    table: pa.Table,
    rows: NDArray[np.integer],
    divided: tuple[pa.Array, pa.Array, pa.Array],
    rule: Rule,
    number: int,
) -> pa.Table:
    """Read the bands of files off their names by the rule that means them."""
    head, part, tail = divided
    coded = part.dictionary_encode()
    places, names = zip(*map(rule.known, coded.dictionary.to_pylist()), strict=True)
    name = pa.array(names).take(coded.indices)
    if not rule.source:
        # What a file says of itself counts before the rules that ship with us.
        own = pc.list_flatten(table['names'].take(rows)).combine_chunks()
        words = [word for word in pc.unique(own).to_pylist() if word]
        known = [word for word in words if any(family.known([word]) for family in CONVENTIONS)]
        name = pc.if_else(pc.is_in(own, pa.array(known, pa.string())), own, name)
    place = pa.array(places).take(coded.indices)
    one = pa.array(np.full(len(rows), number))
    return pa.table([pa.array(rows), place, one, head, part, tail, name], schema=NAMED)


def _group(table: pa.Table, named: pa.Table) -> NDArray[np.integer]:
    """Number the rasters that files belong to: one scene by one rule, on one grid, of one type."""
    columns = ['grid', 'dtype', 'transform', 'width', 'height', 'warp']
    own = table.select(columns).take(named['row'])
    scene = pc.binary_join_element_wise(named['head'], named['tail'], '\0')
    transform = whole(own['transform']).flatten().to_numpy().reshape(-1, 6)
    pixel = np.hypot(transform[:, [0]], transform[:, [3]])
    steps = np.rint(transform / (pixel * np.array([SIDE, SIDE, CORNER] * 2)))
    keys = [codes_of(scene)[0], named['rule'].to_numpy()]
    keys += [codes_of(own[name])[0] for name in ('grid', 'dtype')]
    keys += [own[name].to_numpy() for name in ('width', 'height', 'warp')]
    return alike(*keys, *(pd.factorize(step)[0] for step in steps.T))[1]


def _rasters(table: pa.Table, named: pa.Table, starts: NDArray[np.integer]) -> pa.Table:
    """Make one row of the files of each raster.

    Args:
        table: Rows of the catalogue.
        named: Files known by their names, those of one raster one after another.
        starts: Where each raster begins.
    """
    ends = np.append(starts, len(named))
    first, sizes, offsets = named.take(starts), np.diff(ends), pa.array(ends, pa.int32())
    own = table.select(['colours', 'mean', 'std', 'valid']).take(named['row'])
    lists = {name: whole(own[name]).flatten() for name in ('colours', 'mean', 'std')}
    lists['names'] = whole(named['name'])
    columns = {name: pa.ListArray.from_arrays(offsets, values) for name, values in lists.items()}
    columns['valid'] = pa.array(np.minimum.reduceat(own['valid'].to_numpy(), starts))
    # A file by itself keeps its path.
    bands = pa.ListArray.from_arrays(offsets, whole(named['part']))
    several = several_paths(whole(first['head']), bands, whole(first['tail']))
    rasters = table.take(first['row'])
    columns['filepath'] = pc.if_else(pa.array(sizes > 1), several, whole(rasters['filepath']))
    for name, column in columns.items():
        rasters = rasters.set_column(rasters.column_names.index(name), name, column)
    return rasters.append_column('first', pa.array(np.where(sizes > 1, starts, -1)))
