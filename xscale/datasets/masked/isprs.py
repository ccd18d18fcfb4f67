"""Potsdam and Vaihingen of the ISPRS, in the folders and with the splits of TorchGeo's classes.

TorchGeo's own data modules cut one square out of each image, the middle one in validation and
test; here images are read by window, so that all of them counts.
"""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...errors import ConfigError, UnknownNameError
from ..formats import explain
from ..labelled.images import without_place
from .classes import make_classes
from .colours import look_at_colours
from .grids import PixelGrid, differences
from .images import look_at_image
from .listing import Listing, Pair, hold_out
from .opening import Masked, Scene

#: TorchGeo's class of each set, and its bands in the order of its files.
SETS = {
    'potsdam': ('Potsdam2D', ('red', 'green', 'blue', 'nir')),
    'vaihingen': ('Vaihingen2D', ('nir', 'red', 'green')),
}

#: Metres per pixel.
GSD = {'potsdam': 0.05, 'vaihingen': 0.09}


def open_isprs(
    name: str,
    root: str | Path,
    *,
    bands: Sequence[str] | None = None,
    val_share: float = 0.2,
    seed: int = 0,
    checksum: bool = True,
) -> Masked:
    """Open Potsdam or Vaihingen; each file is looked at once, and read by window.

    Args:
        name: 'potsdam' or 'vaihingen'.
        root: Folder of TorchGeo's class, with its ZIP files or what is in them.
        bands: What its bands are called, in the order of its files; by default what they are.
        val_share: Share of the images of train that become validation.
        seed: Decides which.
        checksum: Whether ZIP files are checked before they are unpacked.

    Raises:
        UnknownNameError: If it is neither.
        ConfigError: If it is not there, or not whole.
    """
    import torchgeo.datasets

    if name not in SETS:
        raise UnknownNameError('data set of the ISPRS', name, SETS)
    called, own = SETS[name]
    names = tuple(bands or own)
    if len(names) != len(own):
        raise ConfigError(f'{len(names)} bands came for the {len(own)} of {name}; name each')
    found: Any = getattr(torchgeo.datasets, called)
    try:
        opened = {split: found(root, split, checksum=checksum) for split in ('train', 'test')}
    except (FileNotFoundError, RuntimeError) as error:
        raise ConfigError(
            f'{called} is not in {root} (looked from {Path.cwd()}), or not whole: '
            f'{" and ".join(found.filenames)} are needed, which the ISPRS gives on request; see '
            f'datasets/cards/{name}.md'
        ) from error
    pairs = {
        split: [Pair(os.fspath(one['image']), os.fspath(one['mask'])) for one in dataset.files]
        for split, dataset in opened.items()
    }
    if short := {split: len(some) for split, some in pairs.items() if not some}:
        raise ConfigError(f'{root} holds no image of {", ".join(short)} with its mask ({called})')
    listing = Listing(pairs)
    hold_out(listing, 'val', val_share, seed)
    with without_place():
        scenes = {
            split: [_scene(pair, names, tuple(found.colormap), GSD[name]) for pair in some]
            for split, some in listing.pairs.items()
        }
    classes = make_classes(found.classes, range(len(found.classes)), None, f'of {called}')
    for split, some in found.splits.items():
        if missing := len(some) - len(pairs[split]):
            listing.notes.append(f'{missing} of {len(some)} images of {split} are not there')
    return Masked(name, classes, names, 'uint8', scenes, None, listing.notes, [])


def _scene(
    pair: Pair, names: tuple[str, ...], colours: tuple[tuple[int, int, int], ...], gsd: float
) -> Scene:
    """Look at an image and its mask."""
    numbers = tuple(str(number) for number in range(1, len(names) + 1))
    try:
        # By number, whatever its bands are called and even if one is marked alpha.
        image = look_at_image(pair.image, numbers, gsd)
        mask = look_at_colours(pair.mask, colours)
    except Exception as error:  # a benchmark lacks none of its images
        raise ConfigError(f'{pair.image} or {pair.mask} {explain(error)}') from error
    if wrong := differences(PixelGrid(*image.grid[:2]), PixelGrid(*mask.grid[:2])):
        raise ConfigError(f'{pair.image} and its mask {pair.mask} differ in {"; ".join(wrong)}')
    header = image.header._replace(bands=names, meanings=names)
    # Some files have no reference system, or one of a local grid.
    return Scene(replace(image, header=header, nodata=float('nan')), mask)
