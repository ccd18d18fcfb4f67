"""Masked autoencoders (He et al., CVPR 2022, arXiv:2111.06377)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Literal

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from ..errors import UnknownNameError
from ..models.decoders import MAEDecoder
from ..models.groups import by_group, widen
from ..models.position import Position, encode_positions
from ..models.tokens import patchify, unpatchify
from ..models.vit import init_weights
from ..types import Masks, View
from .masked import Picture
from .pair_objective import PairObjective
from .targets import normalize_patches, patch_statistics
from .terms import MS_SSIM_WEIGHTS, VALUE_LOSSES, WINDOW, patch_loss, ssim_loss

#: Reconstruction losses that look at structure: (loss of values or None, weight, multi-scale).
STRUCTURE_LOSSES: dict[str, tuple[str | None, float, bool]] = {
    'ssim': (None, 1.0, False),
    'ms_ssim': (None, 1.0, True),
    'mse_ssim': ('mse', 0.1, False),
    'mse_ms_ssim': ('mse', 0.1, True),
}


#: How far a view goes: through the encoder, the decoder, or to pixels.
Depth = Literal['latent', 'features', 'prediction']


@dataclass(frozen=True, slots=True)
class Reconstruction:
    """What an autoencoder made of one view.

    Attributes:
        latent: Encoder output: prefix tokens and visible patches, shape (B, P + K, D).
        features: Decoder output: prefix tokens and all patches, shape (B, P + N, d).
        prediction: Predicted patches, shape (B, N, patch² · C).
        prefix: Number P of prefix tokens.
        between: What the encoder says after each block that a local term reads, like ``latent``.
    """

    latent: Tensor
    features: Tensor
    prediction: Tensor
    prefix: int
    between: tuple[Tensor, ...] = ()


class MAE(PairObjective):
    """Reconstruct hidden patches from visible ones.

    Terms: ``reconstruction``; and where ``local`` is given, those of
    :class:`~xscale.objectives.local_terms.LocalTerms` beside it, where ``pair`` is, those of
    :class:`~xscale.objectives.pair_terms.PairTerms` between it and a coarse view.
    """

    terms: ClassVar[tuple[str, ...]] = ('reconstruction',)

    def __init__(
        self,
        encoder: VisionTransformer,
        *,
        mask_ratio: float = 0.75,
        loss: str = 'mse',
        norm_pix: bool = False,
        position: Position = 'index',
        normalize_encoder: bool = True,
        decoder_dim: int = 512,
        decoder_depth: int = 8,
        decoder_heads: int = 16,
        block: str = 'pre_norm',
        init: str = 'xavier',
        local: Mapping[str, Any] | None = None,
        pair: Mapping[str, Any] | None = None,
        embeds: nn.ModuleDict | None = None,
        weights: Mapping[str, float] | None = None,
    ) -> None:
        """Add a decoder to an encoder.

        Args:
            encoder: As :func:`~xscale.models.vit.create_encoder` builds it.
            mask_ratio: Share of patches that are hidden.
            loss: 'mse', 'mae', 'l1', 'l2', 'bce', 'ssim', 'ms_ssim', 'mse_ssim' (mse + 0.1·ssim)
                or 'mse_ms_ssim'.
            norm_pix: Normalise each target patch by its own mean and deviation.
            position: 'index' counts patches (MAE); 'gsd' counts metres (Scale-MAE); 'table' takes
                the encoder's own table, for weights whose positions were learned.
            normalize_encoder: Apply the encoder's final LayerNorm. The released Cross-Scale MAE
                computes it and drops the result; False reproduces that.
            decoder_dim: Channels of the decoder.
            decoder_depth: Blocks of the decoder.
            decoder_heads: Attention heads of the decoder.
            block: Kind of the decoder's blocks, 'pre_norm' or 'post_norm'.
            init: Weights the decoder starts from: 'xavier' (MAE); or 'local', whose attention is
                on the patches nearby from the start, and which learns in fewer steps.
            local: Arguments of :class:`~xscale.objectives.local_terms.LocalTerms`, whose terms
                are added; ``{}`` takes its defaults, None adds none.
            pair: Attributes of :class:`~xscale.objectives.pair_terms.PairTerms`, whose terms are
                added, likewise.
            embeds: Patch embeddings of groups of bands beyond the encoder's own, as
                :func:`~xscale.models.groups.create_embeds` builds them.
            weights: Weight of each term; 0 skips its work.

        Raises:
            UnknownNameError: If a loss or term does not exist.
            ConfigError: If the numbers do not fit together.
        """
        super().__init__(
            encoder,
            mask_ratio=mask_ratio,
            position=position,
            normalize_encoder=normalize_encoder,
            init=init,
            embeds=embeds,
            weights=weights,
            local=local,
            pair=pair,
        )
        if loss not in VALUE_LOSSES and loss not in STRUCTURE_LOSSES:
            raise UnknownNameError('reconstruction loss', loss, [*VALUE_LOSSES, *STRUCTURE_LOSSES])
        self.loss, self.norm_pix = loss, norm_pix
        self.decoder = MAEDecoder(
            encoder.embed_dim,
            self.patch**2 * self.bands[''],
            dim=decoder_dim,
            depth=decoder_depth,
            heads=decoder_heads,
            block=block,
            init=init,
        )
        # Each group's own bands are predicted, by a last layer of its own.
        self.heads = nn.ModuleDict(
            {name: nn.Linear(decoder_dim, self.patch**2 * self.bands[name]) for name in self.embeds}
        )
        self.heads.apply(init_weights)
        self.add_local(local, block=block, init=init)
        self.add_pair(pair, decoder_dim)
        self._depth = self._needed()
        # What no term reads is not trained; DistributedDataParallel wants to know.
        self.decoder.requires_grad_(self._depth != 'latent')
        for head in (self.decoder.pred, self.heads):
            head.requires_grad_(self._depth == 'prediction')

    @property
    def rebuilds(self) -> bool:
        """Whether a term trains it to predict pixels; see :class:`MaskedObjective`."""
        return self._depth == 'prediction'

    def _needed(self) -> Depth:
        """Return how far the views have to go for the terms that are wanted."""
        return 'prediction' if self.wants('reconstruction') else self._compared()

    def _compared(self) -> Depth:
        """Return how far the views have to go for the terms between them."""
        return 'features' if self.wants('cross_prediction') else 'latent'

    def forward(
        self,
        views: Sequence[View],
        masks: Sequence[Masks] | None = None,
        *,
        footprint: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """Compute the terms of the first view, and those between views; see :class:`Objective`."""
        self.check_pair(views)
        views = views[: self.views]
        masks = masks or self.draw_masks(views, generator)
        made = self.reconstruct(views[:1], masks[:1], self._depth)
        terms = {}
        if self.wants('reconstruction'):
            terms['reconstruction'] = self.reconstruction_loss(made[0], views[0], masks[0])
        if self.pair is not None:
            made += self.reconstruct(views[1:], masks[1:], self._compared())
            both = [(part.latent, part.features) for part in made]
            terms |= self.pair_terms(both, views, masks, footprint)
        return terms | self.local_terms([made[0].between], views[:1], masks[:1])

    def reconstruct(
        self, views: Sequence[View], masks: Sequence[Masks], depth: Depth = 'prediction'
    ) -> list[Reconstruction]:
        """Encode and decode; views of one shape go through in one batch.

        Args:
            views: The views.
            masks: The mask of each.
            depth: How far to go; what lies beyond comes out empty.

        Returns:
            The reconstruction of each view.
        """
        if len({view.image.shape for view in views}) > 1:
            pairs = zip(views, masks, strict=True)
            return [self.reconstruct([v], [m], depth)[0] for v, m in pairs]
        keep, restore, masked = (
            torch.cat([getattr(m, name) for m in masks]) for name in ('keep', 'restore', 'masked')
        )
        tokens = torch.cat([self.embed_visible(v, m) for v, m in zip(views, masks, strict=True)])
        latent, between = self.encode_between(tokens)
        prefix = latent.shape[1] - keep.shape[1]
        features = prediction = latent.new_empty(len(latent), 0, 0)
        if depth != 'latent':
            positions = self._positions(views, self.decoder.dim)
            features = self.decoder(latent, Masks(keep, restore, masked), positions)
        if depth == 'prediction':
            group = torch.cat([self.group_of(view) for view in views]) if self.heads else None
            prediction = self._predict(features[:, prefix:], group)
        parts = (tensor.chunk(len(views)) for tensor in (latent, features, prediction))
        taps = [tensor.chunk(len(views)) for tensor in between]
        return [
            Reconstruction(a, b, c, prefix, tuple(tap[number] for tap in taps))
            for number, (a, b, c) in enumerate(zip(*parts, strict=True))
        ]

    def _predict(self, features: Tensor, group: Tensor | None) -> Tensor:
        """Predict the bands of each image's group; those it lacks come out as 0."""
        if not self.heads:
            return self.decoder.pred(features)
        widest = self.present.shape[1]

        def predict(head: nn.Module, rows: Tensor) -> Tensor:
            return widen(head(rows), widest, self.patch)

        heads = [self.decoder.pred, *self.heads.values()]
        return by_group([partial(predict, head) for head in heads], features, group)

    def _positions(self, views: Sequence[View], dim: int) -> Tensor:
        """Encode the decoder's positions: one table for all, or one for each image."""
        tables = [encode_positions(view, self.patch, dim, self.position) for view in views]
        return torch.cat(tables) if self.position == 'gsd' else tables[0]

    def targets(self, view: View) -> tuple[Tensor, Tensor]:
        """Return what is to be predicted of a view, and where it counts.

        Args:
            view: The view.

        Returns:
            Target patches and validity (1 or 0), both of shape (B, N, patch² · C).
        """
        target, valid = patchify(view.image, self.patch), self._valid(view)
        return (normalize_patches(target, valid) if self.norm_pix else target), valid

    def _valid(self, view: View) -> Tensor:
        """Return 1 where a value of a patch is data, else 0, (B, N, patch² · C)."""
        valid = view.valid.expand_as(view.image)
        if self.heads:
            valid = valid & self.present[self.group_of(view)][:, :, None, None]
        return patchify(valid, self.patch).to(view.image.dtype)

    def reconstruction_loss(self, made: Reconstruction, view: View, masks: Masks) -> Tensor:
        """Compare a reconstruction with its view over hidden, valid pixels.

        Args:
            made: The reconstruction.
            view: The view.
            masks: Its mask.
        """
        target, valid = self.targets(view)
        bands = self.present[self.group_of(view)]
        compared = made.prediction, target, masks.masked, valid
        values = bands.sum(1, keepdim=True) * self.patch**2
        if self.loss in VALUE_LOSSES:
            return patch_loss(*compared, self.loss, values)
        also, weight, multi_scale = STRUCTURE_LOSSES[self.loss]
        # Visible and invalid pixels are pasted from the target, so they cost nothing.
        open_ = masks.masked[..., None] & (valid > 0)
        pasted = torch.where(open_, made.prediction.float(), target)
        size = view.image.shape[-2:]
        images = [unpatchify(patches, self.patch, *size) for patches in (pasted, target)]
        scales = _scales(min(size)) if multi_scale else 1
        counted = bands & (valid > 0).flatten(1).any(1, keepdim=True)
        loss = weight * ssim_loss(images[0], images[1], scales, counted)
        if also:
            loss = loss + patch_loss(*compared, also, values)
        return loss

    def pictures(self, views: Sequence[View], masks: Sequence[Masks]) -> list[list[Picture]]:
        """Make pictures of the reconstructions, where they are trained.

        See :class:`~xscale.objectives.masked.MaskedObjective`.
        """
        if not self.rebuilds:
            return [[] for _ in views]
        made = self.reconstruct(views, masks)
        parts = zip(made, views, masks, strict=True)
        return [[Picture('reconstructed', self.picture(*part))] for part in parts]

    def fill(self, view: View, masks: Masks) -> Tensor:
        """Predict the hidden patches of a view; see :class:`MaskedObjective`."""
        return self.picture(self.reconstruct([view], [masks])[0], view, masks)

    def picture(self, made: Reconstruction, view: View, masks: Masks) -> Tensor:
        """Paste the predicted patches into a view, for people to look at.

        Args:
            made: The reconstruction.
            view: The view.
            masks: Its mask.

        Returns:
            Normalised pixels, shape (B, C, H, W).
        """
        predicted = made.prediction.float()
        if self.norm_pix:
            patches = patchify(view.image, self.patch)
            mean, deviation = patch_statistics(patches, self._valid(view))
            predicted = predicted.reshape(patches.shape) * deviation + mean
        image = unpatchify(
            predicted.reshape(len(view.image), -1, predicted.shape[-1]),
            self.patch,
            *view.image.shape[-2:],
        )
        return torch.where(self.hidden(view, masks), image, view.image)


def _scales(side: int) -> int:
    """Return how many scales of MS-SSIM an image holds, at least one."""
    fitting = [n for n in range(1, len(MS_SSIM_WEIGHTS) + 1) if side >> (n - 1) >= WINDOW]
    return max(fitting, default=1)
