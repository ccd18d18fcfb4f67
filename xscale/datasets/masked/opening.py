"""Open images and their masks, or polygons: look at each once, and agree on the classes."""

import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tqdm.auto import tqdm

from ...errors import ConfigError, UnusableError
from ..find import Rejected
from ..formats import explain
from ..labelled.images import without_place
from .classes import UNLABELLED, Classes, Given, given_classes, make_classes
from .geobench import is_segmentation, open_geobench_masks
from .grids import differences
from .images import look_at_image
from .listing import Listing, Pair, hold_out, list_pairs
from .masks import look_at_mask
from .opened import Masked, Scene
from .polygons import Polygons

#: What may be left out: so many images, or this share of them if it is more.
FEW, SHARE = 1, 0.1

#: Files that are named.
TOLD = 10


def open_masked(
    data: str | Path,
    *,
    labels: str | Path | None = None,
    attribute: str | None = None,
    splits: str | Path | None = None,
    classes: Given | None = None,
    ignore: int | None = None,
    bands: Sequence[str] = (),
    gsd: float | None = None,
    val_share: float = 0.0,
    test_share: float = 0.0,
    seed: int = 0,
) -> Masked:
    """Open images and masks; each is looked at once, and read when a tile of it is asked for.

    Args:
        data: The folder, as :func:`~.listing.list_pairs` takes it; or a segmentation task of
            GEO-Bench, which has splits and classes of its own.
        labels: GeoJSON or GeoPackage of polygons in the place of masks.
        attribute: Its column that names the classes; None for one class.
        splits: A split file.
        classes: Names of the values from 0 on, or names by value; by default those of
            ``classes.txt``, or the values that the masks, or the column, hold.
        ignore: Value of what is not labelled; by default 255, unless it is a class.
        bands: Bands to read, by number (from 1), name or common name; empty for all.
        gsd: Metres per pixel of images that do not say.
        val_share: Share of the images of train that become validation where there is none.
        test_share: Likewise of test.
        seed: Decides which.

    Raises:
        MissingPathError: If a path does not exist.
        ConfigError: If an image and its mask do not lie on one grid, too many images have no mask
            or cannot be used, or there are no classes to learn.
    """
    folder = Path(data)
    if isinstance(bands, str):
        raise ConfigError(f'bands {bands!r}: a list of names is needed, such as [{bands!r}]')
    if gsd is not None and not 0 < gsd < float('inf'):
        raise ConfigError(f'gsd {gsd}: metres per pixel are needed, above 0')
    if attribute is not None and labels is None:
        raise ConfigError(f'attribute {attribute} names a column of polygons; give them (labels)')
    if is_segmentation(folder):
        own = {'labels': labels, 'splits': splits, 'classes': classes, 'ignore': ignore}
        for name, value in own.items():
            if value is not None:
                raise ConfigError(
                    f'{name} {value} does not go with {folder}: a task of GEO-Bench has its own'
                )
        return open_geobench_masks(folder, tuple(bands), gsd)
    listing = list_pairs(folder, splits, masked=labels is None)
    hold_out(listing, 'test', test_share, seed)
    hold_out(listing, 'val', val_share, seed)
    scenes = _look(listing, tuple(bands), gsd)
    _check_left_out(folder, listing, scenes)
    given = given_classes(classes, ignore, folder)
    polygons = None if labels is None else Polygons(labels, attribute, given, ignore)
    if polygons:
        _check_meet(polygons, scenes)
        listing.notes += polygons.notes
    chosen = polygons.classes if polygons else given or _found(scenes, ignore, listing.notes)
    header = next(iter(_all(scenes))).image.header
    name, notes = folder.resolve().name, listing.notes
    made = {split: list(some) for split, some in scenes.items() if some}
    return Masked(name, chosen, header.bands, header.dtype, made, polygons, notes, listing.rejected)


def _all(scenes: dict[str, list[Scene]]) -> list[Scene]:
    return [scene for split in scenes.values() for scene in split]


def _look(listing: Listing, bands: tuple[str, ...], gsd: float | None) -> dict[str, list[Scene]]:
    """Look at all files; images that cannot be used are left out."""

    def look(pair: Pair) -> Scene | str:
        try:
            image = look_at_image(pair.image, bands, gsd)
        except Exception as error:  # whatever is wrong with one, the others are looked at
            return explain(error) or 'cannot be read'
        try:
            return Scene(image, look_at_mask(pair.mask) if pair.mask else None)
        except Exception as error:  # likewise
            return f'its mask {pair.mask} {explain(error)}'

    total = sum(map(len, listing.pairs.values()))
    found: dict[str, list[Scene]] = {}
    with without_place(), tqdm(total=total, desc='looking', unit='image', delay=1.0) as progress:
        pool = ThreadPoolExecutor(min(8, 2 * (os.cpu_count() or 1)))
        try:
            for split, pairs in listing.pairs.items():
                found[split] = []
                for pair, scene in zip(pairs, pool.map(look, pairs), strict=True):
                    progress.update()
                    if isinstance(scene, str):
                        listing.rejected.append(Rejected(pair.image, scene))
                    else:
                        found[split].append(_on_one_grid(scene))
        finally:
            # Whoever stops it does not wait for all that was still to be looked at.
            pool.shutdown(cancel_futures=True)
    return _alike(found, bool(bands), listing)


def _on_one_grid(scene: Scene) -> Scene:
    image, mask = scene
    found = differences(image.grid, mask.grid) if mask else []
    if mask and found:
        raise ConfigError(
            f'{image.path} and its mask {mask.path} differ in {"; in ".join(found)}. Each pixel of '
            'the image needs its own label: cut or warp the mask onto the grid of the image '
            '(gdalwarp -r near), or give polygons (labels)'
        )
    return scene


def _alike(
    scenes: dict[str, list[Scene]], chosen: bool, listing: Listing
) -> dict[str, list[Scene]]:
    """Leave out images whose bands or dtype are not those of most."""
    kinds = Counter(scene.image.header.kind(chosen) for scene in _all(scenes))
    if len(kinds) < 2:
        return scenes
    usual = kinds.most_common(1)[0][0]
    kept: dict[str, list[Scene]] = {}
    for split, some in scenes.items():
        kept[split] = [one for one in some if one.image.header.kind(chosen) == usual]
        for scene in some:
            kind = scene.image.header.kind(chosen)
            if kind != usual:
                reason = f'holds {_told(kind)} where most hold {_told(usual)}'
                if kind[-1] == usual[-1]:
                    reason += '; choose bands that all have (bands), such as by common name'
                listing.rejected.append(Rejected(scene.image.path, reason))
    return kept


def _told(kind: tuple[str, ...]) -> str:
    """Write the bands and the dtype of an image."""
    return f'{", ".join(kind[:-1])} ({kind[-1]})'


def _check_left_out(folder: Path, listing: Listing, scenes: dict[str, list[Scene]]) -> None:
    """Refuse data of which too much cannot be used."""
    left_out, kept = listing.rejected, len(_all(scenes))
    told = ''.join(f'\n  {one.path} {one.reason}' for one in left_out[:TOLD])
    told += f'\n  … and {len(left_out) - TOLD:,} more' if len(left_out) > TOLD else ''
    total = kept + len(left_out)
    if not kept:
        raise ConfigError(f'{folder} holds no image that can be used, of {total:,}:{told}')
    if len(left_out) > max(FEW, int(SHARE * total)):
        raise ConfigError(
            f'{len(left_out):,} of {total:,} images of {folder} cannot be used; bring back what is '
            f'missing, or move them out of the folder:{told}'
        )


def _check_meet(polygons: Polygons, scenes: dict[str, list[Scene]]) -> None:
    """Refuse images without a place, and polygons that lie elsewhere."""
    touched = 0
    for scene in _all(scenes):
        try:
            touched += bool(polygons.on(scene.image))
        except UnusableError as error:
            raise ConfigError(
                f'{scene.image.path} {error}; polygons ({polygons.path}) can only be drawn onto '
                'images that say where on Earth they lie; give masks for others'
            ) from error
    count = len(_all(scenes))
    if not touched:
        raise ConfigError(
            f'no polygon of {polygons.path} lies on any of {count:,} images, such as '
            f'{_all(scenes)[0].image.path}; is its coordinate reference system right, and is it '
            'of this place?'
        )
    if touched < count:
        polygons.notes.append(
            f'{count - touched:,} of {count:,} images meet no polygon: all of them is '
            f'{polygons.classes.names[0]}'
        )


def _found(scenes: dict[str, list[Scene]], ignore: int | None, notes: list[str]) -> Classes:
    """Make a class of each value that masks hold, and note those of one mask alone."""
    values: dict[int, list[tuple[str, int]]] = {}
    nodata: set[int] = set()
    masks = [scene.mask for scene in _all(scenes) if scene.mask]
    for mask in tqdm(masks, desc='values of masks', unit='mask', delay=1.0):
        for value, pixels in mask.count().items():
            values.setdefault(value, []).append((mask.path, pixels))
        nodata |= set() if mask.nodata is None else {mask.nodata}
    apart = {UNLABELLED if ignore is None else ignore, *nodata}
    kept = sorted(values.keys() - apart)
    for value in kept:
        (path, pixels), *others = values[value]
        if not others and len(masks) > 2:
            notes.append(
                f'{value} is a class that one of {len(masks):,} masks holds alone: {path} '
                f'({pixels:,} pixels); if it is none, name the classes (classes), or set ignore: '
                f'{value}'
            )
    if len(kept) < 2:
        told = ', '.join(map(str, sorted(values)))
        raise ConfigError(
            f'the {len(masks):,} masks hold {told}, of which {", ".join(map(str, sorted(apart)))} '
            'is taken for not labelled; at least two classes are needed: name them with their '
            'values, such as 0: background and 255: roof (classes, or a line each in classes.txt)'
        )
    return make_classes([str(v) for v in kept], kept, ignore, 'as found in the masks')
