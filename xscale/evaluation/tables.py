"""Tables of an evaluation, for a notebook."""

from collections.abc import Mapping
from typing import Any

import pandas as pd


def scale_table(models: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Lay out accuracy against scale, with its 95 % interval.

    Each model has the pooling it was trained with, and is shown images the protocol's way.

    Args:
        models: Results by name, the protocol 'robustness' among what was measured.

    Returns:
        A row for each model, a column for each scale, and their mean, in percent.
    """
    rows = {}
    for name, model in models.items():
        curve = next(iter(model['poolings'][model['pooling']]['robustness'].values()))
        cells = zip(curve['scales'], curve['score'], curve['interval'], strict=True)
        rows[name] = {f'{100 * scale:g} %': _cell(value, ends) for scale, value, ends in cells}
        rows[name]['mean'] = _cell(curve['mean']['score'], curve['mean']['interval'])
    return pd.DataFrame.from_dict(rows, orient='index')


def _cell(value: float, ends: tuple[float, float]) -> str:
    low, high = (round(100 * end) for end in ends)
    return f'{100 * value:.0f} ({low}–{high})'
