"""A data set of one image of fMoW, and how it is compared."""

from pathlib import Path
from typing import Any

import torch

from xscale.datasets import FMoW

from ...data.fmow.data import write_image

#: JPEG keeps values to about this.
LOSS = 4


def near(a: torch.Tensor, b: Any, within: float = LOSS) -> None:
    torch.testing.assert_close(a, torch.as_tensor(b, dtype=a.dtype), atol=within, rtol=0)


def one(tmp_path: Path, **changes: Any) -> Path:
    """Write a data set of one image and return its folder."""
    place = changes.pop('place', 'airport_0')
    write_image(tmp_path / 'train' / place.rsplit('_', 1)[0] / place, place, 0, **changes)
    return tmp_path


def reasons(dataset: FMoW) -> dict[str, str]:
    return {Path(one.path).name: one.reason for one in dataset.rejected}
