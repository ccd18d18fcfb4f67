"""The images in use, column by column, with their metres per pixel and their places."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from ... import geo
from ...errors import ConfigError, NoImagesError, UnknownNameError
from ..find import Rejected
from .classes import CLASSES, FALSE_DETECTION
from .listing import Listing, find_images
from .metadata import bounds_of, known, main_category
from .scan import SIDES, scan

#: Whose word on metres per pixel counts: the metadata's, what is measured on the ground, or a
#: number for all images.
type Gsd = float | Literal['stated', 'measured']

#: Axes that differ by less than this share are of one length.
SQUARE = 0.01


@dataclass(frozen=True)
class Images:
    """Images by column.

    Attributes:
        kind: 'rgb' or 'sentinel'.
        paths: Their files.
        size: Columns and rows, (N, 2).
        pixel: Metres per pixel along a row and along a column, (N, 2).
        bounds: West, south, east, north in degrees, NaN where nobody says, (N, 4).
        location: Number of the place each shows, (N,).
        time: When each was taken; NaT where nobody says, (N,).
        category: Number of what each is of, in :data:`CLASSES`, or one above, (N,).
        box: Left, upper edge, width and height of the labelled boxes in pixels, (M, 4).
        box_of: The image each box is in, ascending, (M,).
        box_category: What it shows; −1 where nobody says, (M,).
    """

    kind: str
    paths: pa.Array
    size: NDArray[np.int32]
    pixel: NDArray[np.float64]
    bounds: NDArray[np.float64]
    location: NDArray[np.int64]
    time: NDArray[np.datetime64]
    category: NDArray[np.int64]
    box: NDArray[np.float64]
    box_of: NDArray[np.int64]
    box_category: NDArray[np.int64]

    def __len__(self) -> int:
        """Count the images."""
        return len(self.paths)

    def path(self, number: int) -> str:
        """Return the path of an image.

        Args:
            number: Its number.
        """
        return self.paths[number].as_py()

    @cached_property
    def gsd(self) -> NDArray[np.float64]:
        """Metres per pixel, the geometric mean of both axes, (N,)."""
        return np.sqrt(self.pixel.prod(1))


def load_images(
    path: str | Path, split: str, gsd: Gsd = 'stated', images: str = 'rgb'
) -> tuple[Images, tuple[Rejected, ...]]:
    """Find and look at the images of a split.

    Args:
        path: The folder of the splits, or a list.
        split: Such as 'train'.
        gsd: Whose word on metres per pixel counts.
        images: 'rgb' or 'msrgb'.

    Returns:
        The images in use, and those that were left out, with the reason.

    Raises:
        MissingPathError: If the path does not exist.
        ConfigError: If there is no such split, or the gsd is none.
        UnknownNameError: If the images are called otherwise.
        NoImagesError: If no image can be used.
    """
    _check(gsd, images)
    listing = find_images(path, split, images)
    table = scan(listing, images)
    bounds = _bounds(listing, table)
    size = np.column_stack([_numbers(table, name) for name in ('width', 'height')])
    pixel = _pixel(listing, table, gsd, bounds, size)
    said = listing.images['category'].tolist()
    categories = [
        one or main_category(boxes or [])
        for one, boxes in zip(said, table['categories'].to_pylist(), strict=True)
    ]
    reasons = _reasons(table, categories, pixel)
    left_out = [
        Rejected(path, reason)
        for path, reason in zip(table['filepath'].to_pylist(), reasons, strict=True)
        if reason
    ]
    rejected = tuple(sorted((*listing.rejected, *left_out), key=lambda r: r.path))
    fit = np.flatnonzero([not reason for reason in reasons])
    if not len(fit):
        raise NoImagesError(listing.source, [(r.path, r.reason) for r in rejected])
    chosen = table.take(fit)
    box, box_of, box_category = _boxes(chosen)
    found = Images(
        listing.kind,
        chosen['filepath'].combine_chunks(),
        size[fit].astype(np.int32),
        pixel[fit],
        bounds[fit],
        pd.factorize(listing.images['location'].to_numpy()[fit])[0],
        _times(listing, table)[fit],
        _codes([categories[number] for number in fit]),
        box,
        box_of,
        box_category,
    )
    return found, rejected


def _check(gsd: Gsd, images: str) -> None:
    if images not in ('rgb', 'msrgb'):
        raise UnknownNameError('images', images, ('rgb', 'msrgb'))
    if isinstance(gsd, str) and gsd not in ('stated', 'measured'):
        raise ConfigError(f'gsd {gsd!r}: stated, measured, or a number of metres is needed')
    if not isinstance(gsd, str) and not 0 < gsd < np.inf:
        raise ConfigError(f'gsd {gsd}: metres per pixel above 0 are needed')


def _numbers(table: pa.Table, name: str) -> NDArray[np.float64]:
    return table[name].cast(pa.float64()).to_numpy(zero_copy_only=False)


def _bounds(listing: Listing, table: pa.Table) -> NDArray[np.float64]:
    """Return the places of the images: of the image or its metadata, else of the list."""
    bounds = np.column_stack([_numbers(table, side) for side in SIDES])
    polygons = listing.images['polygon'].tolist()
    for number in np.flatnonzero(np.isnan(bounds).any(1)).tolist():
        if polygons[number]:
            bounds[number] = bounds_of(polygons[number])
    flat = (bounds[:, 2] <= bounds[:, 0]) | (bounds[:, 3] <= bounds[:, 1])
    bounds[flat] = np.nan
    return bounds


def _pixel(
    listing: Listing,
    table: pa.Table,
    gsd: Gsd,
    bounds: NDArray[np.float64],
    size: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return metres per pixel along both axes, NaN where nobody says, (N, 2)."""
    if not isinstance(gsd, str):
        return np.full((len(table), 2), float(gsd))
    stated = listing.images['gsd'].to_numpy(np.float64)
    stated = np.where(stated > 0, stated, _numbers(table, 'stated'))
    stated = np.column_stack([stated, stated])
    measured = np.column_stack([_numbers(table, name) for name in ('across', 'down')])
    measured = np.where(np.isnan(measured), geo.box_metres(bounds) / size, measured)
    ratio = measured[:, 0] / measured[:, 1]
    square = np.abs(ratio - 1) < SQUARE
    measured[square] = np.sqrt(measured[square].prod(1, keepdims=True))
    first, second = (stated, measured) if gsd == 'stated' else (measured, stated)
    return np.where(np.isnan(first), second, first)


def _reasons(table: pa.Table, categories: Sequence[str], pixel: NDArray[np.float64]) -> list[str]:
    """Say for each image why it cannot be used; '' where it can."""
    reasons = table['reason'].to_pylist()
    unknown = np.isnan(pixel).any(1)
    for number, category in enumerate(categories):
        if reasons[number]:
            continue
        if not category:
            reasons[number] = (
                'has no category in its metadata; of test and seq they are in groundtruth.tar.bz2, '
                'to be unpacked beside them'
            )
        elif not known(category):
            reasons[number] = f'has the category {category!r}, which is none of fMoW'
        elif unknown[number]:
            reasons[number] = (
                'is of unknown gsd: there is no metadata beside it; give the gsd of all images, or '
                'a list with a column gsd'
            )
    return reasons


def _times(listing: Listing, table: pa.Table) -> NDArray[np.datetime64]:
    own = table['time'].to_numpy().astype('M8[ns]')
    listed = listing.images['time'].to_numpy().astype('M8[ns]')
    return np.where(np.isnat(listed), own, listed)


def _codes(categories: Sequence[str]) -> NDArray[np.int64]:
    """Number categories; −1 for one that is none."""
    return pd.Index([*CLASSES, FALSE_DETECTION]).get_indexer(pd.Index(categories, dtype=object))


def _boxes(
    table: pa.Table,
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the boxes of all images, the image each is in, and what it shows."""
    categories = [one or [] for one in table['categories'].to_pylist()]
    boxes = [one or [] for one in table['boxes'].to_pylist()]
    box = np.array([number for one in boxes for number in one], np.float64).reshape(-1, 4)
    box_of = np.repeat(np.arange(len(boxes)), [len(one) for one in categories])
    return box, box_of, _codes([category for one in categories for category in one])
