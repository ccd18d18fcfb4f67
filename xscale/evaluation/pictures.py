"""Pictures of what features see: nearest neighbours across scales, and maps of tokens."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from ..transforms import downsample
from ..transforms.stretch import Stretch, colour_bands
from ..types import Sensor
from .evaluate import Evaluation
from .features import Squares
from .knn import neighbours
from .pca import fit_colours
from .store import Found

#: Images of a strip besides the query, and queries.
NEAREST, QUERIES = 6, 8

#: Frames of neighbours that are of the query's class, and that are not.
RIGHT, WRONG = '#2e8b57', '#d1495b'

#: Sides of pictures in inches.
CELL = 1.15


def to_colours(image: Tensor, valid: Tensor, bands: Sequence[str]) -> NDArray[np.float32]:
    """Turn an image into one for people.

    Args:
        image: Values in any unit, (C, H, W).
        valid: Where they hold data, (1, H, W).
        bands: Names of the bands.

    Returns:
        Colours 0 to 1, (H, W, 3).
    """
    return _stretch(image, valid, bands)(image)


def _stretch(
    image: Tensor, valid: Tensor, bands: Sequence[str]
) -> Callable[[Tensor], NDArray[np.float32]]:
    """Return how images are turned into colours that suit one of them."""
    numbers = colour_bands(Sensor('', tuple(bands), (), ()))
    there = valid.cpu().numpy()[0]
    stretch = Stretch(image.cpu().numpy()[numbers], there)

    def colours(picture: Tensor) -> NDArray[np.float32]:
        values = picture.float().cpu().numpy()[numbers]
        return stretch(np.where(there, values, -np.inf).astype(np.float32))

    return colours


def draw_strips(
    evaluation: Evaluation, embedder: Any, train: Found, test: Found, scale: float, path: Path
) -> Path:
    """Draw what is nearest, at full scale, to query images at another.

    Args:
        evaluation: The data and its settings.
        embedder: The encoder.
        train: Features of the gallery at full scale.
        test: Features of the queries at their scale.
        scale: That scale.
        path: PNG to write.
    """
    data, labels = evaluation.data, evaluation.labels
    chosen = evaluation.some(QUERIES)
    pooling = embedder.poolings[0]
    count = min(NEAREST, len(labels.train))
    near = neighbours(train[pooling], torch.from_numpy(np.array(test[pooling][chosen])), count)
    figure = Figure(figsize=((count + 1) * CELL, len(chosen) * CELL * 1.14), layout='constrained')
    axes = figure.subplots(len(chosen), count + 1, squeeze=False)
    gallery = Squares(data.splits['train'], evaluation.side)
    queries = Squares(data.splits['test'], evaluation.side)
    for row, query in enumerate(chosen):
        sample = queries[query]
        image, valid = sample['image'][None], sample['valid'][None]
        if scale < 1:
            image, valid, _ = downsample(image, valid, scale)
        show_cell(axes[row, 0], to_colours(image[0], valid[0], data.bands), 'black')
        axes[row, 0].set_ylabel(_names(labels.test[query], data.classes)[:16], fontsize=7)
        for column, number in enumerate(near.indices[row].tolist(), 1):
            there = gallery[number]
            same = _alike(labels.train[number], labels.test[query])
            picture = to_colours(there['image'], there['valid'], data.bands)
            show_cell(axes[row, column], picture, RIGHT if same else WRONG)
    axes[0, 0].set_title(f'at {100 * scale:g} %', fontsize=8)
    for column in range(1, count + 1):
        axes[0, column].set_title(f'{column}', fontsize=8)
    return save_figure(figure, path)


def draw_maps(
    evaluation: Evaluation, embedder: Any, scales: Sequence[float], count: int, path: Path
) -> Path | None:
    """Draw the three directions in which tokens vary most, as colours, at several scales.

    Args:
        evaluation: The data and its settings.
        embedder: The encoder.
        scales: Of the sides; images are enlarged again, so that all maps have one size.
        count: Number of test images.
        path: PNG to write.

    Returns:
        The path; None where the encoder has no tokens.
    """
    chosen = evaluation.some(count)
    seen = {scale: evaluation.shown(embedder, chosen, scale) for scale in scales}
    encoded = [embedder(*shown).tokens for shown in seen.values()]
    if any(tokens is None for tokens in encoded):
        return None
    tokens = [one.cpu() for one in encoded]
    side = round(tokens[0].shape[1] ** 0.5)
    if side**2 != tokens[0].shape[1] or side < 2:
        return None
    # One set of colours for all: what changes with scale shows as a change of colour.
    colours = fit_colours(torch.cat(tokens).flatten(0, 1))
    columns = 2 * len(scales)
    size = (columns * CELL, len(chosen) * CELL * 1.06 + 0.3)
    figure = Figure(figsize=size, layout='constrained')
    axes = figure.subplots(len(chosen), columns, squeeze=False)
    for column, (scale, (shown, _, valid)) in enumerate(seen.items()):
        maps = colours(tokens[column], side, side)
        for row, picture in enumerate(shown.cpu()):
            image = to_colours(picture, valid[row], evaluation.data.bands)
            show_cell(axes[row, 2 * column], image, 'black')
            show_cell(axes[row, 2 * column + 1], maps[row].permute(1, 2, 0).numpy(), 'black')
        axes[0, 2 * column].set_title(f'{100 * scale:g} %', fontsize=8)
        axes[0, 2 * column + 1].set_title('features', fontsize=8)
    return save_figure(figure, path)


def draw_scales(evaluation: Evaluation, scales: Sequence[float], count: int, path: Path) -> Path:
    """Draw test images as the protocol makes them coarser.

    Args:
        evaluation: The data and its settings.
        scales: Of the sides.
        count: Number of images.
        path: PNG to write.
    """
    queries = Squares(evaluation.data.splits['test'], evaluation.side)
    chosen = evaluation.some(count)
    size = (len(chosen) * CELL, len(scales) * CELL)
    figure = Figure(figsize=size, layout='constrained')
    axes = figure.subplots(len(scales), len(chosen), squeeze=False)
    for column, number in enumerate(chosen):
        sample = queries[number]
        for row, scale in enumerate(scales):
            image, valid = sample['image'][None], sample['valid'][None]
            if scale < 1:
                image, valid, _ = downsample(image, valid, scale)
            picture = to_colours(image[0], valid[0], evaluation.data.bands)
            show_cell(axes[row, column], picture, 'black')
            axes[row, 0].set_ylabel(f'{100 * scale:g} %', fontsize=8)
    return save_figure(figure, path)


def draw_made(
    made: Mapping[float, tuple[Tensor, Tensor, Tensor]], bands: Sequence[str], path: Path
) -> Path:
    """Draw images and what a decoder made of their hidden patches, at several scales.

    Args:
        made: At each scale images, (B, C, S, S), what was made of them, likewise, and where they
            hold data, (B, 1, S, S).
        bands: Names of the bands.
        path: PNG to write.
    """
    count, columns = len(next(iter(made.values()))[0]), 2 * len(made)
    size = (columns * CELL, count * CELL * 1.06 + 0.3)
    figure = Figure(figsize=size, layout='constrained')
    axes = figure.subplots(count, columns, squeeze=False)
    for column, (scale, (images, answers, valid)) in enumerate(made.items()):
        axes[0, 2 * column].set_title(f'{100 * scale:g} %', fontsize=8)
        axes[0, 2 * column + 1].set_title('reconstructed', fontsize=8)
        for row in range(count):
            stretch = _stretch(images[row], valid[row], bands)
            for offset, picture in enumerate((images[row], answers[row])):
                show_cell(axes[row, 2 * column + offset], stretch(picture), 'black')
    return save_figure(figure, path)


def show_cell(axes: Any, picture: NDArray[np.float32], frame: str) -> None:
    """Show a picture without ticks.

    Args:
        axes: Where.
        picture: Colours or brightness 0 to 1, (H, W, 3) or (H, W).
        frame: Colour of the frame; a black one is thin.
    """
    axes.imshow(picture, interpolation='nearest', vmin=0, vmax=1)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set(color=frame, linewidth=0.5 if frame == 'black' else 2.5)


def _names(label: Tensor, classes: Sequence[str]) -> str:
    if label.ndim:
        return ', '.join(classes[number] for number in label.nonzero()[:, 0].tolist())
    return classes[int(label)]


def _alike(one: Tensor, other: Tensor) -> bool:
    return bool((one & other).any()) if one.ndim else bool(one == other)


def save_figure(figure: Figure, path: Path) -> Path:
    """Write a figure of pictures, and the folder it lies in.

    Args:
        figure: The figure.
        path: PNG to write.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=85)
    return path
