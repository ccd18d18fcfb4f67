"""Read the JSON file beside an image."""

import json
import math
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely

from ...errors import UnusableError
from .classes import CLASSES, FALSE_DETECTION

#: Left, upper edge, width and height in pixels.
type Box = tuple[float, float, float, float]

NOWHERE = (math.nan,) * 4

#: A box of fewer pixels a side shows nothing; the challenge's own baseline leaves it out too.
SMALLEST = 3


@dataclass(frozen=True, slots=True)
class Metadata:
    """What the file says.

    Attributes:
        gsd: Metres per pixel it states.
        size: Columns and rows of the image it describes.
        time: When the image was taken; NaT where it does not say.
        bounds: West, south, east, north of the image in degrees; NaN where it does not say.
        boxes: The labelled boxes, each once.
        categories: What each shows; empty where it does not say.
    """

    gsd: float
    size: tuple[int, int]
    time: np.datetime64
    bounds: tuple[float, float, float, float]
    boxes: tuple[Box, ...]
    categories: tuple[str, ...]


def read_metadata(path: str) -> Metadata:
    """Read a metadata file of fMoW.

    Args:
        path: The JSON file.

    Raises:
        UnusableError: If it is not there, or does not say what is needed.
    """
    name = os.path.basename(path)
    try:
        with open(path, 'rb') as file:
            content = json.load(file)
    except FileNotFoundError as error:
        raise UnusableError(f'its metadata is not there: {path}') from error
    except (OSError, ValueError, RecursionError) as error:
        raise UnusableError(f'its metadata {name} cannot be read: {error}') from error
    try:
        labelled = _boxes(content.get('bounding_boxes', []))
        return Metadata(
            _positive(content['gsd']),
            (int(_positive(content['img_width'])), int(_positive(content['img_height']))),
            time_of(content.get('timestamp')),
            bounds_of(content.get('raw_location')),
            tuple(box for box, _ in labelled),
            tuple(category for _, category in labelled),
        )
    except KeyError as error:
        raise UnusableError(f'its metadata {name} says no {error.args[0]}') from error
    except (TypeError, ValueError, AttributeError) as error:
        raise UnusableError(f'its metadata {name} is not that of fMoW: {error}') from error


def time_of(text: object) -> np.datetime64:
    """Return a time as fMoW writes it, ``2012-04-02T10:32:22Z``; NaT for anything else.

    Args:
        text: The time.
    """
    try:
        return np.datetime64(str(text).removesuffix('Z'), 'ns')
    except ValueError:
        return np.datetime64('NaT', 'ns')


def bounds_of(polygon: object) -> tuple[float, float, float, float]:
    """Return west, south, east, north of a polygon; NaN where there is none.

    Args:
        polygon: As WKT, in degrees.
    """
    shape = shapely.from_wkt(str(polygon or ''), on_invalid='ignore')
    if shape is None or shape.is_empty:
        return NOWHERE
    lon, lat = shapely.get_coordinates(shape).T
    # Across the antimeridian the box goes on beyond 180 degrees.
    lon = lon[0] + (lon - lon[0] + 180) % 360 - 180
    return float(lon.min()), float(lat.min()), float(lon.max()), float(lat.max())


def main_category(categories: tuple[str, ...] | list[str]) -> str:
    """Return what an image is of: its first category that is no false detection.

    Args:
        categories: Those of its boxes.
    """
    named = [category for category in categories if category]
    real = [category for category in named if category != FALSE_DETECTION]
    return next(iter([*real, *named]), '')


def known(category: str) -> bool:
    """Tell whether a category is one of fMoW's.

    Args:
        category: Its name.
    """
    return category in CLASSES or category == FALSE_DETECTION


def _positive(value: Any) -> float:
    number = float(value)
    if not 0 < number < math.inf:
        raise ValueError(f'{value!r} where a number above 0 is needed')
    return number


def _boxes(entries: Any) -> list[tuple[Box, str]]:
    """Return the boxes with their categories; the archive of labels lists many of them twice."""
    found: dict[tuple[Box, str], None] = {}
    # An image with one box may have it without a list.
    for entry in entries if isinstance(entries, list) else [entries]:
        box = [float(number) for number in entry['box']]
        if len(box) != 4 or not all(map(math.isfinite, box)):
            raise ValueError(f'a box {entry["box"]} where [x, y, width, height] is needed')
        found[(box[0], box[1], box[2], box[3]), str(entry.get('category') or '')] = None
    return [one for one in found if min(one[0][2:]) >= SMALLEST]
