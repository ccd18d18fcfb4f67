"""What an objective is: views in, named terms out."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from ..errors import ConfigError, UnknownNameError
from ..types import Masks, View


class Objective(nn.Module, ABC):
    """A self-supervised objective.

    It returns its terms unweighted; the task weighs, sums and logs them. A term of weight 0 is
    neither computed nor returned.
    """

    #: How many views of each sample it looks at: 1 (the fine one), or 2 (fine and coarse).
    views: ClassVar[int] = 1

    #: Names of its terms.
    terms: ClassVar[tuple[str, ...]] = ()

    def __init__(self, weights: Mapping[str, float] | None = None) -> None:
        """Set the weights.

        Args:
            weights: Weight of each term; 1 where none is given.

        Raises:
            UnknownNameError: If there is no such term.
            ConfigError: If every weight is 0.
        """
        super().__init__()
        for name in weights or {}:
            if name not in self.terms:
                raise UnknownNameError('term', name, self.terms)
        if self.terms and all((weights or {}).get(name, 1.0) == 0 for name in self.terms):
            raise ConfigError(f'every weight is 0; one of {", ".join(self.terms)} must not be')
        self.weights = {name: float((weights or {}).get(name, 1.0)) for name in self.terms}

    def wants(self, term: str) -> bool:
        """Tell whether a term is to be computed."""
        return self.weights[term] != 0

    @abstractmethod
    def forward(
        self,
        views: Sequence[View],
        masks: Sequence[Masks] | None = None,
        *,
        footprint: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """Compute the terms.

        Args:
            views: One view, or a fine and a coarse one, of each sample.
            masks: Which patches of each view are seen; None draws them.
            footprint: West, south, east, north of each sample in degrees, shape (B, 4).
            generator: Source of all randomness, on the CPU; needed where no masks are given.

        Returns:
            Terms by name, each a scalar.
        """
