"""The page of a report, which needs no network."""

import base64
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any


def write_page(
    results: Mapping[str, Any],
    out: Path,
    *,
    headline: str,
    verdict: str,
    summary: Mapping[str, Any],
    sections: Sequence[Mapping[str, Any]],
    warnings: Sequence[str],
) -> Path:
    """Write ``report.html``.

    Args:
        results: What ``results.json`` holds.
        out: Folder of the report.
        headline: What the data are, in a line.
        verdict: What came out, in sentences.
        summary: Table of all models: ``title``, ``heads``, ``rows``, ``caption``.
        sections: As :func:`section` makes them.
        warnings: What to doubt.

    Returns:
        The page.
    """
    from jinja2 import Environment

    source = (files('xscale.evaluation') / 'report.html.j2').read_text(encoding='utf-8')
    page = (
        Environment(autoescape=True)
        .from_string(source)
        .render(
            data=results['data'],
            headline=headline,
            versions=results['versions'],
            command=results['command'],
            settings=results['settings'],
            notes=_notes(results),
            warnings=warnings,
            verdict=verdict,
            summary=summary,
            sections=sections,
        )
    )
    path = out / 'report.html'
    path.write_text(page, encoding='utf-8')
    return path


def section(
    title: str,
    text: str,
    shown: Mapping[str, Path],
    table: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Make a section of the page.

    Args:
        title: Its title.
        text: What it says.
        shown: Pictures by caption.
        table: ``heads`` and ``rows``, if there is one.
    """
    embedded = [
        {'caption': caption, 'data': base64.b64encode(path.read_bytes()).decode()}
        for caption, path in shown.items()
    ]
    return {'title': title, 'text': text, 'figures': embedded, 'table': table}


def marked_best(table: Sequence[Sequence[dict[str, Any]]]) -> None:
    """Mark the highest value of each column.

    Args:
        table: Rows of cells as :func:`cell` makes them; they are changed.
    """
    for column in zip(*table, strict=True):
        known = [one['value'] for one in column if one['value'] is not None]
        for one in column:
            one['best'] = bool(known) and one['value'] == max(known)


def cell(value: float | None, small: str = '') -> dict[str, Any]:
    """Make a cell of a table, in percent.

    Args:
        value: A share; None where there is none.
        small: What stands beside it.
    """
    text = '–' if value is None else f'{100 * value:.1f}'
    return {'text': text, 'small': small, 'value': value, 'best': False}


def interval_cell(found: Mapping[str, Any] | None) -> tuple[float | None, str]:
    """Return a score and its interval as :func:`cell` takes them.

    Args:
        found: ``score`` and ``interval``; None where there is none.
    """
    if found is None:
        return None, ''
    low, high = found['interval']
    return found['score'], f'({100 * low:.1f}–{100 * high:.1f})'


def compared(apart: Mapping[str, Any], who: str, whom: str, by: str) -> str:
    """Say in a sentence whether one is better than another.

    Args:
        apart: Their difference: ``score`` and ``interval``.
        who: The one.
        whom: The other.
        by: What was measured.
    """
    low, high = (100 * end for end in apart['interval'])
    more = 'better than' if low > 0 else 'worse than' if high < 0 else 'not told apart from'
    return (
        f'{who} is {more} {whom}: {100 * apart["score"]:+.1f} points ({low:+.1f} to {high:+.1f}) '
        f'{by}.'
    )


def _notes(results: Mapping[str, Any]) -> list[str]:
    """Return what to know of the data and of each model."""
    said = list(results['data']['notes'])
    for name, model in results['models'].items():
        said += [f'{name}: {note}' for note in model['notes']]
    return said


def training_table(trained: Sequence[tuple[str, str, Mapping[str, Any]]]) -> dict[str, Any]:
    """Lay out how models were trained.

    Args:
        trained: Of each its name, its way of training, and what is known of that.
    """
    heads = ['model', 'trained', 'parameters', 'epochs', 'steps', 'batch', 'lr', 'seconds']
    keys = ('epochs', 'steps', 'batch_size', 'lr', 'seconds')
    rows = []
    for name, way, how in trained:
        known = [how[key] for key in keys]
        learnt, loss = f'{how["trained_parameters"]:,}', f'{how["loss"]:.3g}'
        rows.append([name, way, learnt, *known, loss, how['checkpoint']])
    return {'heads': [*heads, 'last loss', 'weights'], 'rows': rows}
