"""How an image becomes tokens where a place has more than one: of groups of bands, or of dates."""

from collections.abc import Mapping
from typing import Any, Protocol

from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from ..types import View
from .band_groups import BandGroups
from .frames import Frames
from .position import Position
from .swin import Swin, encode_whole
from .tokens import patchify
from .vit import embed, encode, encoder_positions, patch_size


class Layout(Protocol):
    """How images become tokens, and where these lie."""

    @property
    def options(self) -> dict[str, Any]:
        """What it is made of, as a checkpoint keeps it."""

    def tokens(
        self, encoder: VisionTransformer, view: View, embeds: nn.ModuleDict, position: Position
    ) -> Tensor:
        """Cut a view of B places into tokens that hold their positions, shape (B, M, D)."""

    def decoder_positions(self, view: View, patch: int, dim: int, position: Position) -> Tensor:
        """Encode where tokens lie, those before the patches first, (1 or B, 1 + M, dim)."""

    def fold(self, tokens: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Average the tokens of each place, (B, M, D) to (B, N, D); also weights, (B, N, 1)."""


def layout_of(options: Mapping[str, Any]) -> Layout | None:
    """Return how an encoder makes tokens; None where it is one of each patch.

    Args:
        options: Arguments of the objective, as a checkpoint keeps them.
    """
    for kind, first, names in (
        (BandGroups, 'groups', ('groups', 'bands', 'group_dim', 'decoder_group_dim')),
        (Frames, 'frames', ('frames', 'time_dim', 'decoder_time_dim')),
    ):
        if first in options:
            return kind(**{name: options[name] for name in names if name in options})
    return None


def view_tokens(
    encoder: VisionTransformer,
    view: View,
    position: Position,
    embeds: nn.ModuleDict,
    layout: Layout | None,
) -> Tensor:
    """Cut a view into tokens that hold their positions, none of them hidden.

    Args:
        encoder: The encoder.
        view: The view.
        position: How positions are counted.
        embeds: Patch embeddings beyond the encoder's own.
        layout: How images become tokens; None for one token of each patch.

    Returns:
        Shape (B, M, D).
    """
    if layout is not None:
        return layout.tokens(encoder, view, embeds, position)
    tokens = embed(encoder, patchify(view.image, patch_size(encoder)), embeds, view.group)
    return tokens + encoder_positions(encoder, view, position)


def encode_view(
    encoder: VisionTransformer | Swin,
    view: View,
    position: Position,
    embeds: nn.ModuleDict,
    layout: Layout | None,
    *,
    normalize: bool = True,
) -> tuple[Tensor, Tensor]:
    """Encode a view, nothing of it hidden.

    Args:
        encoder: The encoder.
        view: The view.
        position: How positions are counted.
        embeds: Patch embeddings beyond the encoder's own.
        layout: How images become tokens; None for one token of each patch.
        normalize: Whether to apply the final LayerNorm.

    Returns:
        Prefix tokens (class, registers), shape (B, P, D), and all others, shape (B, M, D).
    """
    if isinstance(encoder, Swin):
        tokens = encode_whole(encoder, view.image, embeds, view.group)
        tokens = encoder.norm(tokens) if normalize else tokens
        return tokens[:, :0], tokens
    tokens = view_tokens(encoder, view, position, embeds, layout)
    encoded = encode(encoder, tokens, normalize=normalize)
    first = encoded.shape[1] - tokens.shape[1]
    return encoded[:, :first], encoded[:, first:]
