"""A picture of a labelled sample: the image, what it is, and what was predicted."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray
from torch import Tensor

from ..transforms import Stretch, colour_bands
from ..types import Sample, Sensor

#: Colours of classes, which begin again where there are more.
COLOURS = (
    (0.85, 0.85, 0.85),
    (0.84, 0.15, 0.16),
    (0.12, 0.47, 0.71),
    (0.17, 0.63, 0.17),
    (1.0, 0.5, 0.05),
    (0.58, 0.4, 0.74),
    (0.55, 0.34, 0.29),
    (0.09, 0.75, 0.81),
)

#: Number of pixels that are not labelled, which stay white.
UNLABELLED = 255


def draw_labelled(sample: Sample, bands: Sequence[str], classes: Sequence[str]) -> Figure:
    """Draw a sample.

    Args:
        sample: ``image`` (C, H, W), ``valid`` (1, H, W) and ``gsd`` (); ``label`` () or (K,), or
            ``mask`` (H, W); and maybe a ``prediction`` of the same shape.
        bands: Names of the channels.
        classes: Names of the classes.
    """
    maps = {name: sample[name] for name in ('mask', 'prediction') if name in sample}
    maps = maps if 'mask' in sample else {}
    figure = Figure(figsize=(3.2 * (1 + len(maps)), 3.5), layout='constrained')
    axes = np.atleast_1d(figure.subplots(1, 1 + len(maps)))
    axes[0].imshow(_colours(sample, bands))
    axes[0].set_title(_title(sample, classes), fontsize=8)
    for axis, (name, values) in zip(axes[1:], maps.items(), strict=True):
        axis.imshow(_map(values), interpolation='nearest')
        axis.set_title(name, fontsize=8)
    for axis in axes:
        axis.set_axis_off()
    if maps:
        _legend(figure, classes, np.unique(np.stack([one.cpu().numpy() for one in maps.values()])))
    return figure


def _colours(sample: Sample, bands: Sequence[str]) -> NDArray[np.float32]:
    chosen = colour_bands(Sensor('', tuple(bands), (), ()))
    image = sample['image'].float().cpu().numpy()[chosen]
    valid = sample['valid'].cpu().numpy()[0].astype(bool)
    return Stretch(image, valid)(np.where(valid, image, -np.inf).astype(np.float32))


def _map(values: Tensor) -> NDArray[np.float32]:
    numbers = values.cpu().numpy()
    palette = np.array(COLOURS, np.float32)[numbers % len(COLOURS)]
    return np.where((numbers == UNLABELLED)[..., None], np.float32(1), palette)


def _legend(figure: Figure, classes: Sequence[str], shown: NDArray[np.integer]) -> None:
    """Name the colours of the classes that are shown."""
    known = [int(number) for number in shown if number < len(classes)][:12]
    patches = [Patch(color=COLOURS[n % len(COLOURS)], label=classes[n]) for n in known]
    figure.legend(handles=patches, loc='outside lower center', ncols=4, fontsize=7)


def _title(sample: Sample, classes: Sequence[str]) -> str:
    gsd = float(sample['gsd'])
    lines = [f'{gsd:.3g} m' if np.isfinite(gsd) else 'GSD not known']
    if 'label' in sample:
        lines.append(_named(sample['label'], classes))
        if 'prediction' in sample:
            lines.append(f'predicted: {_named(sample["prediction"], classes)}')
    return '\n'.join(lines)


def _named(label: Tensor, classes: Sequence[str]) -> str:
    numbers = label.nonzero().ravel().tolist() if label.ndim else [int(label)]
    return ', '.join(classes[number] for number in numbers) or 'none'
