"""Look at pairs before training on them: do both rasters show the same ground?"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib import figure
from matplotlib.axes import Axes
from numpy.typing import NDArray
from torch.nn import functional as F

from ..datasets.rasters import Rasters, TileSlice
from ..samplers import PairSampler
from ..transforms import Stretch, colour_bands
from ..types import Sample, Sensor
from .shift import CLEAR, Shift, measure_shift

#: Squares of the checkerboard along a side.
SQUARES = 6


def draw_pairs(dataset: Rasters, draws: Sequence[TileSlice], path: str | Path) -> None:
    """Draw pairs as a contact sheet: fine, coarse, and a checkerboard of both.

    Args:
        dataset: The rasters.
        draws: Which pairs.
        path: Where to write the PNG.
    """
    across = 2 if len(draws) > 1 else 1
    rows = -(-len(draws) // across)
    fig = figure.Figure(figsize=(7.2 * across, 2.75 * rows), layout='constrained')
    axes = fig.subplots(rows, 3 * across, squeeze=False).reshape(-1, 3)
    for axis in axes.ravel():
        axis.set_axis_off()
    for (left, middle, right), draw in zip(axes, draws, strict=False):
        sample = dataset[draw]
        fine, coarse = _both(dataset.sensors, sample)
        left.imshow(fine)
        middle.imshow(coarse)
        right.imshow(_checkerboard(fine, coarse))
        shift = pair_shift(dataset.sensors, sample)
        _caption(left, float(sample['gsd']), dataset.rows.path(draw.tile.row))
        row = int(sample['row_coarse'])
        _caption(middle, float(sample['gsd_coarse']), dataset.rows.path(row))
        right.set_title(_days(sample), fontsize=9)
        _below(right, _shifted(shift, float(sample['gsd_coarse'])))
    fig.savefig(path, dpi=110)


def spread_pairs(
    dataset: Rasters, size: int, count: int, max_days: float | None = None, seed: int = 0
) -> list[TileSlice]:
    """Draw pairs for a contact sheet, so that all pairs of rasters have their turn.

    Args:
        dataset: The rasters.
        size: Pixels a side in which the coarse part is read at least; the fine one has twice that.
        count: How many.
        max_days: Days between the two at most.
        seed: Seed of the draws.

    Raises:
        ConfigError: If no two rasters make a pair.
        NoRastersError: If no raster can hold a tile.
    """
    sampler = PairSampler(
        dataset,
        size=2 * size,
        view=size,
        batch_size=8 * count,
        share=1.0,
        max_days=max_days,
        balance='gsd',
        temperature=1e6,
        tries=1,
        seed=seed,
    )
    kinds: dict[tuple[int, int], list[TileSlice]] = {}
    for draw in sampler.batch(0, 0):
        kinds.setdefault((draw.tile.row, draw.tile.partner), []).append(draw)
    turns = [draws[turn : turn + 1] for turn in range(8 * count) for draws in kinds.values()]
    chosen = [draw for turn in turns for draw in turn][:count]
    return sorted(chosen, key=lambda draw: (draw.gsd, draw.tile.row, draw.tile.partner))


def pair_shift(sensors: Sequence[Sensor], sample: Sample) -> Shift:
    """Measure by how much the coarse part of a pair lies beside the fine one, in coarse pixels.

    Args:
        sensors: The dataset's sensors.
        sample: The pair.
    """
    size = coarse_size(sample)
    fine, coarse = (sensors[int(sample[key])] for key in ('sensor', 'sensor_coarse'))
    shared = set(fine.group.split('-')) & set(coarse.group.split('-'))
    shown = []
    for part, sensor in (('', fine), ('_coarse', coarse)):
        names = sensor.group.split('-')
        # Bands that both have look alike; of others, the mean of all.
        bands = [names.index(name) for name in sorted(shared)] or range(len(sensor.bands))
        shown.append(sample[f'image{part}'][list(bands)].mean(0, keepdim=True))
    image = _shrunk(shown[0], size)[0].numpy()
    valid = _shrunk(sample['valid'].float(), size)[0].numpy() > 0.99
    other = shown[1][0, :size, :size].numpy()
    return measure_shift(image, other, valid & sample['valid_coarse'][0, :size, :size].numpy())


def coarse_size(sample: Sample) -> int:
    """Return the pixels a side that the coarse part of a pair takes of its array.

    Args:
        sample: The pair.
    """
    side = sample['image'].shape[-1] * float(sample['gsd'])
    return round(side / float(sample['gsd_coarse']))


def _shrunk(image: torch.Tensor, size: int) -> torch.Tensor:
    """Resize an image (C, H, W) with an anti-aliasing filter."""
    return F.interpolate(image[None], (size, size), mode='bilinear', antialias=True)[0]


def _both(
    sensors: Sequence[Sensor], sample: Sample
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return both parts as pictures of one size, (H, W, 3)."""
    size, side = coarse_size(sample), sample['image'].shape[-1]
    pictures = []
    for part, key in (('', 'sensor'), ('_coarse', 'sensor_coarse')):
        wide = size if part else side
        bands = colour_bands(sensors[int(sample[key])])
        image = sample[f'image{part}'][bands, :wide, :wide].numpy()
        there = sample[f'valid{part}'][0, :wide, :wide].numpy()
        picture = Stretch(image, there)(np.where(there, image, -np.inf))
        index = np.arange(side) * wide // side
        pictures.append(picture[index][:, index])
    return pictures[0], pictures[1]


def _checkerboard(fine: NDArray[np.float32], coarse: NDArray[np.float32]) -> NDArray[np.float32]:
    rows, cols = np.indices(fine.shape[:2]) * SQUARES // fine.shape[0]
    return np.where(((rows + cols) % 2 == 0)[..., None], fine, coarse)


def _caption(axis: Axes, gsd: float, path: str) -> None:
    name = Path(path).stem
    axis.set_title(f'{gsd:.3g} m', fontsize=9)
    _below(axis, name if len(name) < 34 else f'{name[:16]}…{name[-16:]}')


def _below(axis: Axes, text: str) -> None:
    axis.text(0.5, -0.03, text, fontsize=6, ha='center', va='top', transform=axis.transAxes)


def _days(sample: Sample) -> str:
    if not sample['paired']:
        return 'one raster at two scales'
    days = float(sample['days'])
    if math.isnan(days):
        return 'dates not known'
    return f'{days:.0f} days apart' if days else 'same day'


def _shifted(shift: Shift, gsd: float) -> str:
    if shift.clear < CLEAR:
        return 'shift unclear: too little in common'
    return (
        f'measured shift {shift.right:+.2f} right, {shift.down:+.2f} down, in pixels of {gsd:.3g} m'
    )
