"""A split file: which image belongs to which split, and what it shows."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ...errors import ConfigError
from .images import SUFFIXES

#: What splits are called, by those who write them.
SPLIT_NAMES = {
    'train': 'train',
    'training': 'train',
    'val': 'val',
    'valid': 'val',
    'validation': 'val',
    'test': 'test',
    'testing': 'test',
}

#: What stands between several labels of one image.
BETWEEN = ';'

#: Rows that are told of those with a fault.
TOLD = 5


def read_splits(
    file: Path, folder: Path
) -> tuple[dict[str, list[str]], dict[str, list[tuple[str, ...]]], bool]:
    """Read a split file.

    Args:
        file: CSV with the columns ``path``, from the folder on, ``split``, and maybe ``label``:
            a class, or several with ``;`` between them. Without it an image is of the class of
            its folder.
        folder: Where the paths count from.

    Returns:
        The paths by split, the names of the classes of each, and whether any image has several.

    Raises:
        ConfigError: If the file cannot be read, a column is missing or not known, a path leads
            nowhere or comes twice, or a split is not known.
    """
    table = _read(file)
    paths = [str(folder / path) for path in table['path']]
    splits = [SPLIT_NAMES.get(split.strip().lower(), '') for split in table['split']]
    known = ', '.join(SPLIT_NAMES)
    suffixes = ', '.join(SUFFIXES)
    _refuse(file, table['split'], [not one for one in splits], f'no split is called so ({known})')
    odd = [not path.lower().endswith(SUFFIXES) for path in paths]
    _refuse(file, table['path'], odd, f'only {suffixes} are read')
    _refuse(file, table['path'], pd.Series(paths).duplicated(), 'a path that came before')
    lost = [not Path(path).is_file() for path in paths]
    _refuse(file, table['path'], lost, f'no such file; paths count from {folder}')
    labels = _labels(file, table)
    multilabel = any(len(one) > 1 for one in labels)
    found: dict[str, list[str]] = {split: [] for split in dict.fromkeys(splits)}
    named: dict[str, list[tuple[str, ...]]] = {split: [] for split in found}
    for path, split, label in zip(paths, splits, labels, strict=True):
        found[split].append(path)
        named[split].append(label)
    return found, named, multilabel


def _read(file: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(file, dtype=str, keep_default_na=False, encoding='utf-8-sig')
    except (OSError, ValueError) as error:
        raise ConfigError(f'{file} cannot be read as a CSV: {error}') from error
    table.columns = [str(name).strip().lower() for name in table.columns]
    columns = set(table.columns)
    if not {'path', 'split'} <= columns <= {'path', 'split', 'label'}:
        raise ConfigError(
            f'{file} has the columns {", ".join(table.columns)}; path and split are needed, label '
            'may be there, and no other'
        )
    if table.empty:
        raise ConfigError(f'{file} names no image')
    return table


def _labels(file: Path, table: pd.DataFrame) -> list[tuple[str, ...]]:
    """Return the names of the classes of each row."""
    if 'label' in table:
        split = [[one.strip() for one in row.split(BETWEEN)] for row in table['label']]
        labels = [tuple(dict.fromkeys(filter(None, row))) for row in split]
        reason = 'a class is needed'
        _refuse(file, table['label'], [not label for label in labels], reason)
        return labels
    labels = [(Path(path).parent.name,) for path in table['path']]
    reason = 'its class is not known: put it into a folder of its class, or add a column label'
    _refuse(file, table['path'], [label == ('',) for label in labels], reason)
    return labels


def _refuse(file: Path, values: pd.Series, wrong: Sequence[bool] | pd.Series, reason: str) -> None:
    """Name the rows that are wrong, as an editor counts them."""
    rows = [number for number, one in enumerate(wrong) if one]
    if not rows:
        return
    told = ''.join(f'\n  row {row + 2}: {values.iloc[row]!r}' for row in rows[:TOLD])
    more = f'\n  … and {len(rows) - TOLD:,} more' if len(rows) > TOLD else ''
    raise ConfigError(f'{file}, column {values.name}: {reason}{told}{more}')
