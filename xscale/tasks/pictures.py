"""Pictures of training: reconstructions at both scales, and the curves of the losses."""

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
import torch
from matplotlib import figure, ticker
from numpy.typing import NDArray
from torch import Tensor

from ..datasets.conventions import BY_NAME, find_band, recognise
from ..models.dates import FIRST_YEAR
from ..objectives.masked import MaskedObjective, Picture
from ..transforms import Stretch, colour_bands
from ..types import Masks, Sample, Sensor, View
from .frames import line_up

if TYPE_CHECKING:
    from .pretraining import Pretraining

type Image = NDArray[np.float32]


def draw_reconstructions(task: 'Pretraining', batch: Sample, path: Path) -> None:
    """Draw original, masked and reconstructed views of a few tiles.

    Args:
        task: The task, in evaluation mode.
        batch: Tiles, as the data loader gives them; the views and masks are always the same.
        path: Where to write the PNG.
    """
    objective = cast(MaskedObjective, task.objective)
    generator = task.generator(0)
    views = task.make_views(batch, generator)
    masks = objective.draw_masks(views, generator)
    batch, _ = line_up(batch, views[0].frames)
    sensor = batch.get('sensor')
    sensors = [sensor, batch.get('sensor_coarse', sensor)]
    columns = [
        _columns(task, *one)
        for one in zip(views, masks, objective.pictures(views, masks), sensors, strict=False)
    ]
    views = views[: len(columns)]
    names = ['fine', 'coarse'] if len(views) > 1 else ['view']
    # Images of one place stand side by side, as views of one tile do.
    frames = views[0].frames
    rows, cols = len(batch['image']) // frames, frames * sum(map(len, columns))
    fig = figure.Figure(figsize=(2.1 * cols, 2.3 * rows), layout='constrained')
    axes = fig.subplots(rows, cols, squeeze=False)
    known = [Sensor(**sensor) for sensor in task.input_contract()['sensors']]
    for row in range(rows):
        shown: list[tuple[str, Image]] = []
        for number, frame in product(range(len(views)), range(frames)):
            view, which, image = views[number], sensors[number], row * frames + frame
            gsd = float(view.gsd[image])
            rgb = shown_bands(known[0 if which is None else int(which[image])], gsd)
            original = columns[number][0].pixels[image]
            stretch = Stretch(original[rgb], view.valid[image, 0].cpu().numpy())
            title = f'{names[number]}, {gsd:.3g} m'
            if view.time is not None:
                title = f'{_month(view.time[image])}, {gsd:.3g} m'
            for column in columns[number]:
                pixels = column.pixels[image]
                picture = pixels.transpose(1, 2, 0) if column.drawn else stretch(pixels[rgb])
                shown.append((column.name or title, picture))
        for axis, (title, picture) in zip(axes[row], shown, strict=True):
            axis.imshow(picture)
            axis.set_axis_off()
            axis.set_title(title, fontsize=9)
    fig.savefig(path, dpi=110)


class _Column(NamedTuple):
    """One picture of each tile: its name, and pixels in the files' units or a drawing."""

    name: str
    pixels: Image
    drawn: bool = False


def _columns(
    task: 'Pretraining',
    view: View,
    masks: Masks,
    pictures: Sequence[Picture],
    sensor: Tensor | None,
) -> list[_Column]:
    """Return original, masked (NaN) and what was made, (B, C, H, W) each."""
    hidden = cast(MaskedObjective, task.objective).hidden(view, masks)
    masked = view.image.masked_fill(hidden, float('nan'))
    columns = []
    for one in (Picture('', view.image), Picture('masked', masked), *pictures):
        image = one.image.float()
        if not one.drawn:
            if task.normalize is not None:
                image = task.normalize.inverse(image, 0 if sensor is None else sensor)
            # What was missing in the data stays missing in every picture.
            image = image.masked_fill(~view.valid, -torch.inf)
        columns.append(_Column(one.name, image.cpu().numpy(), one.drawn))
    return columns


def shown_bands(sensor: Sensor, gsd: float) -> list[int]:
    """Choose red, green and blue, also where a sensor calls them otherwise: B4, B3 and B2.

    Args:
        sensor: The sensor.
        gsd: Metres per pixel, by which families that use the same names are told apart.

    Returns:
        Their numbers from 0; see :func:`~xscale.transforms.colour_bands`.
    """
    colours = 'red', 'green', 'blue'
    family = BY_NAME.get(sensor.name.split(' ')[0]) or recognise(sensor.bands, gsd)
    found = [find_band(colour, sensor.bands, family) for colour in colours]
    if set(colours) <= set(sensor.group.split('-')) or None in found:
        return colour_bands(sensor)
    return [number - 1 for number in found if number is not None]


def _month(time: Tensor) -> str:
    """Write the month of an image."""
    year, month, _ = time.tolist()
    return f'{FIRST_YEAR + year:.0f}-{month + 1:02.0f}'


def draw_losses(curves: Mapping[str, Sequence[tuple[int, float]]], path: Path) -> None:
    """Draw the curves of the loss, its terms and nearest neighbours.

    Args:
        curves: (step, value) of each.
        path: Where to write the PNG.
    """
    names = sorted(curves, key=lambda name: (name != 'loss', name))
    if not names:
        return
    fig = figure.Figure(figsize=(3.6 * len(names), 3), layout='constrained')
    axes = fig.subplots(1, len(names), squeeze=False)[0]
    for axis, name in zip(axes, names, strict=True):
        steps, values = zip(*curves[name], strict=True)
        # Of a few points each is seen, even a single one.
        dots = '.' if len(steps) < 30 else None
        axis.plot(steps, values, linewidth=1.2, color='#1f5f8b', marker=dots)
        axis.set_title(name.replace('_', ' '), fontsize=10)
        axis.set_xlabel('step')
        axis.grid(alpha=0.3)
        axis.xaxis.set_major_locator(ticker.MaxNLocator(5, integer=True))
        axis.spines[['top', 'right']].set_visible(False)
    fig.savefig(path, dpi=110)
