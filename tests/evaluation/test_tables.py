"""Tables: each number in its place."""

from xscale.evaluation.tables import scale_table


def test_scale_table() -> None:
    curve = {
        'scales': [0.125, 1.0],
        'score': [0.25, 0.5],
        'interval': [[0.2, 0.31], [0.4, 0.6]],
        'mean': {'score': 0.375, 'interval': [0.3, 0.45]},
    }
    other = {**curve, 'score': [0.0, 0.0]}
    poolings = {
        'class': {'robustness': {'native size': curve, 'enlarged': other}},
        'mean': {'robustness': {'native size': other}},
    }
    table = scale_table({'ours': {'pooling': 'class', 'poolings': poolings}})
    assert list(table.columns) == ['12.5 %', '100 %', 'mean']
    assert list(table.loc['ours']) == ['25 (20–31)', '50 (40–60)', '38 (30–45)']
