"""SatMAE on images of several dates (Cong et al., NeurIPS 2022, arXiv:2207.08051)."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from ..models.frames import Frames
from ..types import Masks, View
from .mae import Reconstruction
from .satmae import SatMAE
from .terms import patch_loss


class SatMAETemporal(SatMAE):
    """Reconstruct images of a place at several dates, which see one another.

    Attributes:
        frames: Images of a place that it takes.
    """

    defaults: ClassVar[Mapping[str, Any]] = MappingProxyType({'frames': 3})

    def __init__(
        self,
        encoder: VisionTransformer,
        *,
        frames: int = 3,
        time_dim: int | None = None,
        decoder_time_dim: int | None = None,
        same_mask: bool = False,
        norm_pix: bool = True,
        **options: Any,
    ) -> None:
        """Add a decoder to an encoder.

        Args:
            encoder: As :func:`~xscale.models.build.build_encoder` builds it.
            frames: Images of a place.
            time_dim: Channels of a token of the encoder that hold each of year, month and hour; by
                default 128, and a sixth of encoders of less than 768 channels.
            decoder_time_dim: Likewise of the decoder; by default an eighth, 64 at most.
            same_mask: Hide a patch at all dates or at none; independently by default.
            norm_pix: Normalise each target patch by its own mean and deviation.
            **options: What :class:`~xscale.objectives.MAE` takes.

        Raises:
            UnknownNameError: If the loss is not one of single values, or positions are not
                computed.
        """
        layout = Frames(frames, time_dim, decoder_time_dim)
        super().__init__(encoder, layout, same_mask, norm_pix=norm_pix, **options)
        self.frames = frames

    def repeats(self, view: View) -> int:
        """Return the number of images of a place; see :meth:`SatMAE.repeats`."""
        return view.frames

    def reconstruction_loss(self, made: Reconstruction, view: View, masks: Masks) -> Tensor:
        """Compare a reconstruction with its view over hidden tokens.

        Args:
            made: The reconstruction.
            view: The view.
            masks: Its mask.
        """
        places = len(masks.masked)
        target, valid = (part.reshape(places, -1, part.shape[-1]) for part in self.targets(view))
        return patch_loss(made.prediction, target, masks.masked, valid, self.loss)
