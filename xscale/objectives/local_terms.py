"""Terms that an encoder is trained by after several of its blocks, each at a scale of its own."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from ..errors import ConfigError
from ..models.local_decoder import LocalDecoder
from ..models.position import Position, encode_positions
from ..models.taps import number_blocks
from ..models.vit import patch_size
from ..types import Masks, View
from .cells import CellTargets
from .tap_terms import TapTerms

#: Blocks whose output is read, and the side of a patch over that of the cells each predicts.
TAPS, SCALES = (1, 3, -3, -1), (4.0, 2.0, 1.0, 0.5)


def local_names(local: Mapping[str, Any] | None) -> list[str]:
    """Name the terms of :class:`LocalTerms`: ``local_0``, ``local_1``, …, the shallowest first.

    Args:
        local: Its arguments; None for no terms.

    Raises:
        ConfigError: If they are something else, or name no taps.
    """
    if local is not None and not isinstance(local, Mapping):
        raise ConfigError(f'local {local!r}: options by name are needed; {{}} takes the defaults')
    taps = () if local is None else local.get('taps', TAPS)
    if local is not None and not taps:
        raise ConfigError('no taps are named; name blocks, or leave taps out for 1, 3, -3, -1')
    return [f'local_{k}' for k in range(len(taps))]


class LocalTerms(TapTerms):
    """Local multi-scale reconstruction (LocalMIM, Wang et al., CVPR 2023, arXiv:2303.05251).

    What the encoder says after some of its blocks, the taps, goes through a LayerNorm and a tiny
    decoder each, which predicts hidden cells: shallow taps small ones, deep taps large ones. A tap
    after the last block reads what the encoder says in the end: through the encoder's own LayerNorm
    where that is applied, and has none beside it.

    Cells that are touched by missing data count in no term.
    """

    def __init__(
        self,
        encoder: VisionTransformer,
        bands: Mapping[str, int],
        *,
        target: Literal['hog', 'pixels'] = 'hog',
        bins: int = 9,
        hog_bias: bool = False,
        norm_pix: bool = False,
        taps: Sequence[int] = TAPS,
        scales: Sequence[float] = SCALES,
        dim: int = 256,
        depth: int = 1,
        heads: int = 8,
        block: str = 'pre_norm',
        init: str = 'xavier',
        isolate: bool = False,
        wanted: Sequence[bool] | None = None,
        normalized: bool = True,
    ) -> None:
        """Build the decoders.

        Args:
            encoder: The encoder.
            bands: Number of bands of each group of bands, the encoder's own first.
            target: What is predicted of a cell: 'hog', its histograms of oriented gradients, or
                'pixels'.
            bins: Directions of a histogram.
            hog_bias: Add a fixed bias of each tap to the gradients, as released models do that
                were trained so; it is 0 until they are loaded.
            norm_pix: Normalise the pixels of each cell by their own mean and deviation, as the
                paper's recipe for pixels does.
            taps: Numbers of blocks, from 0, or from the end where negative; in rising order.
            scales: For each tap, the side of a patch over that of the cells it predicts: 1, 2, 4,
                … or 1/2, 1/3, ….
            dim: Channels of each decoder.
            depth: Blocks of each decoder.
            heads: Attention heads of each decoder.
            block: Kind of the decoders' blocks, 'pre_norm' or 'post_norm'.
            init: Weights the decoders start from, 'xavier' or 'local'.
            isolate: Train each part of the encoder by the term of the tap above it alone: no
                gradient goes from one tap to what lies below the tap before.
            wanted: Which taps have a term; all by default.
            normalized: Whether the encoder's final LayerNorm is applied.

        Raises:
            UnknownNameError: If there is no such target.
            ConfigError: If the numbers do not fit together.
        """
        super().__init__(patch_size(encoder), isolate)
        if dim % 4 or dim % heads:
            raise ConfigError(f'dim {dim}: a multiple of 4 and of heads {heads} is needed')
        scales = [float(scale) for scale in scales]
        sides = self._sides(taps, scales)
        self.targets = CellTargets(
            bands, sides, target, bins=bins, hog_bias=hog_bias, norm_pix=norm_pix
        )
        last, blocks = len(encoder.blocks) - 1, number_blocks(encoder, taps)
        self.taps = [k for k in range(len(taps)) if wanted is None or wanted[k]]
        self.blocks = [blocks[k] for k in self.taps]
        self.names = [f'block {block}' for block in self.blocks]
        # Of encoders that are made to normalise behind the pooling the final one is none.
        normalized = normalized and not isinstance(encoder.norm, nn.Identity)
        like: Any = encoder.norm if normalized else encoder.blocks[-1].norm1
        norm, eps, width = type(like), like.eps, encoder.embed_dim
        self.norms = nn.ModuleList(
            nn.Identity() if normalized and block == last else norm(width, eps=eps)
            for block in blocks
        )
        self.decoders = nn.ModuleList()
        kind: Any = {'dim': dim, 'depth': depth, 'heads': heads, 'block': block, 'init': init}
        for k, scale in enumerate(scales):
            decoder = LocalDecoder(width, self.targets.sizes(bands, k), scale, **kind)
            self.decoders.append(decoder)
        self.freeze_others()

    def check_last(self, encoder: VisionTransformer) -> None:
        """Make sure that these terms alone train the encoder up to its last block.

        Args:
            encoder: The encoder.

        Raises:
            ConfigError: If they do not.
        """
        last = len(encoder.blocks) - 1
        if self.blocks[-1] != last:
            raise ConfigError(
                f'the deepest tap with a weight is block {self.blocks[-1]}, and the encoder goes '
                f'on to block {last}, which nothing would train; let the last of taps be -1 and '
                'its weight not 0'
            )

    def _sides(self, taps: Sequence[int], scales: Sequence[float]) -> list[int]:
        """Return the side of each tap's cells in pixels."""
        if len(taps) != len(scales):
            raise ConfigError(
                f'{len(taps)} taps and {len(scales)} scales; one scale each is needed'
            )
        cells = [round(self.patch / scale) if scale > 0 else 0 for scale in scales]
        for cell, scale in zip(cells, scales, strict=True):
            if cell < 1 or abs(cell * scale - self.patch) > 1e-6:
                raise ConfigError(f'scale {scale:g} does not divide a patch of {self.patch} px')
        return cells

    def predict(
        self, said: Sequence[Tensor], view: View, masks: Masks, position: Position
    ) -> list[Tensor]:
        """Predict the cells of each tap; see :meth:`TapTerms.predict`."""
        rows, _ = self.grid(view)
        found = []
        for k, tokens in zip(self.taps, said, strict=True):
            decoder: Any = self.decoders[k]
            places = encode_positions(view, self.patch, decoder.dim, position)
            features = decoder(self.norms[k](tokens), masks, places)
            features = features[:, features.shape[1] - masks.restore.shape[1] :]
            found.append(decoder.predict(features, rows, view.group, *self.targets.layout(k)))
        return found
