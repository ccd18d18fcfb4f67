"""Pictures of what test images were segmented to, beside what is there."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray
from torch import Tensor

from ..class_colours import class_colours
from ..transforms import downsample
from ..types import Sample
from .pictures import save_figure, show_cell, to_colours
from .segmentation import UNLABELLED

#: Of two classes: pixels of the second that were found, that were not, and what is none of them.
HIT, MISS, FALSE_ALARM = '#56b4e9', '#f0e442', '#d55e00'

#: Share of a class's colour over the image, width of a picture in inches, models side by side, and
#: classes that a legend names.
SHARE, CELL, ABREAST, NAMED = 0.62, 1.75, 3, 24

type Picture = NDArray[np.float32]


def draw_overlays(
    batch: Sample,
    maps: Mapping[tuple[str, str], Tensor],
    bands: Sequence[str],
    classes: Sequence[str],
    folder: Path,
) -> list[Path]:
    """Draw test images, what is there, and what each model made of them.

    Args:
        batch: ``image`` (B, C, S, S), ``valid`` (B, 1, S, S) and ``mask`` (B, S, S).
        maps: By name and way of training the class of each pixel, (B, S, S).
        bands: Names of the bands.
        classes: Names of the classes.
        folder: Where the PNGs go; each has a few models.

    Returns:
        The paths.
    """
    names = list(dict.fromkeys(name for name, _ in maps))
    paths = []
    for number, start in enumerate(range(0, len(names), ABREAST)):
        some = names[start : start + ABREAST]
        columns = {_label(n, way): one for (n, way), one in maps.items() if n in some}
        path = folder / f'overlays_{number}.png'
        paths.append(_draw(batch, columns, bands, classes, path))
    return paths


def _draw(
    batch: Sample,
    columns: Mapping[str, Tensor],
    bands: Sequence[str],
    classes: Sequence[str],
    path: Path,
) -> Path:
    count = len(batch['image'])
    size = ((2 + len(columns)) * CELL, count * CELL * 1.03 + 0.9)
    figure = Figure(figsize=size, layout='constrained')
    axes = figure.subplots(count, 2 + len(columns), squeeze=False)
    for row in range(count):
        image = to_colours(batch['image'][row], batch['valid'][row], bands)
        mask = batch['mask'][row].numpy()
        show_cell(axes[row, 0], image, 'black')
        show_cell(axes[row, 1], over(image, mask, classes), 'black')
        for axis, predicted in zip(axes[row, 2:], columns.values(), strict=True):
            show_cell(axis, judged(image, mask, predicted[row].numpy(), classes), 'black')
    for axis, title in zip(axes[0], ['image', 'what is there', *columns], strict=True):
        axis.set_title(title, fontsize=8)
    add_legend(figure, classes)
    return save_figure(figure, path)


def draw_at_scales(
    batch: Sample,
    maps: Mapping[tuple[str, str], Mapping[float, Tensor]],
    number: int,
    bands: Sequence[str],
    classes: Sequence[str],
    path: Path,
) -> Path:
    """Draw one test image at each scale, and what each model made of it.

    Args:
        batch: As for :func:`draw_overlays`.
        maps: By name and way of training the class of each pixel at each scale, (B, S, S).
        number: Of the image in the batch.
        bands: Names of the bands.
        classes: Names of the classes.
        path: PNG to write.
    """
    scales = sorted(next(iter(maps.values())))
    image, valid = batch['image'][number], batch['valid'][number]
    mask, whole = batch['mask'][number].numpy(), to_colours(image, valid, bands)
    size = (len(scales) * CELL + 1.2, (1 + len(maps)) * CELL * 1.03 + 0.9)
    figure = Figure(figsize=size, layout='constrained')
    axes = figure.subplots(1 + len(maps), len(scales), squeeze=False)
    for column, scale in enumerate(scales):
        coarse = downsample(image[None], valid[None], scale) if scale < 1 else None
        seen = to_colours(coarse.image[0], coarse.valid[0], bands) if coarse else whole
        show_cell(axes[0, column], seen, 'black')
        axes[0, column].set_title(f'{100 * scale:g} %', fontsize=8)
        for row, at in enumerate(maps.values(), 1):
            picture = judged(whole, mask, at[scale][number].numpy(), classes)
            show_cell(axes[row, column], picture, 'black')
    for axis, label in zip(
        axes[:, 0], ['image', *(_label(n, way) for n, way in maps)], strict=True
    ):
        axis.set_ylabel(label, fontsize=8)
    add_legend(figure, classes)
    return save_figure(figure, path)


def _label(name: str, way: str) -> str:
    """Name a model and how it was trained; what was not is known by its name alone."""
    return name if way == '–' else f'{name}\n{way}'


def judged(image: Picture, mask: NDArray, predicted: NDArray, classes: Sequence[str]) -> Picture:
    """Show a prediction: of two classes hits, misses and false alarms; of more the classes.

    Args:
        image: Colours 0 to 1, (H, W, 3).
        mask: True classes, (H, W).
        predicted: Predicted ones, (H, W).
        classes: Names of the classes.

    Returns:
        Colours 0 to 1, (H, W, 3).
    """
    if len(classes) > 2:
        return over(image, np.where(mask == UNLABELLED, UNLABELLED, predicted), classes)
    there, found = mask == 1, (predicted == 1) & (mask != UNLABELLED)
    cells = [(there & found, HIT), (there & ~found, MISS), (found & ~there, FALSE_ALARM)]
    return _painted(image, cells)


def over(image: Picture, numbers: NDArray, classes: Sequence[str]) -> Picture:
    """Lay colours of classes over an image; of two classes the second alone has one.

    Args:
        image: Colours 0 to 1, (H, W, 3).
        numbers: Classes, (H, W).
        classes: Names of the classes.
    """
    if len(classes) == 2:
        return _painted(image, [(numbers == 1, HIT)])
    cells = [(numbers == n, colour) for n, colour in enumerate(_colours(classes))]
    return _painted(image, cells)


def _colours(classes: Sequence[str]) -> list[str]:
    return [f'#{red:02x}{green:02x}{blue:02x}' for red, green, blue in class_colours(classes)]


def _painted(image: Picture, cells: Sequence[tuple[NDArray, str]]) -> Picture:
    """Blend colours into the brightness of an image."""
    grey = (image @ np.array([0.3, 0.59, 0.11], np.float32))[..., None].repeat(3, -1)
    painted = grey.copy()
    for where, colour in cells:
        painted[where] = (1 - SHARE) * grey[where] + SHARE * np.array(to_rgb(colour))
    return painted.astype(np.float32)


def add_legend(figure: Figure, classes: Sequence[str]) -> None:
    """Name the colours below a figure.

    Args:
        figure: The figure.
        classes: Names of the classes.
    """
    if len(classes) == 2:
        name = classes[1]
        told = {f'{name}, found': HIT, f'{name}, missed': MISS, 'false alarm': FALSE_ALARM}
    else:
        shown = list(classes)[:NAMED]
        told = dict(zip(shown, _colours(classes), strict=False))
    patches = [Patch(color=colour, label=name) for name, colour in told.items()]
    figure.legend(handles=patches, loc='outside lower center', ncols=4, fontsize=8, frameon=False)
