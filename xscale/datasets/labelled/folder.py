"""A folder of labelled images: splits, classes, files; or a split file beside the classes."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ...errors import BandsNotFoundError, ConfigError, MissingPathError
from ..find import Rejected
from ..formats import explain
from .files import Files
from .images import SUFFIXES, Header, look, without_place
from .photos import is_photo
from .sets import Labelled, numbered
from .split import Split
from .splitfile import SPLIT_NAMES, read_splits

#: Names under which a split file is looked for in a folder.
SPLIT_FILES = ('split.csv', 'splits.csv')

#: Images that are looked at to find out what most of them are.
PROBED = 16


@dataclass
class Listing:
    """The images of a folder, before any is opened.

    Attributes:
        paths: The files, by split.
        labels: Names of the classes of each, likewise.
        multilabel: Whether they may have several.
        notes: What was passed over.
    """

    paths: dict[str, list[str]]
    labels: dict[str, list[tuple[str, ...]]]
    multilabel: bool = False
    notes: list[str] = field(default_factory=list)


def open_folder(
    folder: Path, splits: str | Path | None, bands: Sequence[str], gsd: float | None
) -> Labelled:
    """List the labelled images of a folder; none but a few is opened.

    Args:
        folder: ``DIR/{train,test[,val]}/<class>/*``, or ``DIR/<class>/*`` with a split file.
        splits: The split file; by default ``split.csv`` or ``splits.csv`` in the folder.
        bands: Bands to read, by number, name or common name; empty for all.
        gsd: Metres per pixel of those that do not say.

    Raises:
        MissingPathError: If the split file is not there.
        ConfigError: If the folder holds no splits, or what it holds cannot be evaluated, or none
            of its files that are looked at has the bands.
    """
    listing = _list(folder, splits)
    names = {one for split in listing.labels.values() for labels in split for one in labels}
    classes = tuple(sorted(names))
    with without_place():
        header = _common(_probe(listing), bands, folder, listing.notes)
    made = {}
    for split, paths in listing.paths.items():
        labels = numbered(listing.labels[split], classes, listing.multilabel)
        made[split] = Split(Files(paths, bands, header, gsd), labels, paths)
    notes = [*listing.notes, *_gsd_note(listing, gsd)]
    shown = folder.resolve().name or str(folder)
    return Labelled(shown, classes, header.bands, header.dtype, listing.multilabel, made, notes)


def _list(folder: Path, splits: str | Path | None) -> Listing:
    """Find the images and their labels."""
    files = [Path(splits)] if splits else [folder / name for name in SPLIT_FILES]
    found = [file for file in files if file.is_file()]
    if splits and not found:
        raise MissingPathError(files[0])
    entries = {entry.name: entry for entry in sorted(os.scandir(folder), key=lambda e: e.name)}
    folders = [name for name, one in entries.items() if one.is_dir() and name[0] != '.']
    named = [name for name in folders if name.lower() in SPLIT_NAMES]
    if not splits and named:
        listing = _walk(folder, named)
        unread = [file.name for file in found]
        if unread:
            told = f'{unread[0]} is not read, for there are the folders {", ".join(named)}'
            listing.notes.append(f'{told}; --splits takes it')
        return listing
    if found:
        paths, labels, multilabel = read_splits(found[0], folder)
        return Listing(paths, labels, multilabel)
    there = ', '.join(entries) if len(entries) < 9 else f'{len(entries):,} files and folders'
    here, meant = folder.resolve().name, _nearby(folder, folders)
    raise ConfigError(
        f'{folder} holds {there or "nothing"}, but no splits{meant}. Either sort the images into '
        f'{here}/train/<class>/ and {here}/test/<class>/ (and val/), or keep them in '
        f'{here}/<class>/ and write {here}/split.csv (or give another with --splits): a CSV with '
        'the columns path,split, and label where the class is not the name of the folder'
    )


def _nearby(folder: Path, folders: Sequence[str]) -> str:
    """Suggest the folder above, or one below, where that holds splits."""
    if folder.name.lower() in SPLIT_NAMES:
        return f' (is {folder.parent} meant, of which it is one?)'
    for name in folders[:PROBED]:
        if SPLIT_NAMES.keys() & {one.lower() for one in os.listdir(folder / name)}:
            return f' (is {folder / name} meant?)'
    return ''


def _walk(folder: Path, named: Sequence[str]) -> Listing:
    """List ``<split>/<class>/*``."""
    listing, others, empty = Listing({}, {}), Counter[str](), []
    for name in named:
        split = SPLIT_NAMES[name.lower()]
        if split in listing.paths:
            twins = [one for one in named if SPLIT_NAMES[one.lower()] == split]
            raise ConfigError(f'{folder} holds several folders of {split}: {", ".join(twins)}')
        paths, labels = listing.paths.setdefault(split, []), listing.labels.setdefault(split, [])
        for one in sorted(os.listdir(folder / name)):
            group = folder / name / one
            if one[0] == '.' or not group.is_dir():
                continue
            images = _images(group, others)
            paths += images
            labels += [(one,)] * len(images)
            empty += [] if images else [str(group.relative_to(folder))]
    if others:
        told = ', '.join(f'{count:,} {kind}' for kind, count in others.most_common(6))
        listing.notes.append(f'not looked at: {told}; {", ".join(SUFFIXES)} in class folders are')
    if empty:
        listing.notes.append(f'folders without an image: {", ".join(empty[:10])}')
    return listing


def _images(folder: Path, others: Counter[str]) -> list[str]:
    """List the images of a class folder, sorted; what else lies there is counted."""
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            suffix = os.path.splitext(entry.name)[1].lower()
            if entry.name[0] == '.':
                continue
            if entry.is_dir():
                others['folders'] += 1
            elif suffix in SUFFIXES:
                found.append(entry.path)
            else:
                others[suffix or 'without a suffix'] += 1
    return sorted(found)


def _probe(listing: Listing) -> list[str]:
    """Choose a few files, spread over all."""
    paths = [path for split in listing.paths.values() for path in split]
    return paths[:: max(1, len(paths) // PROBED)][: 2 * PROBED]


def _common(paths: Sequence[str], bands: Sequence[str], folder: Path, notes: list[str]) -> Header:
    """Return what most of some files say of themselves."""
    found: list[Header] = []
    silent = 0
    rejected: list[Rejected] = []
    missing = None
    for path in paths:
        try:
            found.append(look(path, bands))
            silent += not is_photo(path) and np.isnan(found[-1].gsd)
        except BandsNotFoundError as error:
            missing = missing or ConfigError(
                f'{path}: {error}; choose bands (--bands) by number, name or common name'
            )
        # Those that cannot be read are named once all are looked at.
        except Exception as error:
            rejected.append(Rejected(path, explain(error)))
    if found:
        if silent:
            notes.append('there are GeoTIFFs without a georeference, which do not say their GSD')
        kinds = [header.kind(bool(bands)) for header in found]
        return found[kinds.index(max(kinds, key=kinds.count))]
    if missing:
        raise missing
    if not rejected:
        suffixes = ', '.join(SUFFIXES)
        more = f': {"; ".join(notes)}' if notes else ''
        raise ConfigError(
            f'{folder} holds no image ({suffixes}) in the folders of its classes{more}'
        )
    raise ConfigError(
        f'none of {len(rejected)} images of {folder} that were looked at can be read, such as '
        f'{rejected[0].path}: {rejected[0].reason}'
    )


def _gsd_note(listing: Listing, gsd: float | None) -> list[str]:
    """Say how many images cannot say their GSD."""
    paths = [path for split in listing.paths.values() for path in split]
    silent = sum(map(is_photo, paths))
    if not silent:
        return []
    what = f'{silent:,} of {len(paths):,} images are JPEG or PNG, which do not say their GSD'
    if gsd is None:
        return [f'{what}; give it (--gsd METRES) if it is known']
    return [f'{what}: {gsd:g} m is taken']
