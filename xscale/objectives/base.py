"""What an objective is: views in, named terms out."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ..errors import ConfigError, UnknownNameError
from ..models.layouts import Layout
from ..types import Masks, View


class Objective(nn.Module, ABC):
    """A self-supervised objective.

    It returns its terms unweighted; the task weighs, sums and logs them. A term of weight 0 is
    neither computed nor returned.
    """

    #: How many views of each sample it looks at: 1 (the fine one), or 2 (fine and coarse).
    views: int = 1

    #: Pixels along a side of its fine view over those that the encoder sees. Above 1, there is a
    #: coarse view only where another raster shows it, and then it is of the fine view's ground.
    zoom: ClassVar[int] = 1

    #: Whether its coarse view is the whole tile, whatever the zoom.
    whole: bool = False

    #: Images of one place that it looks at together.
    frames: int = 1

    #: How its encoder's tokens are made of images; None for one token of each patch.
    layout: Layout | None = None

    #: Whether it applies the encoder's final LayerNorm.
    normalize_encoder: bool = True

    #: Names of the terms that every one of its class has.
    terms: ClassVar[tuple[str, ...]] = ()

    #: Options that say what its encoder is made of, where none are given.
    defaults: ClassVar[Mapping[str, Any]] = MappingProxyType({})

    def __init__(
        self, weights: Mapping[str, float] | None = None, more: Sequence[str] = ()
    ) -> None:
        """Set the weights.

        Args:
            weights: Weight of each term; 1 where none is given.
            more: Names of terms this one has beyond those of its class.

        Raises:
            UnknownNameError: If there is no such term.
            ConfigError: If every weight is 0.
        """
        super().__init__()
        terms = (*self.terms, *more)
        for name in weights or {}:
            if name not in terms:
                raise UnknownNameError('term', name, terms)
        self.weights = {name: float((weights or {}).get(name, 1.0)) for name in terms}
        if terms and not any(self.weights.values()):
            raise ConfigError(f'every weight is 0; one of {", ".join(terms)} must not be')

    def wants(self, term: str) -> bool:
        """Tell whether a term is to be computed."""
        return self.weights.get(term, 0.0) != 0

    def seen(self, views: Sequence[View]) -> View:
        """Return what the encoder sees, patches hidden or not, of the first view's ground.

        Args:
            views: The views.
        """
        return views[0]

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
