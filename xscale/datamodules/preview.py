"""Look at a folder before training on it: where it lies, and what a batch of it looks like."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import shapely
from matplotlib import colormaps, figure
from matplotlib.axes import Axes
from numpy.typing import NDArray

from .. import geo
from ..datasets.files import Files
from ..datasets.rasters import Rasters, TileSlice
from ..samplers import CrossScaleSampler
from ..transforms import Stretch, colour_bands

#: Places drawn one by one beside the overview.
PLACES = 11


def draw_map(files: Files, path: str | Path) -> None:
    """Draw the footprints: an overview, and each place by itself, coloured by GSD.

    Args:
        files: The rasters.
        path: Where to write the PNG.
    """
    outlines = shapely.from_wkb(files.table['geometry'])
    group = geo.gsd_groups(files.gsd)
    colours = colormaps['viridis_r'](np.linspace(0.08, 0.95, group.max() + 1))
    labels = [f'{files.gsd[group == number].min():.3g} m' for number in range(group.max() + 1)]
    places = _places(outlines)
    shown = min(PLACES, len(places))
    cols = min(4, 1 + shown)
    rows = -(-(1 + shown) // cols)
    fig = figure.Figure(figsize=(3.6 * cols, 3.2 * rows + 0.5), layout='constrained')
    axes = fig.subplots(rows, cols, squeeze=False).ravel()
    middles = np.array([[o.centroid.x, o.centroid.y] for o in outlines])
    for number, label in enumerate(labels):
        own = group == number
        axes[0].scatter(*middles[own].T, s=28, color=colours[number], label=label, zorder=3)
    _frame(axes[0], f'{_count(len(files))}, {len(places)} places')
    axes[0].margins(0.15)
    for number, (axis, members) in enumerate(zip(axes[1:], places, strict=False), 1):
        axes[0].annotate(str(number), middles[members[0]], fontsize=8, zorder=4)
        # The coarsest first, so that the finest lies on top.
        for member in sorted(members, key=lambda m: -group[m]):
            x, y = outlines[member].exterior.xy
            axis.fill(x, y, color=colours[group[member]], alpha=0.15)
            axis.plot(x, y, color=colours[group[member]], linewidth=1.4)
        south, north = axis.get_ylim()
        axis.set_aspect(1 / np.cos(np.radians((south + north) / 2)), adjustable='datalim')
        _frame(axis, f'{number}: {_size(outlines[members])}, {_count(len(members))}')
    for axis in axes[1 + shown :]:
        axis.set_axis_off()
    fig.legend(loc='outside lower center', ncols=8, fontsize=8, title='ground sample distance')
    fig.savefig(path, dpi=110)


def _places(outlines: NDArray[np.object_]) -> list[NDArray[np.integer]]:
    """Group rasters whose footprints touch, the largest groups first."""
    tree = shapely.STRtree(outlines)
    parent = np.arange(len(outlines))

    def root(number: int) -> int:
        while parent[number] != number:
            number = parent[number]
        return number

    for one, other in tree.query(outlines, 'intersects').T.tolist():
        parent[root(one)] = root(other)
    roots = np.array([root(number) for number in range(len(outlines))])
    groups = [np.flatnonzero(roots == number) for number in np.unique(roots)]
    return sorted(groups, key=len, reverse=True)


def _count(rasters: int) -> str:
    return f'{rasters} raster' + ('' if rasters == 1 else 's')


def _size(outlines: NDArray[np.object_]) -> str:
    west, south, east, north = shapely.total_bounds(outlines)
    tall = (north - south) * 111.32
    wide = (east - west) * 111.32 * np.cos(np.radians((south + north) / 2))
    return f'{wide:.3g} × {tall:.3g} km'


def _frame(axis: Axes, title: str) -> None:
    axis.set_title(title, fontsize=9)
    axis.grid(alpha=0.3)
    axis.tick_params(labelsize=7)
    axis.ticklabel_format(useOffset=False, style='plain')
    axis.locator_params(axis='x', nbins=4)
    axis.locator_params(axis='y', nbins=5)


def draw_tiles(dataset: Rasters, draws: Sequence[TileSlice], path: str | Path) -> None:
    """Draw tiles as a contact sheet, each with its GSD, its side on the ground and its file.

    Args:
        dataset: The rasters.
        draws: Which tiles.
        path: Where to write the PNG.
    """
    cols = min(6, len(draws))
    rows = -(-len(draws) // cols)
    fig = figure.Figure(figsize=(2.3 * cols, 2.6 * rows), layout='constrained')
    axes = fig.subplots(rows, cols, squeeze=False).ravel()
    for axis in axes:
        axis.set_axis_off()
    for axis, draw in zip(axes, draws, strict=False):
        sample = dataset[draw]
        image, valid = sample['image'].numpy(), sample['valid'][0].numpy()
        bands = colour_bands(dataset.sensors[int(sample['sensor'])])
        axis.imshow(Stretch(image[bands], valid)(np.where(valid, image[bands], -np.inf)))
        gsd, size = float(sample['gsd']), draw.tile.size
        side = gsd * size
        far = f'{side / 1000:.3g} km' if side >= 1000 else f'{side:.0f} m'
        axis.set_title(f'{gsd:.3g} m, {far} wide', fontsize=9)
        name = Path(dataset.rows.path(draw.tile.row)).stem
        axis.text(
            0.5,
            -0.03,
            name if len(name) < 34 else f'{name[:16]}…{name[-16:]}',
            transform=axis.transAxes,
            ha='center',
            va='top',
            fontsize=6,
        )
    fig.savefig(path, dpi=110)


def spread_draws(
    dataset: Rasters, size: int, count: int, gsd: tuple[float, float] | None = None, seed: int = 0
) -> list[TileSlice]:
    """Draw tiles for a contact sheet: all ground sample distances alike, the finest first.

    Args:
        dataset: The rasters.
        size: Side of a tile in pixels.
        count: How many.
        gsd: Finest and coarsest ground sample distance in metres; each raster's own by default.
        seed: Seed of the draws.
    """
    sampler = CrossScaleSampler(
        dataset,
        size=size,
        batch_size=count,
        gsd=gsd,
        balance='gsd',
        temperature=1e6,
        max_nodata=0.75,
        seed=seed,
    )
    return sorted(sampler.batch(0, 0), key=lambda draw: draw.gsd)
