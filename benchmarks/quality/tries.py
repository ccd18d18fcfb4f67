"""What makes the small model of ``scales.py`` learn better in a few steps?

Trains Cross-Scale MAE with one setting changed at a time, and measures each on a quarter of the
training images that is held out, so that no choice is made on the test images.

Usage: ``python benchmarks/quality/tries.py LABELLED [GEOTIFFS …] [--steps 150] [--out FOLDER]``
"""

import contextlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scales import arguments, train

from xscale.comparison import compare
from xscale.datasets.labelled import Labelled, open_labelled
from xscale.evaluation.evaluate import Settings

#: Options of the objective, and flags.
TRIES: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    'as it is': ({}, ()),
    'consistency weighs 0.1': ({'weights': {'consistency': 0.1}}, ()),
    'half of the patches hidden': ({'mask_ratio': 0.5}, ()),
    'pixels normalised by patch': ({'norm_pix': True}, ()),
    'attention starts anywhere': ({'init': 'xavier'}, ()),
    'a third of the learning rate': ({}, ('--lr', '3e-4')),
    'wider crops, views of 72 px': ({}, ('--size', '72', '--scale', '0.25', '0.8')),
}

#: The controls, and how their names begin.
CONTROLS = {'image statistics': 'image-stats', 'random weights': 'random:'}

#: One training image of so many is held out.
HELD_OUT = 4


def hold_out(labelled: Path, out: Path) -> Labelled:
    """Open the training images as a data set of their own, a part of them held out as its test."""
    paths = sorted((labelled / 'train').rglob('*.jpg'))
    lines = [
        f'{path.parent.name}/{path.name},{"train" if number % HELD_OUT else "test"}'
        for number, path in enumerate(paths)
    ]
    file = out / 'held_out.csv'
    file.write_text('\n'.join(['path,split', *lines]) + '\n')
    return open_labelled(labelled / 'train', splits=file)


def row(name: str, model: Mapping[str, Any]) -> str:
    """Write what was measured of a model, of both poolings."""
    cells = []
    for found in model['poolings'].values():
        scales = next(iter(found['robustness'].values()))['mean']['score']
        values = found['knn']['cosine_20']['score'], scales, found['linear']['1']['score']
        cells.append(''.join(f'{value:8.1%}' for value in values))
    return f'{name:30}{"   ".join(cells)}'


def main() -> None:
    """Print the table."""
    options, folders = arguments(__doc__.splitlines()[0], 150)
    data = hold_out(options.labelled, options.out)
    settings = Settings(protocols=('knn', 'linear', 'robustness'), labels=(1.0,))
    print(f'{options.steps} steps, {len(data.splits["test"])} images held out')
    heads = ''.join(f'{head:>8}' for head in ('kNN-20', 'scales', 'linear'))
    print(f'{"":30}{heads}   {heads}   (mean of the patches, class token)')
    for number, (name, (changed, more)) in enumerate(TRIES.items()):
        out = options.out / f'try-{number}'
        with contextlib.redirect_stdout(io.StringIO()):
            checkpoint = train(folders, out, options, changed=changed, more=more)
        with contextlib.redirect_stderr(io.StringIO()):
            models = compare([str(checkpoint)], data, settings).models
        if not number:
            for shown, start in CONTROLS.items():
                print(row(shown, next(m for n, m in models.items() if n.startswith(start))))
        print(row(name, models[out.name]), flush=True)


if __name__ == '__main__':
    main()
