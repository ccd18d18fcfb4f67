"""Find the images of a split: in fMoW-rgb's folders, or in a list."""

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ...errors import ConfigError, MissingPathError, NoImagesError
from ..find import Rejected
from .classes import CLASSES
from .metadata import time_of

#: Columns by which a list is one of fMoW-Sentinel's.
SENTINEL = {'category', 'location_id', 'image_id'}

#: ``airport_0_3_rgb.jpg`` shows ``airport_0``.
_NAME = re.compile(r'(.+)_\d+(_(ms)?rgb)?')


@dataclass(frozen=True)
class Listing:
    """The images of a split.

    Attributes:
        kind: 'rgb' or 'sentinel'.
        source: The folder or list they were found in.
        images: One row an image: ``filepath``; ``metadata``, its JSON file, or that which may
            be there; ``location``, a name that the images of one place share; and what a list
            says: ``category``, '' where only the metadata do, ``time``, ``gsd`` in metres,
            ``polygon`` as WKT.
        rejected: What cannot be an image, and why.
        needed: Whether an image without metadata cannot be used.
    """

    kind: str
    source: Path
    images: pd.DataFrame
    rejected: tuple[Rejected, ...] = ()
    needed: bool = False


def find_images(path: str | Path, split: str, images: str = 'rgb') -> Listing:
    """Find the images of a split.

    Args:
        path: A folder with a list ``<split>*.csv`` or a folder ``<split>``; or a list.
        split: Such as 'train'.
        images: 'rgb' for ``*_rgb.jpg``, 'msrgb' for ``*_msrgb.jpg``, in folders.

    Raises:
        MissingPathError: If the path does not exist.
        ConfigError: If it holds no such split, or the list lacks a column.
        NoImagesError: If there is no image.
    """
    path = Path(path)
    if not path.exists():
        raise MissingPathError(path)
    if path.is_file():
        return _checked(_read_list(path))
    lists = [path / f'{split}.csv']
    lists = lists if lists[0].is_file() else sorted(path.glob(f'{split}*.csv'))
    if len(lists) > 1:
        names = ', '.join(file.name for file in lists)
        raise ConfigError(f'{path} holds several lists of {split}: {names}; give one as the path')
    if lists:
        return _checked(_read_list(lists[0]))
    if (path / split).is_dir():
        return _checked(_walk(path, split, f'_{images}.jpg'))
    there = ', '.join(sorted(os.listdir(path))[:10]) or 'nothing'
    raise ConfigError(
        f'{path} holds neither a folder {split} nor a list {split}*.csv, but {there}; give the '
        f'folder that holds the splits of fMoW-rgb or fMoW-Sentinel, or a list'
    )


def _checked(listing: Listing) -> Listing:
    if not len(listing.images):
        raise NoImagesError(listing.source, [(r.path, r.reason) for r in listing.rejected])
    return listing


def _frame(**columns: object) -> pd.DataFrame:
    """Make the table; what nobody says is empty."""
    blank = {'category': '', 'time': np.datetime64('NaT', 'ns'), 'gsd': np.nan, 'polygon': ''}
    return pd.DataFrame({**blank, **columns}).reset_index(drop=True)


def _walk(root: Path, split: str, suffix: str) -> Listing:
    """List ``<split>/<category>/<category>_<n>/<category>_<n>_<date>_rgb.jpg``.

    Of the splits whose labels came later it is ``test/<id>/<id>_<date>_rgb.jpg``.
    """
    labels = _labels(root, split)
    paths, metadata, locations, lonely = list[str](), list[str](), list[str](), list[Rejected]()
    for folder, folders, names in os.walk(root / split):
        folders.sort()
        location = Path(folder).relative_to(root).as_posix()
        labelled = labels.get(location, location)
        stem, other = os.path.basename(folder), os.path.basename(labelled)
        home = str(root / labelled)
        for name in sorted(names):
            if name.endswith(suffix):
                paths.append(os.path.join(folder, name))
                about = name.removesuffix('.jpg') + '.json'
                if labelled != location:
                    about = other + about.removeprefix(stem)
                metadata.append(os.path.join(home, about))
                locations.append(location)
            elif name.endswith(suffix.replace('.jpg', '.json')):
                image = os.path.join(folder, name.removesuffix('.json') + '.jpg')
                if os.path.basename(image) not in names:
                    lonely.append(Rejected(image, 'is not there, but its metadata is'))
    images = _frame(filepath=paths, metadata=metadata, location=locations)
    return Listing('rgb', root / split, images, tuple(lonely), needed=True)


def _labels(root: Path, split: str) -> dict[str, str]:
    """Return where the labels of a location are, by its folder, where they came later."""
    file = root / f'{split}_gt_mapping.json'
    if not file.is_file():
        return {}
    try:
        pairs = json.loads(file.read_bytes())
        return {pair['output'].strip('/'): pair['input'].strip('/') for pair in pairs}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f'{file} is no mapping of folders to labels: {error}') from error


def _read_list(file: Path) -> Listing:
    try:
        table = pd.read_csv(file, dtype=str, keep_default_na=False)
    except (ValueError, OSError) as error:
        raise ConfigError(f'{file} cannot be read as a list (CSV): {error}') from error
    times = [time_of(text) for text in table['timestamp']] if 'timestamp' in table else []
    said: dict[str, object] = {'time': np.array(times, 'M8[ns]')} if times else {}
    if set(table) >= SENTINEL:
        return _sentinel(file, table, said)
    if 'gsd' in table:
        said['gsd'] = pd.to_numeric(table['gsd'], errors='coerce')
    named = {'category', 'image_path'} <= set(table)
    columns = ['category', 'image_path'] if named else list(table.columns[:2])
    if len(columns) < 2:
        raise ConfigError(
            f'{file} has the one column {", ".join(columns)}; a list needs two with a header: '
            'category (its name or number) and image_path; timestamp and gsd may follow'
        )
    category, path = (table[column].str.strip() for column in columns)
    paths = [os.path.join(file.parent, one) for one in path]
    metadata = [os.path.splitext(one)[0] + '.json' for one in paths]
    said['location'] = [_location(one) for one in paths]
    said['category'] = [_named(one) for one in category]
    return Listing('rgb', file, _frame(filepath=paths, metadata=metadata, **said))


def _sentinel(file: Path, table: pd.DataFrame, said: dict[str, object]) -> Listing:
    """List fMoW-Sentinel: ``<split>/airport/airport_0/airport_0_100.tif``."""
    category = table['category']
    location = category + '_' + table['location_id']
    name = category + '/' + location + '/' + location + '_' + table['image_id'] + '.tif'
    places = [file.parent / file.stem, file.parent / 'fmow-sentinel' / file.stem]
    top = next((place for place in places if place.is_dir()), None)
    if top is None:
        where = ' or '.join(map(str, places))
        raise ConfigError(f'the images that {file} lists are looked for in {where}: not there')
    said['polygon'] = table.get('polygon', '')
    paths = [os.path.join(top, one) for one in name]
    images = _frame(filepath=paths, metadata='', location=location, category=category, **said)
    return Listing('sentinel', file, images)


def _location(path: str) -> str:
    """Return what the images of one location have in common; a foreign name stands for itself."""
    folder, name = os.path.split(path)
    found = _NAME.fullmatch(os.path.splitext(name)[0])
    return os.path.join(folder, found[1]) if found else path


def _named(category: str) -> str:
    """Return the category that a list writes by its number."""
    number = int(category) if category.isdecimal() else -1
    return CLASSES[number] if 0 <= number < len(CLASSES) else category
