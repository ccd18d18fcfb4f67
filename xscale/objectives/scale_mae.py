"""Scale-MAE (Reed et al., ICCV 2023, arXiv:2212.14532)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import ConfigError, UnknownNameError
from ..models.decoders import MAEDecoder
from ..models.frequency import HIGH, LOW, FrequencyHead, Upsampling
from ..models.masking import random_masks
from ..models.position import Position, encode_positions
from ..models.vit import patch_size
from ..types import Masks, View
from .laplacian import (
    LOSSES,
    Size,
    area_resize,
    combine,
    frequency_loss,
    hidden_pixels,
    high_target,
    low_target,
)
from .masked import Picture
from .pair_objective import PairObjective


@dataclass(frozen=True, slots=True)
class Frequencies:
    """What was made of one view.

    Attributes:
        latent: Encoder output: prefix tokens and visible patches, shape (B, P + K, D).
        features: Decoder output of all patches, shape (B, N, d).
        low: Low frequencies at the pixels of the encoder's input, shape (B, C, H / 2, W / 2).
        high: High frequencies at the pixels of the view, shape (B, C, H, W).
        between: What the encoder says after each block that a local term reads, like ``latent``.
    """

    latent: Tensor
    features: Tensor
    low: Tensor
    high: Tensor
    between: Sequence[Tensor] = ()


class ScaleMAE(PairObjective):
    """Predict the low and the high frequencies of an image finer than what the encoder saw.

    Terms: ``low_frequency`` and ``high_frequency``, over the ground of hidden patches. The view is
    the target; the encoder sees its means over 2 × 2 pixels, at twice its ground sample distance,
    or a second view of the same ground where one is given, as of a coarser sensor. Where ``local``
    is given, those of :class:`~xscale.objectives.local_terms.LocalTerms` on what it sees, too.
    Where ``pair`` is given, the second view is a coarse one of the whole tile and not what is to be
    predicted from; those of :class:`~xscale.objectives.pair_terms.PairTerms` make what the encoder
    sees of both agree.

    What the released code does by default is had with ``high_loss='mse', sum_bands=True``. Its
    decoder's positions count the metres of the input too, for those are where its tokens lie.

    Attributes:
        patch: Side of a patch in pixels of the view, twice that of the encoder's.
    """

    views = 2
    zoom: ClassVar[int] = 2
    terms: ClassVar[tuple[str, ...]] = ('low_frequency', 'high_frequency')

    def __init__(
        self,
        encoder: VisionTransformer,
        *,
        low_loss: Literal['mse', 'l1'] = 'mse',
        high_loss: Literal['mse', 'l1'] = 'l1',
        cell: int = 64,
        low_through: int | None = None,
        sum_bands: bool = False,
        position: Position = 'gsd',
        decoder_dim: int = 512,
        decoder_depth: int = 3,
        decoder_heads: int = 16,
        head_dim: int | None = None,
        head_layers: int = 2,
        block: str = 'pre_norm',
        init: str = 'xavier',
        local: Mapping[str, Any] | None = None,
        pair: Mapping[str, Any] | None = None,
        weights: Mapping[str, float] | None = None,
        **masked: Any,
    ) -> None:
        """Add a decoder and the two heads to an encoder.

        Args:
            encoder: As :func:`~xscale.models.vit.create_encoder` builds it, of 16 px patches.
            low_loss: Loss of the low frequencies, 'mse' or 'l1'.
            high_loss: Loss of the high frequencies; 'l1' is the paper's, 'mse' the released
                default.
            cell: Side in pixels of the view of the cells whose means are all that the high
                frequencies leave out: 64 is the released 7 × 7 cells of 448 px, 32 its 14 × 14.
            low_through: Side in pixels that the view is averaged to before its low frequencies
                are taken; 224, whatever the view's, where the released ``band_config`` ends so.
            sum_bands: Sum the errors of the bands, as released, and do not average them.
            position: 'gsd' counts metres; 'index' counts patches, as MAE does.
            decoder_dim: Channels of the decoder.
            decoder_depth: Blocks of the decoder.
            decoder_heads: Attention heads of the decoder.
            head_dim: Channels of the heads; the decoder's by default.
            head_layers: Residual blocks of each head.
            block: Kind of the decoder's blocks, 'pre_norm' or 'post_norm'.
            init: Weights the decoder starts from, as :class:`~xscale.objectives.mae.MAE`'s.
            local: Arguments of :class:`~xscale.objectives.local_terms.LocalTerms`, whose terms
                are added; None adds none.
            pair: Attributes of :class:`~xscale.objectives.pair_terms.PairTerms`, whose terms are
                added; None adds none.
            weights: Weight of each term; 0 skips its work.
            **masked: What :class:`~xscale.objectives.masked.MaskedObjective` takes.

        Raises:
            UnknownNameError: If a choice does not exist.
            ConfigError: If the numbers do not fit together.
        """
        super().__init__(
            encoder,
            local=local,
            pair=pair,
            position=position,
            init=init,
            weights=weights,
            **masked,
        )
        for name in (low_loss, high_loss):
            if name not in LOSSES:
                raise UnknownNameError('loss of frequencies', name, LOSSES)
        width = decoder_dim if head_dim is None else head_dim
        self._check(width, cell)
        self.losses = {'low_frequency': low_loss, 'high_frequency': high_loss}
        self.cell, self.low_through, self.sum_bands = cell, low_through, sum_bands
        self.patch = HIGH
        self.decoder = MAEDecoder(
            encoder.embed_dim,
            0,
            dim=decoder_dim,
            depth=decoder_depth,
            heads=decoder_heads,
            block=block,
            init=init,
        )
        self.upsampling = Upsampling(decoder_dim)
        self.low, self.high = (
            FrequencyHead(decoder_dim, self.bands, width=width, layers=head_layers)
            for _ in self.terms
        )
        self.add_local(local, block=block, init=init)
        self.add_pair(pair, decoder_dim)
        # What no term reads is not trained; DistributedDataParallel wants to know.
        self.decoder.requires_grad_(any(map(self.wants, (*self.terms, 'cross_prediction'))))
        for term, parts in self._parts().items():
            for part in parts:
                part.requires_grad_(self.wants(term))

    def _parts(self) -> dict[str, tuple[nn.Module, nn.Module]]:
        """Return the upsampling and the head that only one of the terms reads."""
        up = self.upsampling
        return {'low_frequency': (up.two, self.low), 'high_frequency': (up.four, self.high)}

    @property
    def rebuilds(self) -> bool:
        """Whether a term trains it to predict low frequencies; see :class:`MaskedObjective`."""
        return self.wants('low_frequency')

    def _check(self, width: int, cell: int) -> None:
        """Make sure that the numbers fit together."""
        if patch_size(self.encoder) != LOW:
            raise ConfigError(
                f'an encoder of {patch_size(self.encoder)} px patches came; Scale-MAE makes '
                f'{HIGH} px of each patch, and needs {LOW} px ones'
            )
        if width < 4 or width % 4:
            raise ConfigError(f'head_dim {width}: a multiple of 4 is needed')
        if cell < 1:
            raise ConfigError(f'cell {cell}: a side of 1 px or more is needed')

    def forward(
        self,
        views: Sequence[View],
        masks: Sequence[Masks] | None = None,
        *,
        footprint: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """Compute the terms; see :class:`~xscale.objectives.base.Objective`.

        Args:
            views: The target; and what the encoder sees of the same ground, at half its pixels,
                where that is not to be made from it. With terms between views, a coarse view.
            masks: Which patches are seen, one mask; one of each view with terms between them.
            footprint: West, south, east, north of each sample in degrees, shape (B, 4).
            generator: Source of the masks.
        """
        self.check_pair(views)
        masks = masks or self.draw_masks(views, generator)
        made = self.reconstruct(views, masks)[0]
        predicted = {'low_frequency': made.low, 'high_frequency': made.high}
        targets = self.targets(views[0])
        bands = self.present[self.group_of(views[0])][:, :, None, None]
        terms = {}
        for name, kind in self.losses.items():
            if self.wants(name):
                target, valid = targets[name]
                counted = self._hidden(masks[0], views[0], target) & valid
                terms[name] = frequency_loss(
                    predicted[name], target, counted, bands, kind, sum_bands=self.sum_bands
                )
        seen = self.seen(views)
        if self.pair is not None:
            coarse = self._reconstruct(views[1], masks[1], self.group_of(views[1]), ())
            both = [(part.latent, part.features) for part in (made, coarse)]
            terms |= self.pair_terms(both, [seen, views[1]], masks, footprint)
        return terms | self.local_terms([made.between], [seen], masks[:1])

    def draw_masks(
        self, views: Sequence[View], generator: torch.Generator | None
    ) -> tuple[Masks, ...]:
        """Draw one mask, for all views show one ground; with terms between views, one of each.

        Args:
            views: The views.
            generator: Source of the noise.
        """
        masks = super().draw_masks(views[:1], generator)
        if self.pair is None or generator is None:
            return masks
        height, width = views[1].image.shape[-2:]
        shape = len(views[1].image), (height // LOW) * (width // LOW)
        device = views[1].image.device
        return *masks, random_masks(*shape, self.mask_ratio, generator, device)

    def seen(self, views: Sequence[View]) -> View:
        """Return the second view, or the first, averaged over 2 × 2 pixels.

        With terms between views it is the latter.

        Args:
            views: The views.

        Raises:
            ConfigError: If the second has not half the pixels of the first.
        """
        target = views[0]
        height, width = (side // self.zoom for side in target.image.shape[-2:])
        if len(views) > 1 and self.pair is None:
            if views[1].image.shape[-2:] != (height, width):
                raise ConfigError(
                    f'a view of {tuple(views[1].image.shape[-2:])} px came for a target of '
                    f'{tuple(target.image.shape[-2:])}; half its sides are needed'
                )
            return views[1]
        mean, share = area_resize(target.image, target.valid, (height, width))
        valid = share >= 0.5
        return replace(target, image=mean * valid, valid=valid, gsd=target.gsd * self.zoom)

    def reconstruct(self, views: Sequence[View], masks: Sequence[Masks]) -> list[Frequencies]:
        """Encode, decode and predict.

        Args:
            views: As :meth:`forward` takes them.
            masks: Likewise.

        Returns:
            What was made of the first view; frequencies that no term wants are 0.
        """
        wanted = list(filter(self.wants, self.terms))
        return [self._reconstruct(self.seen(views), masks[0], self.group_of(views[0]), wanted)]

    def _reconstruct(
        self, view: View, mask: Masks, group: Tensor, wanted: Sequence[str]
    ) -> Frequencies:
        """Do so from what the encoder sees, for the bands of a group."""
        latent, between = self.encode_between(self.embed_visible(view, mask))
        if not wanted and not self.wants('cross_prediction'):
            nothing = latent.new_zeros(())
            return Frequencies(latent, nothing, nothing, nothing, between)
        patches = latent[:, latent.shape[1] - mask.keep.shape[1] :]
        # The class token is not decoded.
        positions = encode_positions(view, LOW, self.decoder.dim, self.position)
        features = self.decoder(patches, mask, positions)
        maps = features.mT.unflatten(2, (view.image.shape[-2] // LOW, -1))
        low, high = (
            head(up(maps), group) if term in wanted else maps.new_zeros(())
            for term, (up, head) in self._parts().items()
        )
        return Frequencies(latent, features, low, high, between)

    def targets(self, view: View) -> dict[str, tuple[Tensor, Tensor]]:
        """Return what is to be predicted of a view, and where it holds data.

        Args:
            view: The view.

        Returns:
            By term: shape (B, C, h, w), and True where it holds data, shape (B, 1, h, w).
        """
        image, valid = view.image.float(), view.valid
        half = image.shape[-2] // self.zoom, image.shape[-1] // self.zoom
        return {
            'low_frequency': low_target(image, valid, half, self.low_through),
            'high_frequency': (high_target(image, valid, self._cells(view)), valid),
        }

    def _cells(self, view: View) -> Size:
        """Return how many cells a view has, down and right."""
        rows, cols = (max(1, round(side / self.cell)) for side in view.image.shape[-2:])
        return rows, cols

    def _hidden(self, masks: Masks, view: View, image: Tensor) -> Tensor:
        """Tell which pixels of an image of a view's ground are hidden, (B, 1, H, W)."""
        return hidden_pixels(masks.masked, view.image.shape[-2] // self.patch, image)

    def pictures(self, views: Sequence[View], masks: Sequence[Masks]) -> list[list[Picture]]:
        """Make an image of both frequencies, and one of each; seen patches are the view's own.

        Args:
            views: As :meth:`forward` takes them.
            masks: Likewise.
        """
        view, mask = views[0], masks[0]
        low, valid, high = self._pasted(self.reconstruct(views, masks)[0], view, mask)
        whole = combine(low, high, self._cells(view), valid)
        whole = torch.where(self._hidden(mask, view, high), whole, view.image)
        enlarged = F.interpolate(low, high.shape[-2:], mode='nearest')
        shown = {'reconstructed': whole, 'low frequencies': enlarged, 'high frequencies': high}
        return [[Picture(name, image) for name, image in shown.items()]]

    def fill(self, view: View, masks: Masks) -> Tensor:
        """Predict what is hidden: low frequencies are all of it; see :class:`MaskedObjective`."""
        made = self._reconstruct(view, masks, self.group_of(view), self.terms[:1])
        low = made.low.float()
        hidden = hidden_pixels(masks.masked, view.image.shape[-2] // LOW, low)
        return torch.where(hidden, low, view.image)

    def _pasted(self, made: Frequencies, view: View, masks: Masks) -> tuple[Tensor, Tensor, Tensor]:
        """Return the low frequencies, where there are any, and the high, some of them predicted."""
        (low, valid), (high, _) = self.targets(view).values()
        low, high = (
            torch.where(self._hidden(masks, view, own), new.float(), own)
            for own, new in ((low, made.low), (high, made.high))
        )
        return low, valid, high
