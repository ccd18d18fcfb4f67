"""Terms between two views of one place (Cross-Scale MAE, Tang et al., NeurIPS 2023)."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from torch import Tensor, nn

from ..errors import ConfigError, UnknownNameError
from ..models.position import sample_at, token_centres
from ..models.tokens import weighted_mean
from ..types import View
from .terms import nt_xent

#: Names of the terms.
PAIR_TERMS = ('consistency', 'cross_prediction')

CHOICES = {
    'consistency': ('decoupled', 'infonce'),
    'align': ('ground', 'index'),
    'direction': ('coarse_to_fine', 'fine_to_coarse'),
    'negatives': ('encoder', 'decoder', 'both', 'none'),
    'predictor_norm': ('layer', 'token_batch'),
}


@dataclass(frozen=True, slots=True)
class Encoding:
    """What a model made of one view, without prefix tokens.

    Attributes:
        view: What its patches lie on, one image of each place.
        patch: Side of a patch in pixels.
        latent: Encoder output of visible tokens, shape (B, K, D).
        weight: How much of each of them holds data, shape (B, K, 1).
        features: Decoder output of all patches, shape (B, N, d); empty where no term reads it.
        share: How much of each patch holds data, shape (B, N, 1).
    """

    view: View
    patch: int
    latent: Tensor
    weight: Tensor
    features: Tensor
    share: Tensor

    def pooled(self) -> tuple[Tensor, Tensor]:
        """Average the visible tokens that hold data.

        Returns:
            Shape (B, D), and whether any visible token holds data, shape (B,).
        """
        return weighted_mean(self.latent, self.weight), self.weight.sum((1, 2)) > 0


@dataclass(frozen=True)
class PairTerms:
    """Make two views of one place at different scales agree.

    Terms: ``consistency`` between the encodings of the two views; ``cross_prediction`` of one
    view's decoder features from the other's.

    The views are fine and coarse by ground sample distance. The paper's crop of the original has
    the smaller ground sample distance, so its "fine" original is our coarse view, and its
    prediction of the original from the crop is ``direction='fine_to_coarse'``.

    Attributes:
        consistency: Contrastive loss of the encodings: 'decoupled' leaves the positive out of the
            denominator, as the released code does; 'infonce' is the paper's.
        temperature: Temperature of the contrastive losses.
        footprint_aware: Take no pair whose ground overlaps for a negative.
        align: Which features are compared in the cross-prediction: those at the same 'ground', or
            those of the same 'index', which lie on different ground (as released).
        direction: Which view's features predict the other's.
        stop_gradient: Whether the predicted features are a fixed target.
        negatives: Where other places are pushed away: at the 'encoder' (the paper finds it
            helps), at the 'decoder' (it finds it hurts), 'both' or 'none'. Without negatives the
            consistency is the mean squared distance of the normalised encodings, and the
            cross-prediction the mean squared error of the features; with negatives at the decoder
            it contrasts the mean predicted with the mean target features.
        predictor_hidden: Hidden units of the cross-prediction head.
        predictor_norm: 'layer' (any image size) or 'token_batch', a BatchNorm with one channel a
            token position, as released, which ties the head to one image size.
        predictor_tokens: Number of tokens, for 'token_batch'.
    """

    consistency: Literal['decoupled', 'infonce'] = 'decoupled'
    temperature: float = 0.5
    footprint_aware: bool = True
    align: Literal['ground', 'index'] = 'ground'
    direction: Literal['coarse_to_fine', 'fine_to_coarse'] = 'coarse_to_fine'
    stop_gradient: bool = True
    negatives: Literal['encoder', 'decoder', 'both', 'none'] = 'encoder'
    predictor_hidden: int = 2048
    predictor_norm: Literal['layer', 'token_batch'] = 'layer'
    predictor_tokens: int = 64

    def __post_init__(self) -> None:
        """Make sure that each choice exists.

        Raises:
            UnknownNameError: If one does not.
        """
        given = asdict(self)
        for name, choices in CHOICES.items():
            if given[name] not in choices:
                raise UnknownNameError(name, given[name], choices)

    def predictor(self, dim: int) -> nn.Sequential:
        """Build the head that turns features of one view into those of the other.

        Args:
            dim: Channels of the features.
        """
        hidden = self.predictor_hidden
        by_token = self.predictor_norm == 'token_batch'
        norm = nn.BatchNorm1d(self.predictor_tokens) if by_token else nn.LayerNorm(hidden)
        return nn.Sequential(nn.Linear(dim, hidden), norm, nn.ReLU(), nn.Linear(hidden, dim))

    def agree(self, fine: Encoding, coarse: Encoding, footprint: Tensor | None) -> Tensor:
        """Compute ``consistency``.

        Args:
            fine: The fine view's encoding.
            coarse: The coarse view's.
            footprint: West, south, east, north of each place in degrees, shape (B, 4).
        """
        (one, in_fine), (other, in_coarse) = fine.pooled(), coarse.pooled()
        present = in_fine & in_coarse
        if self.negatives in ('encoder', 'both'):
            return self._contrast(one, other, present, footprint)
        one, other = (nn.functional.normalize(z, dim=-1) for z in (one, other))
        distance = (one - other).square().sum(-1)
        return (distance * present).sum() / present.sum().clamp(min=1)

    def predict(
        self, fine: Encoding, coarse: Encoding, footprint: Tensor | None, predictor: nn.Module
    ) -> Tensor:
        """Compute ``cross_prediction``: of the target view's features from the source view's.

        Args:
            fine: The fine view's encoding.
            coarse: The coarse view's.
            footprint: West, south, east, north of each place in degrees, shape (B, 4).
            predictor: The head.

        Raises:
            ConfigError: If it was built for another number of tokens.
        """
        views = (coarse, fine) if self.direction == 'coarse_to_fine' else (fine, coarse)
        source, target = views
        known, wanted, weight = source.features, target.features, target.share
        if self.align == 'ground':
            places = token_centres(target.view, target.patch)
            known, inside = sample_at(known, source.view, places, source.patch)
            weight = weight * inside[..., None]
        if self.predictor_norm == 'token_batch' and known.shape[1] != self.predictor_tokens:
            raise ConfigError(
                f"predictor_norm='token_batch' was built for {self.predictor_tokens} tokens and "
                f'{known.shape[1]} came; set predictor_tokens, or use predictor_norm="layer"'
            )
        predicted = predictor(known)
        if self.stop_gradient:
            wanted = wanted.detach()
        if self.negatives in ('decoder', 'both'):
            first, second = (weighted_mean(tokens, weight) for tokens in (predicted, wanted))
            return self._contrast(first, second, weight.sum((1, 2)) > 0, footprint)
        error = (predicted.float() - wanted.float()).square().mean(-1, keepdim=True)
        return (error * weight).sum() / weight.sum().clamp(min=1e-6)

    def _contrast(
        self, first: Tensor, second: Tensor, present: Tensor, footprint: Tensor | None
    ) -> Tensor:
        return nt_xent(
            first,
            second,
            temperature=self.temperature,
            decoupled=self.consistency == 'decoupled',
            footprint=footprint if self.footprint_aware else None,
            present=present,
        )


#: Names of the options.
PAIR_OPTIONS = tuple(field.name for field in fields(PairTerms))


def read_pair(pair: Mapping[str, Any] | None) -> PairTerms | None:
    """Read the options of terms between views.

    Args:
        pair: Attributes of :class:`PairTerms` that are not as they are by default; None for no
            terms.

    Raises:
        ConfigError: If it is something else.
        UnknownNameError: If an option or choice does not exist.
    """
    if pair is None:
        return None
    if not isinstance(pair, Mapping):
        raise ConfigError(f'pair {pair!r}: options by name are needed; {{}} takes the defaults')
    for name in pair:
        if name not in PAIR_OPTIONS:
            raise UnknownNameError('option of pair', name, PAIR_OPTIONS)
    return PairTerms(**pair)
