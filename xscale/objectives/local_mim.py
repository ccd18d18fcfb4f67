"""LocalMIM (Wang et al., CVPR 2023, arXiv:2303.05251): local multi-scale reconstruction."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from ..models.position import Position
from ..types import Masks, View
from .masked import Picture
from .pair_objective import PairObjective


class LocalMIM(PairObjective):
    """Predict hidden cells from what the encoder says after several of its blocks.

    Terms: ``local_0``, ``local_1``, …, one for each tap, the shallowest and finest first; see
    :class:`~xscale.objectives.local_terms.LocalTerms`. The last tap reads what the encoder says in
    the end, so its LayerNorm is the encoder's own, as the other objectives train it. Where
    ``pair`` is given, ``consistency`` of :class:`~xscale.objectives.pair_terms.PairTerms` beside
    them, whose ``cross_prediction`` needs a decoder that there is not and has the weight 0.
    """

    def __init__(
        self,
        encoder: VisionTransformer,
        *,
        mask_ratio: float = 0.75,
        position: Position = 'index',
        init: str = 'xavier',
        pair: Mapping[str, Any] | None = None,
        embeds: nn.ModuleDict | None = None,
        weights: Mapping[str, float] | None = None,
        **local: Any,
    ) -> None:
        """Add a tiny decoder for each tap to an encoder.

        Args:
            encoder: As :func:`~xscale.models.vit.create_encoder` builds it.
            mask_ratio: Share of patches that are hidden.
            position: 'index' counts patches; 'gsd' counts metres; 'table' takes the encoder's own
                table, for weights whose positions were learned.
            init: Weights the decoders start from, 'xavier' or 'local'.
            pair: Attributes of :class:`~xscale.objectives.pair_terms.PairTerms`; None for no
                terms between views.
            embeds: Patch embeddings of groups of bands beyond the encoder's own.
            weights: Weight of each term; 0 skips its work.
            **local: What :class:`~xscale.objectives.local_terms.LocalTerms` takes: ``target``,
                ``bins``, ``norm_pix``, ``taps``, ``scales``, ``dim``, ``depth``, ``heads``,
                ``isolate``, ``hog_bias``.

        Raises:
            UnknownNameError: If a choice does not exist.
            ConfigError: If the settings do not fit together, or nothing trains the last block.
        """
        super().__init__(
            encoder,
            local=local,
            pair=pair,
            mask_ratio=mask_ratio,
            position=position,
            init=init,
            embeds=embeds,
            weights=weights,
        )
        self.add_local(local, init=init)
        self.add_pair(pair, None)

    def forward(
        self,
        views: Sequence[View],
        masks: Sequence[Masks] | None = None,
        *,
        footprint: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """Compute the terms of the first view; see :class:`~xscale.objectives.base.Objective`."""
        self.check_pair(views)
        views = views[: self.views]
        masks = masks or self.draw_masks(views, generator)
        made = [self.look(*part) for part in zip(views, masks, strict=True)]
        between = self.pair_terms([(end, end) for end, _ in made], views, masks, footprint)
        return between | self.local_terms([made[0][1]], views[:1], masks[:1])

    def look(self, view: View, masks: Masks) -> tuple[Tensor, list[Tensor]]:
        """Encode the visible patches of a view.

        Args:
            view: The view.
            masks: Its mask.

        Returns:
            What the encoder says in the end, shape (B, P + K, D), and what each tap reads.
        """
        return self.encode_between(self.embed_visible(view, masks))

    def encode_visible(self, view: View, masks: Masks) -> list[Tensor]:
        """Encode the visible patches of a view.

        Args:
            view: The view.
            masks: Its mask.

        Returns:
            What each tap reads: prefix tokens and visible patches, shape (B, P + K, D).
        """
        return self.look(view, masks)[1]

    def pictures(self, views: Sequence[View], masks: Sequence[Masks]) -> list[list[Picture]]:
        """Make pictures of what each tap predicts.

        See :class:`~xscale.objectives.masked.MaskedObjective`.
        """
        if self.local is None:
            return [[] for _ in views]
        return [
            self.local.pictures(self.encode_visible(v, m), v, m, self.position)
            for v, m in zip(views, masks, strict=True)
        ]
