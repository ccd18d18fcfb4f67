"""Released files of LocalMIM, through the command line."""

import argparse
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from xscale.cli import main
from xscale.models.released.family import State

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def run(folder: Path, state: State) -> tuple[int, Path]:
    """Convert a file as the training script saves it."""
    file, out = folder / 'released.pth', folder / 'ours.ckpt'
    content = {'model': state, 'optimizer': {}, 'epoch': 99, 'args': argparse.Namespace(lr=None)}
    torch.save(content, file)
    return main(['convert', str(file), '--out', str(out)]), out


def put(key: str, *shape: int) -> Callable[[State], None]:
    """Put a tensor of ones into a file."""
    return lambda state: state.update({key: torch.ones(*shape)})


def without(pattern: str) -> Callable[[State], None]:
    """Take the tensors of some names out of a file."""
    return lambda state: [state.pop(key) for key in list(state) if re.match(pattern, key)] and None


def refused(
    state: State,
    change: Callable[[State], None],
    words: str,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Convert a file that was changed; it is an error, and nothing is written."""
    change(state)
    code, out = run(folder, state)
    assert code == 2
    assert re.search(words, capsys.readouterr().err)
    assert not out.exists()
