"""Figures of an evaluation, drawn from its results."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, PercentFormatter

#: Colours that differ in lightness too; controls are grey.
COLOURS = ('#0b6fa4', '#d1495b', '#2e8b57', '#edae49', '#6a4c93', '#00a6a6', '#8c564b')
GREYS = ('#555555', '#999999', '#bbbbbb')
DASHES = ('-', '--', ':')

type Model = Mapping[str, Any]


def colours(models: Mapping[str, Model]) -> dict[str, str]:
    """Give each model a colour, controls a grey.

    Args:
        models: Results by name.
    """
    chosen, seen = {}, {True: 0, False: 0}
    for name, model in models.items():
        control = model['control']
        palette = GREYS if control else COLOURS
        chosen[name] = palette[seen[control] % len(palette)]
        seen[control] += 1
    return chosen


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout='constrained')
    axes = figure.subplots()
    axes.spines[['top', 'right']].set_visible(False)
    axes.grid(alpha=0.25)
    return figure, axes


def _save(figure: Figure, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    return path


def _scale_axis(axes: Axes, scales: Sequence[float], gsd: float | None) -> None:
    """Write scales, and metres per pixel where they are known, fine ones to the right."""
    axes.set_xscale('log')
    axes.xaxis.set_minor_locator(NullLocator())
    labels = [f'{100 * scale:g} %' for scale in scales]
    if gsd is not None:
        labels = [f'{text}\n{gsd / s:.3g} m' for text, s in zip(labels, scales, strict=True)]
    axes.set_xticks(list(scales), labels)
    axes.set_xlabel('of the sides of the query images' + (' · their GSD' if gsd else ''))


def draw_curves(
    models: Mapping[str, Model], gsd: float | None, score: str, path: Path, *, ways: int = 3
) -> Path:
    """Draw accuracy against scale with 95 % intervals, each model's own pooling.

    Args:
        models: Results by name.
        gsd: Metres per pixel at scale 1, if known.
        score: What is measured.
        path: PNG to write.
        ways: Ways of showing images that are drawn, the protocol's first.
    """
    figure, axes = _figure(8, 4.8)
    palette = colours(models)
    scales: list[float] = []
    for name, model in models.items():
        measured = model['poolings'][model['pooling']].get('robustness', {})
        curves = dict(list(measured.items())[:ways])
        for (look, curve), dash in zip(curves.items(), DASHES, strict=False):
            scales = curve['scales']
            low, high = np.array(curve['interval']).T
            label = f'{name} ({model["pooling"]}, {look})' if len(curves) > 1 else name
            axes.plot(scales, curve['score'], dash, marker='o', color=palette[name], label=label)
            if dash == '-':
                axes.fill_between(scales, low, high, color=palette[name], alpha=0.12, lw=0)
    _scale_axis(axes, scales, gsd)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_ylabel(f'{score}, 20 nearest neighbours')
    figure.legend(loc='outside right upper', fontsize=8, frameon=False)
    return _save(figure, path)


def draw_errors(models: Mapping[str, Model], gsd: float | None, path: Path) -> Path:
    """Draw reconstruction errors against scale.

    Args:
        models: Results by name; those without a decoder are left out.
        gsd: Metres per pixel at scale 1, if known.
        path: PNG to write.
    """
    figure = Figure(figsize=(11, 3.4), layout='constrained')
    names = {'mse': 'MSE, hidden pixels', 'l1': 'L1, hidden pixels', 'ssim': 'SSIM, whole image'}
    palette = colours(models)
    for axes, (key, title) in zip(figure.subplots(1, 3), names.items(), strict=True):
        first = True
        for name, model in models.items():
            for answer, rows in model.get('reconstruct', {}).items():
                own = answer == 'model'
                # Without a model the answers are the same beside every one, but for units.
                if not own and not first:
                    continue
                label = name if own else answer
                style: dict[str, Any] = (
                    {'color': palette[name]} if own else {'color': '#888888', 'ls': ':'}
                )
                scales = [row['scale'] for row in rows]
                values = [np.nan if row[key] is None else row[key] for row in rows]
                axes.plot(scales, values, marker='.', label=label, **style)
                _scale_axis(axes, scales, gsd)
            first = first and 'reconstruct' not in model
        axes.set_title(title, fontsize=10)
        axes.grid(alpha=0.25)
    figure.legend(
        *axes.get_legend_handles_labels(), loc='outside lower center', ncols=2, fontsize=8
    )
    return _save(figure, path)


def draw_matrix(
    table: Sequence[Sequence[float]],
    rows: Sequence[str],
    columns: Sequence[str],
    labels: tuple[str, str, str],
    path: Path,
) -> Path:
    """Draw a matrix of shares, such as a confusion matrix.

    Args:
        table: Shares, 0 to 1.
        rows: Names of the rows.
        columns: Names of the columns.
        labels: Of the rows, the columns, and the whole.
        path: PNG to write.
    """
    values = np.asarray(table, dtype=float)
    side = max(3.2, 0.42 * len(rows) + 1.8)
    figure = Figure(figsize=(side + 0.6, side), layout='constrained')
    axes = figure.subplots()
    axes.imshow(values, vmin=0, vmax=1, cmap='Blues')
    if len(rows) <= 24:
        for (row, column), value in np.ndenumerate(values):
            colour = 'white' if value > 0.55 else 'black'
            text = f'{100 * value:.0f}' if value >= 0.005 else ''
            axes.text(column, row, text, ha='center', va='center', fontsize=8, color=colour)
    every = max(1, len(rows) // 40)
    for axis, names in ((axes.yaxis, rows), (axes.xaxis, columns)):
        axis.set_ticks(range(0, len(names), every), names[::every], fontsize=8)
    axes.tick_params(axis='x', labelrotation=90 if len(rows) > 5 else 0)
    axes.set_ylabel(labels[0])
    axes.set_xlabel(labels[1])
    axes.set_title(labels[2], fontsize=10)
    return _save(figure, path)


def draw_attention(models: Mapping[str, Model], path: Path) -> Path:
    """Draw the mutual information of queries and keys, block by block.

    Args:
        models: Results by name; those without attention are left out.
        path: PNG to write.
    """
    figure, axes = _figure(6.5, 3.4)
    palette = colours(models)
    for name, model in models.items():
        if model.get('attention_nmi'):
            heads = [np.asarray(block) for block in model['attention_nmi']]
            blocks = np.arange(1, len(heads) + 1)
            axes.plot(blocks, [h.mean() for h in heads], color=palette[name], label=name)
            for block, values in zip(blocks, heads, strict=True):
                axes.scatter([block] * len(values), values, s=5, color=palette[name], alpha=0.5)
    axes.set_xlabel('block')
    axes.set_ylabel('NMI of attention')
    axes.set_ylim(bottom=0)
    figure.legend(loc='outside right upper', fontsize=8, frameon=False)
    return _save(figure, path)


def draw_miou(models: Mapping[str, Model], gsd: float | None, path: Path) -> Path:
    """Draw mIoU against scale with 95 % intervals: at native size, and enlarged again.

    Whole lines and full dots are fine-tuned, broken lines and open dots frozen; controls are
    dotted.

    Args:
        models: Results by name, with ``segment``.
        gsd: Metres per pixel at scale 1, if known.
        path: PNG to write.
    """
    looks = list(dict.fromkeys(look for _, _, found in _ways(models) for look in found['scales']))
    figure = Figure(figsize=(5.6 * len(looks) + 2.4, 4.6), layout='constrained')
    palette = colours(models)
    panels = figure.subplots(1, len(looks), sharey=True, squeeze=False)[0]
    for axes, look in zip(panels, looks, strict=True):
        for name, way, found in _ways(models):
            # What has no patches takes every size as it is.
            curve = found['scales'].get(look) or next(iter(found['scales'].values()))
            frozen, control = way == 'frozen', models[name]['control']
            label = name if way == '–' else f'{name}, {way}'
            axes.plot(
                curve['scales'],
                curve['score'],
                ':' if control else '--' if frozen else '-',
                marker='o',
                mfc='white' if frozen else palette[name],
                color=palette[name],
                label=label,
            )
            if not control:
                low, high = np.array(curve['interval']).T
                axes.fill_between(curve['scales'], low, high, color=palette[name], alpha=0.1, lw=0)
        axes.set_title(look, fontsize=10)
        axes.grid(alpha=0.25)
        axes.spines[['top', 'right']].set_visible(False)
        _scale_axis(axes, curve['scales'], gsd)
        axes.set_xlabel('of the sides of the test images' + (' · their GSD' if gsd else ''))
    panels[0].yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    panels[0].set_ylabel('mIoU against masks at full scale')
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc='outside right upper', fontsize=8, frameon=False)
    return _save(figure, path)


def _ways(models: Mapping[str, Model]) -> list[tuple[str, str, Model]]:
    """List what was segmented: name, way of training, results."""
    return [
        (name, way, found)
        for name, model in models.items()
        for way, found in model['segment'].items()
    ]
