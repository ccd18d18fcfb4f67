"""Find images and their masks in a folder."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...errors import ConfigError, MissingPathError
from ..find import Rejected
from ..labelled.folder import SPLIT_FILES
from ..labelled.images import SUFFIXES
from ..labelled.sets import SPLITS
from ..labelled.splitfile import SPLIT_NAMES, read_splits
from .geobench import is_segmentation
from .masks import SUFFIXES as MASK_SUFFIXES

IMAGES, MASKS = 'images', 'masks'


class Pair(NamedTuple):
    """An image, and the file that labels it.

    Attributes:
        image: The image.
        mask: Its mask; '' where polygons label it.
    """

    image: str
    mask: str


@dataclass
class Listing:
    """The images of a folder, before any is opened.

    Attributes:
        pairs: Images and masks, by split.
        rejected: Images without a mask.
        notes: What was passed over.
    """

    pairs: dict[str, list[Pair]]
    rejected: list[Rejected] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def list_pairs(folder: Path, splits: str | Path | None, masked: bool) -> Listing:
    """List images and masks by their names.

    Args:
        folder: ``DIR/{train,val,test}/{images,masks}/NAME.*``, or ``DIR/{images,masks}/NAME.*``,
            whose images are all of train without a split file.
        splits: The split file, with the columns path and split; by default ``split.csv`` or
            ``splits.csv`` in the folder.
        masked: Whether each image needs a mask.

    Raises:
        MissingPathError: If the folder or the split file is not there.
        ConfigError: If it holds no images, or two files of one name.
    """
    if not folder.exists():
        raise MissingPathError(folder)
    if splits and not Path(splits).is_file():
        raise MissingPathError(splits)
    listing = Listing({})
    roots = {} if splits else _split_roots(folder)
    for split, root in roots.items():
        listing.pairs[split] = _pairs(root, masked, listing)
        if not listing.pairs[split]:
            listing.notes.append(f'{root / IMAGES} holds no image that is labelled')
    if roots:
        listing.notes += _passed_over(folder, roots)
    else:
        if not (folder / IMAGES).is_dir():
            raise _no_images(folder)
        pairs = _pairs(folder, masked, listing)
        files = [Path(splits)] if splits else [folder / name for name in SPLIT_FILES]
        file = next((one for one in files if one.is_file()), None)
        listing.pairs = _dealt(pairs, file, folder, listing) if file else {'train': pairs}
    listing.pairs = {name: listing.pairs[name] for name in SPLITS if name in listing.pairs}
    return listing


def is_masked(folder: Path) -> bool:
    """Tell whether a folder holds images with masks beside them, and not folders of classes.

    A segmentation task of GEO-Bench is such a folder too.

    Args:
        folder: The folder; it need not exist.
    """
    if not folder.is_dir():
        return False
    if is_segmentation(folder):
        return True
    roots = list(_split_roots(folder).values()) or [folder]
    return all(_is_pair(root) for root in roots)


def _is_pair(root: Path) -> bool:
    folders = {one.name for one in root.iterdir() if one.is_dir() and one.name[0] != '.'}
    return IMAGES in folders and folders <= {IMAGES, MASKS}


def hold_out(listing: Listing, name: str, share: float, seed: int) -> None:
    """Take a share of the images of train for a split that is not there.

    Args:
        listing: The images; it is changed.
        name: 'val' or 'test'.
        share: Of the images of train; 0 for none.
        seed: Decides which.

    Raises:
        ConfigError: If there are too few to be shared.
    """
    if name in listing.pairs or not share or 'train' not in listing.pairs:
        return
    pairs = listing.pairs['train']
    if not pairs:
        raise ConfigError('train/images holds no image (GeoTIFF, JPEG or PNG); add some')
    if len(pairs) < 2:
        raise ConfigError(
            f'{len(pairs)} image to train on cannot be shared with {name}; give {name} images of '
            f'its own, or set {name}_share: 0 to do without'
        )
    count = min(max(1, round(share * len(pairs))), len(pairs) - 1)
    rng = np.random.default_rng(np.random.SeedSequence((seed, SPLITS.index(name))))
    chosen = set(rng.permutation(len(pairs))[:count].tolist())
    listing.pairs[name] = [pair for number, pair in enumerate(pairs) if number in chosen]
    listing.pairs['train'] = [pair for number, pair in enumerate(pairs) if number not in chosen]
    listing.notes.append(
        f'no split {name}: {count:,} of {len(pairs):,} images of train are held out (seed {seed})'
    )


def _split_roots(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for name in sorted(os.listdir(folder)):
        split = SPLIT_NAMES.get(name.lower())
        if split is None or not (folder / name / IMAGES).is_dir():
            continue
        if split in found:
            raise ConfigError(
                f'{folder} holds several folders of {split}: {found[split].name}, {name}'
            )
        found[split] = folder / name
    return found


def _passed_over(folder: Path, roots: dict[str, Path]) -> list[str]:
    """Say what lies beside the folders of splits and might have been meant."""
    taken = {root.name for root in roots.values()}
    notes = []
    for name in sorted(os.listdir(folder)):
        if name in SPLIT_FILES:
            told = f'{name} is not read, for there are the folders {", ".join(sorted(taken))}'
            notes.append(f'{told}; the setting splits takes it')
        elif name.lower() in SPLIT_NAMES and name not in taken:
            notes.append(f'{folder / name} is passed over: it holds no folder {IMAGES}')
    return notes


def _pairs(root: Path, masked: bool, listing: Listing) -> list[Pair]:
    """List the images of one folder, sorted; those without a mask are left out."""
    images = _by_stem(root / IMAGES, SUFFIXES, listing.notes)
    if not masked:
        return [Pair(image, '') for image in images.values()]
    if not (root / MASKS).is_dir():
        raise ConfigError(
            f'{root} holds no folder {MASKS} beside {IMAGES}; put the masks there, by the names of '
            'the images, or give polygons (labels)'
        )
    masks = _by_stem(root / MASKS, MASK_SUFFIXES, listing.notes)
    for stem in images.keys() - masks.keys():
        wanted = root / MASKS / f'{stem}{{{",".join(MASK_SUFFIXES)}}}'
        listing.rejected.append(Rejected(images[stem], f'has no mask {wanted}'))
    listing.rejected.sort(key=lambda one: one.path)
    alone = sorted(masks.keys() - images.keys())
    if alone:
        told = ', '.join(masks[stem] for stem in alone[:3]) + (' …' if len(alone) > 3 else '')
        listing.notes.append(f'masks without an image: {len(alone):,} ({told})')
    return [Pair(image, masks[stem]) for stem, image in images.items() if stem in masks]


def _by_stem(folder: Path, suffixes: Sequence[str], notes: list[str]) -> dict[str, str]:
    """List the files of a folder by their names without suffix, sorted."""
    found: dict[str, str] = {}
    others: Counter[str] = Counter()
    for name in sorted(os.listdir(folder)):
        stem, suffix = os.path.splitext(name)
        if name[0] == '.' or not (folder / name).is_file():
            continue
        if suffix.lower() not in suffixes:
            others[suffix.lower() or 'without a suffix'] += 1
            continue
        if stem in found:
            raise ConfigError(
                f'{found[stem]} and {folder / name} have one name; images and masks are paired by '
                'their names without the suffix, so rename one of them'
            )
        found[stem] = str(folder / name)
    if others:
        told = ', '.join(f'{count:,} {suffix}' for suffix, count in others.most_common(6))
        notes.append(f'not looked at in {folder}: {told}; {", ".join(suffixes)} are')
    return found


def _dealt(
    pairs: Sequence[Pair], file: Path, folder: Path, listing: Listing
) -> dict[str, list[Pair]]:
    """Deal images out to the splits of a file."""
    paths, _, _ = read_splits(file, folder)
    by_image = {os.path.normpath(pair.image): pair for pair in pairs}
    lost = {os.path.normpath(one.path) for one in listing.rejected}
    dealt: dict[str, list[Pair]] = {}
    for split, members in paths.items():
        names = [os.path.normpath(path) for path in members]
        strange = [name for name in names if name not in by_image and name not in lost]
        if strange:
            raise ConfigError(
                f'{file} names {strange[0]}, which is no image of {folder / IMAGES}; paths count '
                f'from {folder}, such as {IMAGES}/NAME.tif'
            )
        dealt[split] = [by_image[name] for name in names if name in by_image]
    unnamed = len(pairs) - sum(map(len, dealt.values()))
    if unnamed:
        listing.notes.append(f'{unnamed:,} images are in no split of {file}, and not used')
    named = {os.path.normpath(path) for members in paths.values() for path in members}
    listing.rejected = [one for one in listing.rejected if os.path.normpath(one.path) in named]
    return dealt


def _no_images(folder: Path) -> ConfigError:
    there = sorted(os.listdir(folder)) if folder.is_dir() else ['a file']
    told = ', '.join(there) if 0 < len(there) < 9 else f'{len(there):,} files and folders'
    here = folder.resolve().name
    return ConfigError(
        f'{folder} holds {told}, but no images and masks. Sort them into {here}/train/{IMAGES}/ '
        f'and {here}/train/{MASKS}/ (and val/, test/), or into {here}/{IMAGES}/ and '
        f'{here}/{MASKS}/, each mask by the name of its image'
    )
