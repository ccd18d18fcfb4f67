"""Squares of ground on an image: all of it, around a labelled box, or anywhere."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .images import Images
from .pixels import Part

#: Share of a box's side that is added around it, by the share of the image's side that the box
#: takes up: the first for less than 0.1, then for less than each step. The challenge's baseline,
#: and those that trained on what it cut, show small things in more of their surroundings.
STEPS, CONTEXT = (0.1, 0.2, 0.3, 0.4, 0.5), (2.0, 1.0, 0.5, 0.3, 0.2, 0.15)


class Crop(NamedTuple):
    """A part of an image.

    Attributes:
        row: Number of the image.
        part: What of it.
        label: Number of what it shows.
        dates: Parts of images of that place with the same ground, by time, this one among them;
            empty for a single image.
    """

    row: int
    part: Part
    label: int
    dates: tuple['Crop', ...] = ()


def whole(images: Images, row: int, size: int | None) -> Part:
    """Return the largest square in the middle of an image; all of it where no size is wanted.

    Args:
        images: The images.
        row: Which of them.
        size: Side wanted in pixels.
    """
    pixel, sides = images.pixel[row], images.size[row]
    ground = sides * pixel
    if size is None:
        across, down = (max(1, round(side)) for side in ground / images.gsd[row])
        return Part(0.0, 0.0, float(sides[0]), float(sides[1]), (down, across))
    wide, high = ground.min() / pixel
    left, top = (sides - (wide, high)) / 2
    return Part(float(left), float(top), float(wide), float(high), (size, size))


def around(images: Images, number: int, size: int | None, context: float | None) -> Part:
    """Return a square of ground around a labelled box, moved into the image where it fits.

    Args:
        images: The images.
        number: Which of the boxes.
        size: Side wanted in pixels; None for the image's own.
        context: Share of the box's sides that is added; None for that of the baseline.
    """
    row = int(images.box_of[number])
    left, top, wide, high = images.box[number].tolist()
    pixel, sides = images.pixel[row], images.size[row]
    share = np.searchsorted(STEPS, (wide, high) / sides, side='right')
    more = np.take(CONTEXT, share) if context is None else np.full(2, context)
    ground = float(((wide, high) * pixel * (1 + more)).max())
    extent = ground / pixel
    start = (left + wide / 2, top + high / 2) - extent / 2
    # Where it is larger than the image, it holds it in the middle.
    start = np.where(extent <= sides, np.clip(start, 0, None), (sides - extent) / 2)
    start = np.where(extent <= sides, np.minimum(start, sides - extent), start)
    side = max(1, round(ground / images.gsd[row])) if size is None else size
    return Part(float(start[0]), float(start[1]), float(extent[0]), float(extent[1]), (side, side))


def anywhere(images: Images, row: int, size: int, draws: tuple[float, float]) -> Part:
    """Return a square of an image's own metres per pixel.

    Along an axis shorter than it, it holds the image.

    Args:
        images: The images.
        row: Which of them.
        size: Side in pixels.
        draws: Where along both axes, in 0..1.
    """
    # Rounded, so that square pixels are copied and not resampled for the last digit.
    extent = np.round(size * images.gsd[row] / images.pixel[row], 6)
    room = images.size[row] - extent
    low, high = np.ceil(np.minimum(room, 0)), np.floor(np.maximum(room, 0))
    left, top = np.minimum(np.floor(low + np.array(draws) * (high - low + 1)), high).tolist()
    return Part(left, top, float(extent[0]), float(extent[1]), (size, size))


def same_ground(images: Images, row: int, part: Part, other: int) -> Part:
    """Return the part of another image of a place that shows the ground of a part.

    Where nobody says where the images lie, it is the same share of both.

    Args:
        images: The images.
        row: Which of them the part is of.
        part: What of it.
        other: Which of them is the other.
    """
    if other == row:
        return part
    west, _, east, north = images.bounds[other]
    if np.isnan([west, *images.bounds[row]]).any():
        across, down = images.size[other] / images.size[row]
        left, top = part.left, part.top
        wide, high = part.width, part.height
    else:
        across = images.size[other, 0] / (east - west)
        down = images.size[other, 1] / (north - images.bounds[other, 1])
        first, lower, last, upper = footprint_of(images, row, part)
        left, top, wide, high = first - west, north - upper, last - first, upper - lower
    # Rounded, so that what lies on whole pixels is copied and not resampled for the last digit.
    edges = left * across, top * down, wide * across, high * down
    left, top, wide, high = np.round(edges, 6).tolist()
    return Part(left, top, wide, high, part.shape)


def gsd_of(images: Images, row: int, part: Part) -> float:
    """Return metres per pixel of a part as it is read.

    Args:
        images: The images.
        row: Which of them.
        part: What of it.
    """
    zoom = part.width / part.shape[1], part.height / part.shape[0]
    return float(np.sqrt((images.pixel[row] * zoom).prod()))


def footprint_of(images: Images, row: int, part: Part) -> NDArray[np.float64]:
    """Return the place of a part in degrees.

    Where nobody says where an image lies, it is a box beyond the pole, one for each location: so
    the dates of a location still share ground, and no two locations do.

    Args:
        images: The images.
        row: Which of them.
        part: What of it.

    Returns:
        West, south, east, north, (4,).
    """
    west, south, east, north = images.bounds[row]
    if np.isnan(west):
        beyond = 100.0 + 2 * images.location[row]
        return np.array([0.0, beyond, 1.0, beyond + 1])
    across, down = (east - west, south - north) / images.size[row]
    left, right = (west + edge * across for edge in (part.left, part.left + part.width))
    upper, lower = (north + edge * down for edge in (part.top, part.top + part.height))
    return np.array([left, lower, right, upper])
