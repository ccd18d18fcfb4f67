"""Numeric vectors that the released implementations computed, and a way to compare with them."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

HERE = Path(__file__).parent
SHARED = HERE.parent.parent / 'shared' / 'reference'
BUNDLED = HERE / 'data' / 'reference'


class Case:
    """One case: its configuration, its tensors, and the tolerance of each."""

    def __init__(self, name: str) -> None:
        """Read a case, from the full set where it is there, else from the bundled few."""
        folder = next((f for f in (SHARED, BUNDLED) if (f / f'{name}.json').exists()), None)
        if folder is None:
            pytest.skip(f'the reference vectors of {name} are not bundled with the project')
        self.about = json.loads((folder / f'{name}.json').read_text())
        self.config = self.about['config']
        tensors = load_file(folder / f'{name}.safetensors')
        self.tensors = {
            k: v.float() if v.is_floating_point() and not k.endswith('.float64') else v
            for k, v in tensors.items()
        }
        self.compared: set[str] = set()

    def __getitem__(self, key: str) -> Tensor:
        """Return a tensor."""
        return self.tensors[key]

    @property
    def state(self) -> dict[str, Tensor]:
        """The released state, under its released names."""
        return {k[6:]: v for k, v in self.tensors.items() if k.startswith('state.')}

    def check(self, key: str, value: Tensor) -> None:
        """Compare a value with ``expected.<key>`` at the tolerance of that key."""
        key = f'expected.{key}'
        self.compared.add(key)
        expected = self.tensors[key]
        assert value.shape == expected.shape, (key, value.shape, expected.shape)
        atol = self.about['tolerance']['per_key'].get(key, {'atol': 0.0})['atol']
        off = (value.detach().double() - expected.double()).abs().max().item()
        assert off <= atol, f'{key}: off by {off:.3g}, allowed {atol:.3g}'

    def check_complete(self) -> None:
        """Make sure that every expected value was compared."""
        expected = {key for key in self.tensors if key.startswith('expected.')}
        assert expected == self.compared, sorted(expected - self.compared)


def one_thread() -> None:
    """Sum in the order the vectors were computed in."""
    torch.set_num_threads(1)
