"""Cross-Scale MAE (Tang et al., NeurIPS 2023, arXiv:2401.15855), and what we changed."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from ..errors import ConfigError, UnknownNameError
from ..models.masking import gather_tokens
from ..models.position import sample_at, token_centres
from ..models.tokens import patch_validity, weighted_mean
from ..types import Masks, View
from .mae import MAE, Depth, Reconstruction
from .terms import nt_xent

CHOICES = {
    'consistency': ('decoupled', 'infonce'),
    'align': ('ground', 'index'),
    'direction': ('coarse_to_fine', 'fine_to_coarse'),
    'negatives': ('encoder', 'decoder', 'both', 'none'),
    'predictor_norm': ('layer', 'token_batch'),
}


class CrossScaleMAE(MAE):
    """Two views of one place at different scales: reconstruct both, and make them agree.

    Terms: ``reconstruction_fine`` and ``reconstruction_coarse``, as in MAE; ``consistency``
    between the encodings of the two views; ``cross_prediction`` of one view's decoder features
    from the other's.

    ``views`` are (fine, coarse) by ground sample distance. The paper's crop of the original has
    the smaller ground sample distance, so its "fine" original is our coarse view, and its
    prediction of the original from the crop is ``direction='fine_to_coarse'``.

    What the released code does is had with ``normalize_encoder=False, align='index',
    direction='fine_to_coarse', stop_gradient=False, predictor_norm='token_batch'``.
    """

    views: ClassVar[int] = 2
    terms: ClassVar[tuple[str, ...]] = (
        'reconstruction_fine',
        'reconstruction_coarse',
        'consistency',
        'cross_prediction',
    )

    def __init__(
        self,
        encoder: VisionTransformer,
        *,
        consistency: Literal['decoupled', 'infonce'] = 'decoupled',
        temperature: float = 0.5,
        footprint_aware: bool = True,
        align: Literal['ground', 'index'] = 'ground',
        direction: Literal['coarse_to_fine', 'fine_to_coarse'] = 'coarse_to_fine',
        stop_gradient: bool = True,
        negatives: Literal['encoder', 'decoder', 'both', 'none'] = 'encoder',
        predictor_hidden: int = 2048,
        predictor_norm: Literal['layer', 'token_batch'] = 'layer',
        predictor_tokens: int = 64,
        weights: Mapping[str, float] | None = None,
        **mae: Any,
    ) -> None:
        """Add the terms between views.

        Args:
            encoder: As :func:`~xscale.models.vit.create_encoder` builds it.
            consistency: Contrastive loss of the encodings: 'decoupled' leaves the positive out of
                the denominator, as the released code does; 'infonce' is the paper's.
            temperature: Temperature of the contrastive losses.
            footprint_aware: Take no pair whose ground overlaps for a negative.
            align: Which features are compared in the cross-prediction: those at the same 'ground',
                or those of the same 'index', which lie on different ground (as released).
            direction: Which view's features predict the other's.
            stop_gradient: Whether the predicted features are a fixed target.
            negatives: Where other places are pushed away: at the 'encoder' (the paper finds it
                helps), at the 'decoder' (it finds it hurts), 'both' or 'none'. Without negatives
                the consistency is the mean squared distance of the normalised encodings, and the
                cross-prediction the mean squared error of the features; with negatives at the
                decoder it contrasts the mean predicted with the mean target features.
            predictor_hidden: Hidden units of the cross-prediction head.
            predictor_norm: 'layer' (any image size) or 'token_batch', a BatchNorm with one
                channel a token position, as released, which ties the head to one image size.
            predictor_tokens: Number of tokens, for 'token_batch'.
            weights: Weight of each term; 0 skips its work.
            **mae: What :class:`MAE` takes.

        Raises:
            UnknownNameError: If a choice does not exist.
        """
        super().__init__(encoder, weights=weights, **mae)
        given = {
            'consistency': consistency,
            'align': align,
            'direction': direction,
            'negatives': negatives,
            'predictor_norm': predictor_norm,
        }
        for name, value in given.items():
            if value not in CHOICES[name]:
                raise UnknownNameError(name, value, CHOICES[name])
        self.decoupled, self.temperature = consistency == 'decoupled', temperature
        self.footprint_aware, self.align, self.direction = footprint_aware, align, direction
        self.stop_gradient, self.negatives = stop_gradient, negatives
        self.predictor_tokens = predictor_tokens if predictor_norm == 'token_batch' else None
        if self.wants('cross_prediction'):
            self.predictor = _predictor(self.decoder.dim, predictor_hidden, self.predictor_tokens)

    def _needed(self) -> Depth:
        """Return how far the views have to go for the terms that are wanted."""
        if self.wants('reconstruction_fine') or self.wants('reconstruction_coarse'):
            return 'prediction'
        return 'features' if self.wants('cross_prediction') else 'latent'

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
        footprint = footprint if self.footprint_aware else None
        terms = {}
        for name, part, view, mask in zip(self.terms, made, views, masks, strict=False):
            if self.wants(name):
                terms[name] = self.reconstruction_loss(part, view, mask)
        if self.wants('consistency'):
            terms['consistency'] = self._consistency(made, views, masks, footprint)
        if self.wants('cross_prediction'):
            terms['cross_prediction'] = self._cross_prediction(made, views, footprint)
        return terms | self.local_terms([part.between for part in made], views, masks)

    def pool(self, made: Reconstruction, view: View, masks: Masks) -> tuple[Tensor, Tensor]:
        """Average the encodings of the visible patches that hold data.

        Args:
            made: The view's encodings.
            view: The view.
            masks: Its mask.

        Returns:
            Shape (B, D), and whether any visible patch holds data, shape (B,).
        """
        valid = gather_tokens(patch_validity(view.valid, self.patch), masks.keep)
        return weighted_mean(made.latent[:, made.prefix :], valid), valid.sum((1, 2)) > 0

    def _contrast(
        self, first: Tensor, second: Tensor, present: Tensor, footprint: Tensor | None
    ) -> Tensor:
        return nt_xent(
            first,
            second,
            temperature=self.temperature,
            decoupled=self.decoupled,
            footprint=footprint,
            present=present,
        )

    def _consistency(
        self,
        made: Sequence[Reconstruction],
        views: Sequence[View],
        masks: Sequence[Masks],
        footprint: Tensor | None,
    ) -> Tensor:
        pooled = [self.pool(*part) for part in zip(made, views, masks, strict=True)]
        (fine, in_fine), (coarse, in_coarse) = pooled
        present = in_fine & in_coarse
        if self.negatives in ('encoder', 'both'):
            return self._contrast(fine, coarse, present, footprint)
        fine, coarse = (nn.functional.normalize(z, dim=-1) for z in (fine, coarse))
        distance = (fine - coarse).square().sum(-1)
        return (distance * present).sum() / present.sum().clamp(min=1)

    def _cross_prediction(
        self, made: Sequence[Reconstruction], views: Sequence[View], footprint: Tensor | None
    ) -> Tensor:
        """Predict the target view's features from the source view's."""
        source, target = (1, 0) if self.direction == 'coarse_to_fine' else (0, 1)
        known, wanted = (made[i].features[:, made[i].prefix :] for i in (source, target))
        weight = patch_validity(views[target].valid, self.patch)
        if self.align == 'ground':
            places = token_centres(views[target], self.patch)
            known, inside = sample_at(known, views[source], places, self.patch)
            weight = weight * inside[..., None]
        if self.predictor_tokens and known.shape[1] != self.predictor_tokens:
            raise ConfigError(
                f"predictor_norm='token_batch' was built for {self.predictor_tokens} tokens and "
                f'{known.shape[1]} came; set predictor_tokens, or use predictor_norm="layer"'
            )
        predicted = self.predictor(known)
        if self.stop_gradient:
            wanted = wanted.detach()
        if self.negatives in ('decoder', 'both'):
            first, second = (weighted_mean(tokens, weight) for tokens in (predicted, wanted))
            return self._contrast(first, second, weight.sum((1, 2)) > 0, footprint)
        error = (predicted.float() - wanted.float()).square().mean(-1, keepdim=True)
        return (error * weight).sum() / weight.sum().clamp(min=1e-6)


def _predictor(dim: int, hidden: int, tokens: int | None) -> nn.Sequential:
    norm = nn.BatchNorm1d(tokens) if tokens else nn.LayerNorm(hidden)
    return nn.Sequential(nn.Linear(dim, hidden), norm, nn.ReLU(), nn.Linear(hidden, dim))
