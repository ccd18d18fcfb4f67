"""``xscale scan``: what is in these folders, and what of it can be used?"""

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from ..datasets.catalogue import catalogue, write_catalogue
from ..datasets.find import as_paths
from ..datasets.index import Index, index_of
from ..datasets.report import as_text, describe_files, summarise
from ..datasets.rules import Rule, load_rules
from ..errors import ConfigError, NoRastersError
from .arguments import split_bands


def scan(options: argparse.Namespace) -> int:
    """Describe folders of rasters.

    Args:
        options: What the command line was given.

    Returns:
        0, or 2 where no file can be used.
    """
    if options.pairs and not options.preview:
        raise ConfigError('--pairs draws a sheet of pairs; say where to: --preview DIR')
    started = time.perf_counter()
    rules = load_rules(options.rules) if options.rules else ()
    table = catalogue(options.paths, rules)
    bands = split_bands(options.bands)
    index = _index(table, options.paths, bands, rules) if bands else None
    summary = summarise(table, index, rules)
    if options.json:
        files = json.loads(describe_files(table, rules).to_json(orient='records'))
        print(json.dumps({**summary, 'each': files}, indent=2))
    else:
        print(as_text(summary))
        print(f'\nscanned in {time.perf_counter() - started:.1f} s')
    if options.out:
        write_catalogue(table, Path(options.out))
        print(f'catalogue: {options.out}, to be given instead of the folders')
    if options.preview:
        _preview(table, options, index, rules)
    return 0 if summary['usable'] and (index or not bands) else 2


def _index(
    table: pa.Table, paths: list[str], bands: list[str], rules: Sequence[Rule]
) -> Index | None:
    try:
        return index_of(table, as_paths(paths), bands, rules)
    except NoRastersError:
        return None


def _preview(
    table: pa.Table, options: argparse.Namespace, index: Index | None, rules: Sequence[Rule]
) -> None:
    """Draw the map and the contact sheet; in true colour where nothing was asked for."""
    from ..datamodules.preview import draw_map, draw_tiles, spread_draws
    from ..datasets import Rasters

    if not pc.sum(pc.equal(table['reason'], '')).as_py():
        return
    folder = Path(options.preview)
    folder.mkdir(parents=True, exist_ok=True)
    shown = index or _index(table, options.paths, ['red', 'green', 'blue'], rules)
    bands = list(shown.bands) if shown else []
    dataset = Rasters(options.paths, bands, options.rules)
    draw_map(dataset.rows, folder / 'map.png')
    draw_tiles(dataset, spread_draws(dataset, options.size, options.tiles), folder / 'tiles.png')
    print(f'map: {folder / "map.png"}\ntiles: {folder / "tiles.png"}')
    if options.pairs:
        _preview_pairs(options, folder / 'pairs.png')


def _preview_pairs(options: argparse.Namespace, file: Path) -> None:
    """Draw a sheet of pairs; of all bands that each raster has where none were asked for."""
    from ..datamodules.pair_sheet import draw_pairs, spread_pairs
    from ..datasets import Rasters

    asked = split_bands(options.bands)
    dataset = Rasters(options.paths, asked, options.rules, mixed=not asked)
    draws = spread_pairs(dataset, options.size, options.tiles, options.max_days)
    draw_pairs(dataset, draws, file)
    print(f'pairs: {file}')
