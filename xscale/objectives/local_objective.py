"""A masked objective that local terms can be added to."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from ..models.taps import encode_taps
from ..models.vit import encode
from ..types import Masks, View
from .local_terms import LocalTerms, local_names
from .masked import MaskedObjective
from .tap_terms import TapTerms


class LocalObjective(MaskedObjective):
    """A masked objective that also learns from what the encoder says after some of its blocks.

    Attributes:
        local: The local terms; None where there are none, and then nothing is done for them.
    """

    #: What the local terms are made by.
    local_kind: ClassVar[Callable[..., TapTerms]] = LocalTerms

    local: TapTerms | None

    def __init__(
        self,
        encoder: VisionTransformer,
        *,
        local: Mapping[str, Any] | None = None,
        more: Sequence[str] = (),
        **masked: Any,
    ) -> None:
        """Take an encoder.

        Args:
            encoder: The encoder.
            local: Arguments of :class:`~xscale.objectives.local_terms.LocalTerms`; None for none.
            more: Names of other terms this one has beyond those of its class.
            **masked: What :class:`~xscale.objectives.masked.MaskedObjective` takes.

        Raises:
            XScaleError: As that does.
        """
        super().__init__(encoder, more=(*more, *local_names(local)), **masked)
        self.local = None

    def add_local(self, local: Mapping[str, Any] | None, **same: Any) -> None:
        """Build the local terms that have a weight, after all else is built.

        Args:
            local: As at the start.
            **same: Arguments that are those of the objective where ``local`` has no others.

        Raises:
            ConfigError: If they do not fit the encoder.
        """
        names = local_names(local)
        wanted = [self.wants(name) for name in names]
        if not any(wanted):
            return
        same |= {'normalized': self.normalize_encoder}
        arguments = {**same, **(local or {}), 'wanted': wanted}
        self.local = self.local_kind(self.encoder, self.bands, **arguments)
        if not any(map(self.wants, self.weights.keys() - set(names))):
            self.local.check_last(self.encoder)

    def encode_between(self, tokens: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Encode visible patches, and keep what the local terms read.

        Args:
            tokens: Patches that already hold their positions, shape (B, K, D).

        Returns:
            What the encoder says in the end, shape (B, P + K, D), and what each tap reads,
            likewise.
        """
        if not isinstance(self.local, LocalTerms):
            return encode(self.encoder, tokens, normalize=self.normalize_encoder), []
        return encode_taps(
            self.encoder,
            tokens,
            self.local.blocks,
            normalize=self.normalize_encoder,
            isolate=self.local.isolate,
        )

    def local_terms(
        self, said: Sequence[Sequence[Tensor]], views: Sequence[View], masks: Sequence[Masks]
    ) -> dict[str, Tensor]:
        """Compute the local terms, the mean over the views.

        Args:
            said: What each tap reads, of each view.
            views: The views.
            masks: The mask of each.
        """
        if self.local is None:
            return {}
        each = [
            self.local(tokens, view, mask, self.position)
            for tokens, view, mask in zip(said, views, masks, strict=True)
        ]
        return {name: torch.stack([terms[name] for terms in each]).mean(0) for name in each[0]}
