"""Pictures of training: reconstructions at both scales, and the curves of the losses."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
import torch
from matplotlib import figure, ticker
from numpy.typing import NDArray
from torch import Tensor

from ..models.tokens import unpatchify
from ..objectives.masked import MaskedObjective, Picture
from ..transforms import Stretch, colour_bands
from ..types import Masks, Sample, Sensor, View

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
    sensor = batch.get('sensor')
    sensors = [sensor, batch.get('sensor_coarse', sensor)]
    columns = [
        _columns(task, *one)
        for one in zip(views, masks, objective.pictures(views, masks), sensors, strict=False)
    ]
    views = views[: len(columns)]
    names = ['fine', 'coarse'] if len(views) > 1 else ['view']
    rows, cols = len(batch['image']), sum(map(len, columns))
    fig = figure.Figure(figsize=(2.1 * cols, 2.3 * rows), layout='constrained')
    axes = fig.subplots(rows, cols, squeeze=False)
    known = [Sensor(**sensor) for sensor in task.input_contract()['sensors']]
    for row in range(rows):
        shown: list[tuple[str, Image]] = []
        for number, (view, name) in enumerate(zip(views, names, strict=True)):
            which = sensors[number]
            rgb = colour_bands(known[0 if which is None else int(which[row])])
            original = columns[number][0].pixels[row]
            stretch = Stretch(original[rgb], view.valid[row, 0].cpu().numpy())
            title = f'{name}, {float(view.gsd[row]):.3g} m'
            for column in columns[number]:
                pixels = column.pixels[row]
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
    size, patch = view.image.shape[-2:], cast(MaskedObjective, task.objective).patch
    hidden = masks.masked[..., None].expand(-1, -1, patch * patch)
    grey = unpatchify(hidden.float(), patch, *size) > 0
    masked = view.image.masked_fill(grey, float('nan'))
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
