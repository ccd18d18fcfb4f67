"""Masked autoencoders (He et al., CVPR 2022, arXiv:2111.06377)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from ..errors import ConfigError, UnknownNameError
from ..models.decoders import MAEDecoder
from ..models.groups import by_group, widen
from ..models.masking import gather_tokens, random_masks
from ..models.position import POSITIONS, Position, encode_positions
from ..models.tokens import patchify, unpatchify
from ..models.vit import embed, encode, encoder_positions, init_weights, patch_size
from ..types import Masks, View
from .base import Objective
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
    """

    latent: Tensor
    features: Tensor
    prediction: Tensor
    prefix: int


class MAE(Objective):
    """Reconstruct hidden patches from visible ones."""

    views: ClassVar[int] = 1
    terms: ClassVar[tuple[str, ...]] = ('reconstruction',)

    #: Which of the channels each group of bands has, (groups, C).
    present: Tensor

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
            embeds: Patch embeddings of groups of bands beyond the encoder's own, as
                :func:`~xscale.models.groups.create_embeds` builds them.
            weights: Weight of each term; 0 skips its work.

        Raises:
            UnknownNameError: If a loss or term does not exist.
            ConfigError: If the numbers do not fit together.
        """
        super().__init__(weights)
        if loss not in VALUE_LOSSES and loss not in STRUCTURE_LOSSES:
            raise UnknownNameError('reconstruction loss', loss, [*VALUE_LOSSES, *STRUCTURE_LOSSES])
        if position not in POSITIONS:
            raise UnknownNameError('position', position, POSITIONS)
        if init == 'local' and position == 'gsd':
            raise ConfigError(
                "init 'local' knows which patches are near by counting them; with position 'gsd' "
                "choose init 'xavier'"
            )
        if decoder_dim % decoder_heads or decoder_dim % 4:
            raise ConfigError(
                f'decoder_dim {decoder_dim}: a multiple of 4 and of decoder_heads '
                f'{decoder_heads} is needed'
            )
        self.encoder = encoder
        self.patch = patch_size(encoder)
        self.mask_ratio, self.loss, self.norm_pix = mask_ratio, loss, norm_pix
        self.position, self.normalize_encoder = position, normalize_encoder
        self.embeds = nn.ModuleDict() if embeds is None else embeds
        projections = [encoder.patch_embed.proj, *(one.proj for one in self.embeds.values())]
        bands = torch.tensor([[projection.in_channels] for projection in projections])
        self.decoder = MAEDecoder(
            encoder.embed_dim,
            self.patch**2 * int(bands[0]),
            dim=decoder_dim,
            depth=decoder_depth,
            heads=decoder_heads,
            block=block,
            init=init,
        )
        # Each group's own bands are predicted, by a last layer of its own.
        self.heads = nn.ModuleDict(
            {
                name: nn.Linear(decoder_dim, self.patch**2 * int(count))
                for name, count in zip(self.embeds, bands[1:], strict=True)
            }
        )
        self.heads.apply(init_weights)
        present = torch.arange(int(bands.max())) < bands
        self.register_buffer('present', present, persistent=False)

    def forward(
        self,
        views: Sequence[View],
        masks: Sequence[Masks] | None = None,
        *,
        footprint: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """Compute the reconstruction term of the first view; see :class:`Objective`."""
        views = views[:1]
        masks = masks or self.draw_masks(views, generator)
        made = self.reconstruct(views, masks)[0]
        return {'reconstruction': self.reconstruction_loss(made, views[0], masks[0])}

    def draw_masks(
        self, views: Sequence[View], generator: torch.Generator | None
    ) -> tuple[Masks, ...]:
        """Draw an independent mask for each view.

        Args:
            views: The views.
            generator: Source of the noise.

        Raises:
            ConfigError: If there is no generator.
        """
        if generator is None:
            raise ConfigError('give masks, or a generator to draw them from')
        return tuple(
            random_masks(
                len(view.image),
                (view.image.shape[-2] // self.patch) * (view.image.shape[-1] // self.patch),
                self.mask_ratio,
                generator,
                view.image.device,
            )
            for view in views
        )

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
        latent = encode(self.encoder, tokens, normalize=self.normalize_encoder)
        prefix = latent.shape[1] - keep.shape[1]
        features = prediction = latent.new_empty(len(latent), 0, 0)
        if depth != 'latent':
            positions = self._positions(views, self.decoder.dim)
            features = self.decoder(latent, Masks(keep, restore, masked), positions)
        if depth == 'prediction':
            group = torch.cat([self._group(view) for view in views]) if self.heads else None
            prediction = self._predict(features[:, prefix:], group)
        parts = (tensor.chunk(len(views)) for tensor in (latent, features, prediction))
        return [
            Reconstruction(latent=a, features=b, prediction=c, prefix=prefix)
            for a, b, c in zip(*parts, strict=True)
        ]

    def embed_visible(self, view: View, masks: Masks) -> Tensor:
        """Embed the visible patches of a view and add their positions.

        Args:
            view: The view.
            masks: Its mask.

        Returns:
            Shape (B, K, D).
        """
        patches = gather_tokens(patchify(view.image, self.patch), masks.keep)
        positions = encoder_positions(self.encoder, view, self.position)
        tokens = embed(self.encoder, patches, self.embeds, view.group)
        return tokens + gather_tokens(positions, masks.keep).to(tokens.dtype)

    def _predict(self, features: Tensor, group: Tensor | None) -> Tensor:
        """Predict the bands of each image's group; those it lacks come out as 0."""
        if not self.heads:
            return self.decoder.pred(features)
        widest = self.present.shape[1]

        def predict(head: nn.Module, rows: Tensor) -> Tensor:
            return widen(head(rows), widest, self.patch)

        heads = [self.decoder.pred, *self.heads.values()]
        return by_group([partial(predict, head) for head in heads], features, group)

    def _group(self, view: View) -> Tensor:
        """Return the group of bands of each image, (B,)."""
        if view.group is not None:
            return view.group
        return torch.zeros(len(view.image), dtype=torch.int64, device=view.image.device)

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
            valid = valid & self.present[self._group(view)][:, :, None, None]
        return patchify(valid, self.patch).to(view.image.dtype)

    def reconstruction_loss(self, made: Reconstruction, view: View, masks: Masks) -> Tensor:
        """Compare a reconstruction with its view over hidden, valid pixels.

        Args:
            made: The reconstruction.
            view: The view.
            masks: Its mask.
        """
        target, valid = self.targets(view)
        bands = self.present[self._group(view)]
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

    def picture(self, made: Reconstruction, view: View, masks: Masks) -> Tensor:
        """Paste the predicted patches into a view, for people to look at.

        Args:
            made: The reconstruction.
            view: The view.
            masks: Its mask.

        Returns:
            Normalised pixels, shape (B, C, H, W).
        """
        patches = patchify(view.image, self.patch)
        predicted = made.prediction.float()
        if self.norm_pix:
            mean, deviation = patch_statistics(patches, self._valid(view))
            predicted = predicted * deviation + mean
        pasted = torch.where(masks.masked[..., None], predicted, patches)
        return unpatchify(pasted, self.patch, *view.image.shape[-2:])


def _scales(side: int) -> int:
    """Return how many scales of MS-SSIM an image holds, at least one."""
    fitting = [n for n in range(1, len(MS_SSIM_WEIGHTS) + 1) if side >> (n - 1) >= WINDOW]
    return max(fitting, default=1)
