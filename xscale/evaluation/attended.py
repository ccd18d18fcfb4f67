"""Pictures of where tokens look, at several scales side by side."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from .evaluate import Shown
from .pictures import CELL, save_figure, show_cell, to_colours


def draw_attention(
    seen: Mapping[float, tuple[Shown, Mapping[str, Tensor]]], bands: Sequence[str], path: Path
) -> Path:
    """Draw images at several scales, and beside each where its tokens look.

    The maps of one token and image have one range at all scales: the brightest is the most that
    any patch of that image gets at any scale. The patch in the middle, which asks, is framed.

    Args:
        seen: At each scale what the encoder was shown, and by the name of the token that asks the
            share of its attention each patch gets, (B, h, w).
        bands: Names of the bands.
        path: PNG to write.
    """
    asked = list(next(iter(seen.values()))[1])
    count, width = len(next(iter(seen.values()))[0][0]), 1 + len(asked)
    size = (width * len(seen) * CELL, count * CELL * 1.06 + 0.3)
    figure = Figure(figsize=size, layout='constrained')
    axes = figure.subplots(count, width * len(seen), squeeze=False)
    for block, (scale, ((image, _, valid), maps)) in enumerate(seen.items()):
        for column, title in enumerate([f'{100 * scale:g} %', *asked], block * width):
            axes[0, column].set_title(title, fontsize=8)
        for row in range(count):
            first = axes[row, block * width]
            show_cell(first, to_colours(image[row].cpu(), valid[row].cpu(), bands), 'black')
            first.add_patch(_middle(image.shape[-1], maps[asked[0]].shape[-1]))
            for column, name in enumerate(asked, block * width + 1):
                most = max(float(other[name][row].max()) for _, other in seen.values())
                share = (maps[name][row] / max(most, 1e-9)).cpu().numpy()
                show_cell(axes[row, column], share, 'black')
    return save_figure(figure, path)


def _middle(pixels: int, patches: int) -> Rectangle:
    """Frame the patch in the middle, the lower right one of an even number."""
    patch = pixels / patches
    corner = patches // 2 * patch - 0.5
    return Rectangle((corner, corner), patch, patch, fill=False, ec='white', lw=1.5)
