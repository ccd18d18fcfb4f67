"""SatMAE on groups of bands (Cong et al., NeurIPS 2022, arXiv:2207.08051)."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from ..errors import ConfigError, UnknownNameError
from ..models.band_groups import SENTINEL2, BandGroups
from ..models.groups import widen
from ..models.layouts import Layout
from ..models.masking import gather_tokens, random_masks, repeat_masks
from ..models.tokens import patchify, unpatchify
from ..types import Masks, View
from .mae import MAE, Reconstruction
from .terms import VALUE_LOSSES, patch_loss


class SatMAE(MAE):
    """What the two models of SatMAE share in which a patch has more than one token.

    Attributes:
        layout: How images become tokens.
        same_mask: Whether all tokens of a patch are hidden together.
    """

    layout: Layout

    def __init__(
        self, encoder: VisionTransformer, layout: Layout, same_mask: bool, **options: Any
    ) -> None:
        """Add a decoder to an encoder.

        Args:
            encoder: As :func:`~xscale.models.build.build_encoder` builds it.
            layout: See the class.
            same_mask: Likewise.
            **options: What :class:`~xscale.objectives.MAE` takes.

        Raises:
            ConfigError: If weights are to start 'local', or there are to be local terms.
            UnknownNameError: If the loss is not one of single values, or positions are not
                computed.
        """
        if options.get('local'):
            raise ConfigError('local terms are of one token of each patch; leave local out')
        if options.get('init') == 'local':
            raise ConfigError(
                "init 'local' knows which patches are near where all channels of a position say "
                "where it lies; here some say something else: choose init 'xavier'"
            )
        super().__init__(encoder, **options)
        if self.position == 'table':
            raise UnknownNameError('position', self.position, ('index', 'gsd'))
        if self.loss not in VALUE_LOSSES:
            raise UnknownNameError('reconstruction loss', self.loss, VALUE_LOSSES)
        self.layout, self.same_mask = layout, same_mask

    def repeats(self, view: View) -> int:
        """Return how many tokens each patch has.

        Args:
            view: The view.
        """
        raise NotImplementedError

    def draw_mask(self, view: View, generator: torch.Generator) -> Masks:
        """Draw the mask of each place, over all tokens or over patches.

        Args:
            view: The view.
            generator: Source of the noise.
        """
        places, device = len(view.image) // view.frames, view.image.device
        count, times = self.patches(view), self.repeats(view)
        if not self.same_mask:
            return random_masks(places, count * times, self.mask_ratio, generator, device)
        masks = random_masks(places, count, self.mask_ratio, generator, device)
        return repeat_masks(masks, times)

    def embed_visible(self, view: View, masks: Masks) -> Tensor:
        """Embed all tokens of a view and keep the visible ones.

        Args:
            view: The view.
            masks: Its mask.

        Returns:
            Shape (B, K, D).
        """
        tokens = self.layout.tokens(self.encoder, view, self.embeds, self.position)
        return gather_tokens(tokens, masks.keep)

    def _positions(self, views: Sequence[View], dim: int) -> Tensor:
        """Encode the decoder's positions, that of the class token first."""
        tables = [self.layout.decoder_positions(v, self.patch, dim, self.position) for v in views]
        if len(tables) == 1:
            return tables[0]
        places = len(views[0].image) // views[0].frames
        return torch.cat([table.expand(places, -1, -1) for table in tables])

    def fold(self, features: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
        """Average the tokens of each patch; see :meth:`PairObjective.fold`."""
        return self.layout.fold(features, share)


class SatMAEGroup(SatMAE):
    """Reconstruct each group of bands, whose tokens see those of the other groups.

    Each group has a patch embedding and a last layer of its own; a token stands for one patch of
    one group. The loss is the mean over all hidden tokens, so a group of two bands weighs as much
    as one of four.
    """

    #: Where each channel stands among those of the groups, (C,).
    order: Tensor

    defaults: ClassVar[Mapping[str, Any]] = MappingProxyType({'groups': SENTINEL2})

    def __init__(
        self,
        encoder: VisionTransformer,
        *,
        embeds: nn.ModuleDict | None = None,
        groups: Mapping[str, Sequence[str]] = SENTINEL2,
        bands: Sequence[str] | None = None,
        group_dim: int | None = None,
        decoder_group_dim: int | None = None,
        same_mask: bool = False,
        released_order: bool = False,
        **options: Any,
    ) -> None:
        """Add a decoder to an encoder.

        Args:
            encoder: A vision transformer whose own patch embedding is that of the first group.
            embeds: Patch embeddings of the other groups, as
                :func:`~xscale.models.groups.create_embeds` builds them.
            groups: Names of the bands of each group, by its name.
            bands: Names of the channels of the images; by default the groups' one after another.
            group_dim: Channels of a token of the encoder that say of which group it is; by default
                256, and a third of encoders of less than 768 channels.
            decoder_group_dim: Likewise of the decoder; by default a quarter, 128 at most.
            same_mask: Hide a patch in all groups or in none; independently by default.
            released_order: Take predictions in the order of the groups for the channels in the
                order of the images, as the released code does: where groups are not one after
                another, a channel is predicted by the last layer of another group.
            **options: What :class:`~xscale.objectives.MAE` takes. ``norm_pix`` normalises each
                patch over all bands together.

        Raises:
            ConfigError: If the groups are not parts of the bands that have no band in common.
            UnknownNameError: If the loss is not one of single values, or positions are not
                computed.
        """
        layout = BandGroups(groups, bands, group_dim, decoder_group_dim)
        super().__init__(encoder, layout, same_mask, embeds=embeds, **options)
        self.indexes, self.released_order = layout.indexes, released_order
        order = torch.tensor([index for own in self.indexes for index in own])
        self.register_buffer('order', order.argsort(), persistent=False)

    def repeats(self, view: View) -> int:
        """Return the number of groups; see :meth:`SatMAE.repeats`."""
        return len(self.indexes)

    def _predict(self, features: Tensor, group: Tensor | None) -> Tensor:
        """Predict the bands of each group by its own last layer, (B, N, patch² · C)."""
        heads = [self.decoder.pred, *self.heads.values()]
        own = features.unflatten(1, (len(heads), -1)).unbind(1)
        # A last layer's numbers are those of one band after another, as in released checkpoints.
        pixels = [
            head(part).unflatten(-1, (-1, self.patch**2)).mT
            for head, part in zip(heads, own, strict=True)
        ]
        joined = torch.cat(pixels, dim=-1)
        return (joined if self.released_order else joined[..., self.order]).flatten(-2)

    def _valid(self, view: View) -> Tensor:
        return patchify(view.valid.expand_as(view.image), self.patch).to(view.image.dtype)

    def by_group(self, patches: Tensor) -> Tensor:
        """Turn patches into those of each group, filled up with 0 to the widest.

        Args:
            patches: Shape (B, N, patch² · C).

        Returns:
            Shape (B, G · N, patch² · C of the widest group).
        """
        pixels = patches.unflatten(-1, (self.patch**2, -1))
        widest = max(map(len, self.indexes))
        own = [pixels[..., index].flatten(-2) for index in self.indexes]
        return torch.cat([widen(part, widest, self.patch) for part in own], dim=1)

    def reconstruction_loss(self, made: Reconstruction, view: View, masks: Masks) -> Tensor:
        """Compare a reconstruction with its view over hidden tokens.

        Args:
            made: The reconstruction.
            view: The view.
            masks: Its mask.
        """
        compared = (self.by_group(part) for part in (made.prediction, *self.targets(view)))
        prediction, target, valid = compared
        counts = torch.tensor([len(own) for own in self.indexes], device=valid.device)
        size = counts.repeat_interleave(self.patches(view))[None] * self.patch**2
        return patch_loss(prediction, target, masks.masked, valid, self.loss, size)

    def hidden(self, view: View, masks: Masks) -> Tensor:
        """Tell which pixels of each band the encoder does not see, (B, C, H, W)."""
        masked = masks.masked.unflatten(1, (len(self.indexes), -1)).mT
        number = [i for i, own in enumerate(self.indexes) for _ in own]
        of_band = torch.tensor(number, device=masked.device)[self.order]
        pixels = masked[..., None, of_band].expand(-1, -1, self.patch**2, -1).flatten(-2)
        return unpatchify(pixels, self.patch, *view.image.shape[-2:])
