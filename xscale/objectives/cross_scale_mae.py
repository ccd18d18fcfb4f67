"""Cross-Scale MAE (Tang et al., NeurIPS 2023, arXiv:2401.15855), and what we changed."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from ..errors import ConfigError
from ..types import Masks, View
from .mae import MAE, Depth
from .pair_terms import PAIR_OPTIONS, PAIR_TERMS


class CrossScaleMAE(MAE):
    """Two views of one place at different scales: reconstruct both, and make them agree.

    Terms: ``reconstruction_fine`` and ``reconstruction_coarse``, as in MAE; ``consistency`` and
    ``cross_prediction``, those of :class:`~xscale.objectives.pair_terms.PairTerms`.

    What the released code does is had with ``normalize_encoder=False, align='index',
    direction='fine_to_coarse', stop_gradient=False, predictor_norm='token_batch'``.
    """

    views = 2
    terms: ClassVar[tuple[str, ...]] = (
        'reconstruction_fine',
        'reconstruction_coarse',
        *PAIR_TERMS,
    )

    def __init__(
        self,
        encoder: VisionTransformer,
        *,
        weights: Mapping[str, float] | None = None,
        **options: Any,
    ) -> None:
        """Add the terms between views.

        Args:
            encoder: As :func:`~xscale.models.vit.create_encoder` builds it.
            weights: Weight of each term; 0 skips its work.
            **options: Attributes of :class:`~xscale.objectives.pair_terms.PairTerms`, and what
                :class:`MAE` takes.

        Raises:
            UnknownNameError: If a choice does not exist.
            ConfigError: If the terms between views are asked for a second time.
        """
        if options.get('pair') is not None:
            raise ConfigError(
                'CrossScaleMAE has the terms between views; give what pair says as options of its '
                'own'
            )
        between = {name: options.pop(name) for name in PAIR_OPTIONS if name in options}
        super().__init__(encoder, weights=weights, **options)
        self.add_pair(between, self.decoder.dim)

    def _needed(self) -> Depth:
        """Return how far the views have to go for the terms that are wanted."""
        rebuilt = self.wants('reconstruction_fine') or self.wants('reconstruction_coarse')
        return 'prediction' if rebuilt else self._compared()

    def forward(
        self,
        views: Sequence[View],
        masks: Sequence[Masks] | None = None,
        *,
        footprint: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """Compute the terms; see :class:`~xscale.objectives.base.Objective`."""
        masks = masks or self.draw_masks(views, generator)
        made = self.reconstruct(views, masks, self._depth)
        terms = {}
        for name, part, view, mask in zip(self.terms, made, views, masks, strict=False):
            if self.wants(name):
                terms[name] = self.reconstruction_loss(part, view, mask)
        both = [(part.latent, part.features) for part in made]
        terms |= self.pair_terms(both, views, masks, footprint)
        return terms | self.local_terms([part.between for part in made], views, masks)
