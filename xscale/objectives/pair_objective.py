"""A masked objective that terms between two views can be added to."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from ..errors import ConfigError
from ..models.masking import gather_tokens
from ..models.tokens import patch_validity
from ..models.vit import patch_size
from ..types import Masks, View
from .local_objective import LocalObjective
from .pair_terms import PAIR_TERMS, Encoding, PairTerms, read_pair


class PairObjective(LocalObjective):
    """A masked objective that also makes the fine and the coarse view of a place agree.

    Its own terms stay those of the fine view.

    Attributes:
        pair: The terms between views; None where there are none, and then nothing is done for
            them.
        predictor: The head of ``cross_prediction``; None where that is not wanted.
    """

    def __init__(
        self, encoder: VisionTransformer, *, pair: Mapping[str, Any] | None = None, **masked: Any
    ) -> None:
        """Take an encoder.

        Args:
            encoder: The encoder.
            pair: Attributes of :class:`~xscale.objectives.pair_terms.PairTerms`; None for no
                terms between views.
            **masked: What :class:`~xscale.objectives.local_objective.LocalObjective` takes.

        Raises:
            XScaleError: As that does.
        """
        super().__init__(encoder, more=() if pair is None else PAIR_TERMS, **masked)
        self.pair: PairTerms | None = None
        self.predictor: nn.Module | None = None

    def add_pair(self, pair: Mapping[str, Any] | None, dim: int | None) -> None:
        """Build the terms between views that have a weight, after all else is built.

        Args:
            pair: As at the start.
            dim: Channels of the features of all patches; None where there are none.

        Raises:
            UnknownNameError: If an option or choice does not exist.
            ConfigError: If features are to be compared that there are not.
        """
        terms = read_pair(pair)
        if terms is None or not any(map(self.wants, PAIR_TERMS)):
            return
        self.pair, self.views, self.whole = terms, 2, True
        if self.wants('cross_prediction'):
            if dim is None:
                raise ConfigError(
                    f'{type(self).__name__} has no decoder of all patches, whose features '
                    'cross_prediction compares; give it the weight 0: weights: '
                    '{cross_prediction: 0}'
                )
            self.predictor = terms.predictor(dim)

    def pair_terms(
        self,
        made: Sequence[tuple[Tensor, Tensor]],
        views: Sequence[View],
        masks: Sequence[Masks],
        footprint: Tensor | None,
    ) -> dict[str, Tensor]:
        """Compute the terms between views.

        Args:
            made: What the encoder says of each view's visible tokens, prefix tokens before them;
                and decoder features of all tokens, likewise, or whatever where none are wanted.
            views: What the encoder sees, fine and coarse.
            masks: The mask of each.
            footprint: West, south, east, north of each place in degrees, shape (B, 4).
        """
        if self.pair is None:
            return {}
        parts = zip(views, masks, made, strict=True)
        fine, coarse = (self.encoding(view, mask, *part) for view, mask, part in parts)
        terms = {}
        if self.wants('consistency'):
            terms['consistency'] = self.pair.agree(fine, coarse, footprint)
        if self.predictor is not None:
            terms['cross_prediction'] = self.pair.predict(fine, coarse, footprint, self.predictor)
        return terms

    def encoding(self, view: View, masks: Masks, latent: Tensor, features: Tensor) -> Encoding:
        """Put together what the terms between views read of one.

        Args:
            view: What the encoder sees.
            masks: Its mask.
            latent: Encoder output: prefix tokens and visible ones, shape (B, P + K, D).
            features: Decoder output: prefix tokens and all others, shape (B, P + M, d).
        """
        patch = patch_size(self.encoder)
        share = patch_validity(view.valid, patch)
        count = masks.restore.shape[1]
        # As many rows as masks, and a number for each token: a patch can have several.
        each = share.reshape(len(masks.keep), -1, 1)
        weight = gather_tokens(each.repeat(1, count // each.shape[1], 1), masks.keep)
        latent = latent[:, latent.shape[1] - masks.keep.shape[1] :]
        if self.wants('cross_prediction'):
            features, share = self.fold(features[:, features.shape[1] - count :], share)
        return Encoding(_of_places(view), patch, latent, weight, features, share)

    def fold(self, features: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
        """Average the features of all tokens of a patch, where it has several.

        Args:
            features: Of all tokens, shape (B, M, d).
            share: How much of each patch of each image holds data, shape (B', N, 1).

        Returns:
            Shape (B, N, d) and (B, N, 1).
        """
        return features, share

    def check_pair(self, views: Sequence[View]) -> None:
        """Make sure that there are as many views as are looked at.

        Args:
            views: The views.

        Raises:
            ConfigError: If one is missing.
        """
        if self.pair is not None and len(views) < self.views:
            raise ConfigError(
                f'{len(views)} view came; terms between views need a fine and a coarse one of '
                'each place'
            )


def _of_places(view: View) -> View:
    """Return one image of each place, all of which lie on the same ground."""
    if view.frames == 1:
        return view
    parts = 'image', 'gsd', 'origin', 'valid', 'aspect', 'group', 'time'
    given = {name: getattr(view, name) for name in parts}
    own = {name: part[:: view.frames] for name, part in given.items() if part is not None}
    return replace(view, frames=1, **own)
