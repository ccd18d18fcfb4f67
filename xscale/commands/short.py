"""A short pretraining of a small model from Python, such as one of several in a notebook."""

import contextlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..cli import parser
from .demo import BATCH, LR, MODEL, OPTIONS, SIZE
from .pretrain import pretrain

#: The demo's small decoder; how the terms are weighed is for the recipe to say.
DECODER = {name: value for name, value in OPTIONS.items() if name != 'weights'}


def pretrain_short(
    folder: str | Path,
    out: str | Path,
    steps: int,
    *,
    recipe: str = 'cross_scale_mae',
    options: Mapping[str, Any] | None = None,
    flags: str = '',
) -> Path:
    """Pretrain the demo's small model as ``xscale pretrain`` would, without a word.

    A run folder that holds a finished run is left as it is: name it by all that may change.

    Args:
        folder: GeoTIFFs.
        out: Run folder.
        steps: How many.
        recipe: One of ``tasks/pretrain`` for Cross-Scale MAE, such as 'ablation/reconstruction'.
        options: Of the objective, beside the recipe's.
        flags: More of ``xscale pretrain``, as on the command line; later ones count.

    Returns:
        The checkpoint.

    Raises:
        XScaleError: As ``xscale pretrain`` does.
    """
    checkpoint = Path(out) / 'last.ckpt'
    if checkpoint.exists():
        return checkpoint
    command = [
        *('pretrain', str(folder), '--objective', recipe, '--model', MODEL, '--size', str(SIZE)),
        *('--batch-size', str(BATCH), '--lr', str(LR), '--max-steps', str(steps)),
        *('--save-every', str(steps), '--out', str(out), *flags.split()),
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        pretrain(parser().parse_args(command), {**DECODER, **(options or {})}, devices=1)
    return checkpoint
