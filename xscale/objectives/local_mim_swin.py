"""LocalMIM (Wang et al., CVPR 2023, arXiv:2303.05251) of a Swin transformer."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ..models.masking import check_visible, gather_tokens, masks_in_order
from ..models.swin import Swin, embed_cells, encode_stages
from ..models.tokens import patchify
from ..types import Masks, View
from .local_mim import LocalMIM
from .stage_terms import StageTerms
from .tap_terms import TapTerms


class LocalMIMSwin(LocalMIM):
    """Predict hidden cells from what a Swin says after each of its stages.

    Cells are hidden whole, of 32 px with timm's models. Terms: ``local_0``, ``local_1``, …, one for
    each stage, the finest first; see :class:`~xscale.objectives.stage_terms.StageTerms`. Where
    ``pair`` is given, ``consistency`` beside them, as in
    :class:`~xscale.objectives.local_mim.LocalMIM`.
    """

    kind: ClassVar[type[nn.Module]] = Swin
    local_kind: ClassVar[Callable[..., TapTerms]] = StageTerms

    def __init__(
        self,
        encoder: Swin,
        *,
        mask_ratio: float = 0.75,
        shared_mask: bool = False,
        released_count: bool = False,
        released_places: bool = False,
        pair: Mapping[str, Any] | None = None,
        embeds: nn.ModuleDict | None = None,
        weights: Mapping[str, float] | None = None,
        **local: Any,
    ) -> None:
        """Add a tiny decoder for each stage to an encoder.

        Args:
            encoder: As :func:`~xscale.models.swin.create_swin` builds it.
            mask_ratio: Share of cells that are hidden.
            shared_mask: Hide the same cells in all images of a batch, as the released code does.
            released_count: Hide one cell more than ``int(mask_ratio * cells)``, as the released
                code does, which compares by ≤.
            released_places: Take merged tokens for lying row by row when they lie cell by cell, as
                the released code does, so that windows of all stages but the first hold tokens
                from afar; over whole images windows are as they are without.
            pair: Attributes of :class:`~xscale.objectives.pair_terms.PairTerms`; None for no
                terms between views.
            embeds: Patch embeddings of groups of bands beyond the encoder's own.
            weights: Weight of each term; 0 skips its work.
            **local: What :class:`~xscale.objectives.stage_terms.StageTerms` takes: ``target``,
                ``bins``, ``norm_pix``, ``dim``, ``depth``, ``heads``, ``isolate``, ``hog_bias``.

        Raises:
            UnknownNameError: If a choice does not exist.
            ConfigError: If the settings do not fit together, or nothing trains the last stage.
        """
        super().__init__(
            encoder, mask_ratio=mask_ratio, pair=pair, embeds=embeds, weights=weights, **local
        )
        self.shared_mask, self.released_count = shared_mask, released_count
        self.released_places = released_places

    def draw_mask(self, view: View, generator: torch.Generator) -> Masks:
        """Draw the mask of each image of a view, or one for all.

        Args:
            view: The view.
            generator: Source of the noise.
        """
        batch, count, ratio = len(view.image), self.patches(view), self.mask_ratio
        visible = int(count * (1 - ratio))
        if self.released_count:
            visible = count - int(ratio * count) - 1
        hidden = count - check_visible(visible, count, ratio)
        noise = torch.rand(1 if self.shared_mask else batch, count, generator=generator)
        return masks_in_order(noise.expand(batch, -1).to(view.image.device), hidden)

    def look(self, view: View, masks: Masks) -> tuple[Tensor, list[Tensor]]:
        """Encode the visible cells of a view; see :class:`~xscale.objectives.local_mim.LocalMIM`.

        Returns:
            What the encoder says in the end, shape (B, K, D), and what each tap reads.
        """
        said = self.encode_stages(view, masks)
        encoder: Any = self.encoder
        end = encoder.norm(said[-1]) if self.normalize_encoder else said[-1]
        if self.local is None:
            return end, []
        said = [*said[:-1], end]
        return end, [said[k] for k in self.local.taps]

    def encode_stages(self, view: View, masks: Masks) -> list[Tensor]:
        """Run the stages; see :func:`~xscale.models.swin.encode_stages`.

        Args:
            view: The view.
            masks: Its mask.
        """
        encoder: Any = self.encoder
        cells = gather_tokens(patchify(view.image, self.patch), masks.keep)
        tokens = embed_cells(encoder, cells, self.embeds, view.group)
        size = view.image.shape[-2] // self.patch, view.image.shape[-1] // self.patch
        return encode_stages(
            encoder,
            tokens,
            masks.keep,
            size,
            isolate=self.local is not None and self.local.isolate,
            released_places=self.released_places,
        )
