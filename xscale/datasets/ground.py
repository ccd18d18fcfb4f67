"""Where images lie: which of those to test on show ground, or have a scale, that is trained on."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

#: Share of an image that others have to show for it to be seen. Boxes in degrees of images side by
#: side in UTM overlap by less: they are turned by up to 3 degrees there.
SEEN = 0.1

#: Pixels so many times larger or smaller than all that were trained on are of another scale.
OTHER = 2


class Place(NamedTuple):
    """Where an image lies, as far as it says.

    Attributes:
        gsd: Metres per pixel; NaN where it does not say.
        outline: In degrees; None where it does not say.
    """

    gsd: float = np.nan
    outline: shapely.Polygon | None = None


def box(footprint: NDArray[np.float64]) -> shapely.Polygon | None:
    """Return the outline of a footprint.

    Args:
        footprint: West, south, east, north in degrees, (4,); NaN where unknown.
    """
    return shapely.box(*footprint) if np.isfinite(footprint).all() else None


def place_warnings(places: Mapping[str, Sequence[Place]]) -> list[str]:
    """Warn of images to test on whose ground is trained on, or whose scale is not.

    Args:
        places: Where the images of each split lie.
    """
    told = []
    trained = places.get('train', ())
    for split in (name for name in places if name != 'train'):
        own = places[split]
        seen = int(
            seen_ground([one.outline for one in own], [one.outline for one in trained]).sum()
        )
        if seen:
            told.append(
                f'{seen:,} of {len(own):,} {split} images show ground that images of train show '
                'too: scores say little of new places'
            )
        told += _scale_warnings(split, own, trained)
    return told


def _scale_warnings(split: str, own: Sequence[Place], trained: Sequence[Place]) -> list[str]:
    gsd, known = (np.array([one.gsd for one in some if one.gsd > 0]) for some in (own, trained))
    if not len(gsd) or not len(known):
        return []
    far = gsd[(gsd * OTHER < known.min()) | (gsd > OTHER * known.max())]
    if not len(far):
        return []
    return [
        f'{len(far):,} of {len(own):,} {split} images have pixels of {_metres(far)}, and those of '
        f'train of {_metres(known)}: scores are of scales that were not trained on'
    ]


def _metres(gsd: NDArray[np.float64]) -> str:
    ends = dict.fromkeys(f'{end:.3g}' for end in (gsd.min(), gsd.max()))
    return f'{" to ".join(ends)} m'


def seen_ground(
    outlines: Sequence[shapely.Polygon | None], trained: Sequence[shapely.Polygon | None]
) -> NDArray[np.bool_]:
    """Tell of which images others show a tenth of the ground, or more.

    Args:
        outlines: Of the images, in degrees; None where one does not say.
        trained: Of the others.

    Returns:
        True for an image whose ground is seen, shape (N,).
    """
    seen = np.zeros(len(outlines), bool)
    # Of many dates of one place one is enough.
    others = list({one.wkb: one for one in filter(_usable, trained) if one}.values())
    placed = [number for number, one in enumerate(outlines) if _usable(one)]
    if not others or not placed:
        return seen
    tree = shapely.STRtree(others)
    # Past the antimeridian outlines go on beyond 180 degrees.
    for turn in (-360.0, 0.0, 360.0):
        shift = np.array([turn, 0.0])
        own = shapely.transform([outlines[n] for n in placed], lambda xy, by=shift: xy + by)
        mine, theirs = tree.query(own, predicate='intersects')
        order = np.argsort(mine)
        mine, theirs = mine[order], theirs[order]
        parts = shapely.intersection(own[mine], tree.geometries[theirs])
        numbers, starts = np.unique(mine, return_index=True)
        for number, some in zip(numbers, np.split(parts, starts[1:]), strict=False):
            seen[placed[number]] |= shapely.union_all(some).area >= SEEN * own[number].area
    return seen


def _usable(outline: shapely.Polygon | None) -> bool:
    """Tell whether an outline is known; around a pole there is none in degrees."""
    return outline is not None and bool(shapely.is_valid(outline))
