"""Terms that a Swin transformer is trained by after each of its stages."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from torch import Tensor, nn

from ..errors import ConfigError
from ..models.local_decoder import LocalDecoder
from ..models.masking import refine_masks
from ..models.position import Position, encode_positions
from ..models.swin import Swin
from ..models.vit import patch_size
from ..types import Masks, View
from .cells import CellTargets
from .tap_terms import TapTerms


class StageTerms(TapTerms):
    """Local multi-scale reconstruction of a Swin (LocalMIM, Wang et al., CVPR 2023).

    What each stage says after its tokens are merged for the next goes through a LayerNorm and a
    tiny decoder, which predicts a cell for each token: of 8, 16, 32 and 32 px with timm's models.
    The last tap reads through the encoder's own LayerNorm, what the encoder says in the end.
    """

    def __init__(
        self,
        encoder: Swin,
        bands: Mapping[str, int],
        *,
        target: Literal['hog', 'pixels'] = 'pixels',
        bins: int = 18,
        hog_bias: bool = False,
        norm_pix: bool = False,
        dim: int = 128,
        depth: int = 1,
        heads: int = 4,
        init: str = 'xavier',
        isolate: bool = False,
        wanted: Sequence[bool] | None = None,
        normalized: bool = True,
    ) -> None:
        """Build the decoders.

        Args:
            encoder: The encoder.
            bands: Number of bands of each group of bands, the encoder's own first.
            target: What is predicted of a cell: 'pixels', or 'hog', its histograms of oriented
                gradients.
            bins: Directions of a histogram.
            hog_bias: Add a fixed bias of each tap to the gradients, as released models do that
                were trained so; it is 0 until they are loaded.
            norm_pix: Normalise the pixels of each cell by their own mean and deviation, as the
                paper's recipe does.
            dim: Channels of each decoder; the first has half as many.
            depth: Blocks of each decoder.
            heads: Attention heads of each decoder.
            init: Weights the decoders start from, 'xavier'.
            isolate: Train each stage by its own term alone: no gradient goes from one to the stage
                before.
            wanted: Which taps have a term; all by default.
            normalized: Whether the encoder's final LayerNorm is applied.

        Raises:
            UnknownNameError: If there is no such target.
            ConfigError: If the numbers do not fit together.
        """
        super().__init__(patch_size(encoder), isolate)
        if dim % 8 or dim % (2 * heads):
            raise ConfigError(
                f'dim {dim}: a multiple of 8 and of twice heads {heads} is needed, for the first '
                'decoder has half as many channels'
            )
        # Merged tokens are those of the stage that follows.
        info = [*encoder.feature_info[1:], encoder.feature_info[-1]]
        sides, widths = ([int(stage[key]) for stage in info] for key in ('reduction', 'num_chs'))
        self.targets = CellTargets(
            bands, sides, target, bins=bins, hog_bias=hog_bias, norm_pix=norm_pix
        )
        self.taps = [k for k in range(len(info)) if wanted is None or wanted[k]]
        self.names = [f'stage {k}' for k in self.taps]
        norm, eps = type(encoder.norm), encoder.norm.eps
        self.norms = nn.ModuleList(norm(width, eps=eps) for width in widths[:-1])
        self.norms.append(nn.Identity() if normalized else norm(widths[-1], eps=eps))
        kind: dict[str, Any] = {'depth': depth, 'heads': heads, 'init': init}
        self.decoders = nn.ModuleList(
            LocalDecoder(width, self.targets.sizes(bands, k), 1, dim=dim if k else dim // 2, **kind)
            for k, width in enumerate(widths)
        )
        self.freeze_others()

    def check_last(self, encoder: nn.Module) -> None:
        """Make sure that the last stage is trained; see :meth:`TapTerms.check_last`."""
        if self.taps[-1] != len(self.decoders) - 1:
            raise ConfigError(
                f'the deepest term with a weight is local_{self.taps[-1]}, and nothing would train '
                f'what follows; let the weight of local_{len(self.decoders) - 1} not be 0'
            )

    def predict(
        self, said: Sequence[Tensor], view: View, masks: Masks, position: Position
    ) -> list[Tensor]:
        """Predict the cells of each tap; see :meth:`TapTerms.predict`."""
        rows, cols = self.grid(view)
        found = []
        for k, tokens in zip(self.taps, said, strict=True):
            decoder: Any = self.decoders[k]
            side = self.targets.sides[k]
            finer = self.patch // side
            places = encode_positions(view, side, decoder.dim, position)
            own = refine_masks(masks, cols, finer) if finer > 1 else masks
            features = decoder(self.norms[k](tokens), own, places)
            layout = self.targets.layout(k)
            found.append(decoder.predict(features, rows * finer, view.group, *layout))
        return found
