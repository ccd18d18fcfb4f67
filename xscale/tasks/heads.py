"""What stands on an encoder downstream: a classifier, or a decoder of segmentation."""

from collections.abc import Mapping
from typing import Any

import torch
from segmentation_models_pytorch.base.initialization import initialize_decoder, initialize_head
from segmentation_models_pytorch.decoders.dpt.decoder import DPTDecoder, DPTSegmentationHead
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import ConfigError, UnknownNameError
from ..models.checkpoint import Encoder
from ..models.layers import encode_layers
from ..models.swin import Swin
from ..models.vit import patch_size

#: Blocks whose features DPT takes; fewer where the encoder has fewer.
LEVELS = 4

#: Decoders of segmentation.
DECODERS = ('dpt', 'linear')


class Classifier(nn.Module):
    """A linear layer on the pooled features of an image."""

    def __init__(self, width: int, classes: int, probe: bool, size: int | None = None) -> None:
        """Build it.

        Args:
            width: Length of a feature, D.
            classes: Number of classes, K.
            probe: Whether BatchNorm without parameters comes first, as in the linear probes of MAE
                and Cross-Scale MAE; else LayerNorm, as in their fine-tuning.
            size: Side in pixels that images are resampled to; None leaves them.
        """
        super().__init__()
        self.size = size
        self.norm: nn.Module = nn.LayerNorm(width, eps=1e-6)
        if probe:
            self.norm = nn.BatchNorm1d(width, affine=False, eps=1e-6)
        self.linear = nn.Linear(width, classes)
        nn.init.trunc_normal_(self.linear.weight, std=0.01 if probe else 2e-5)
        nn.init.zeros_(self.linear.bias)

    def forward(self, encoder: Encoder, image: Tensor, gsd: Tensor, valid: Tensor) -> Tensor:
        """Classify images.

        Args:
            encoder: The encoder.
            image: Bands in the sensor's units, shape (B, C, H, W).
            gsd: Metres per pixel, shape (B,).
            valid: True where a pixel holds data, shape (B, 1, H, W).

        Returns:
            Logits, shape (B, K).
        """
        if self.size is not None:
            image, gsd, valid = resample(image, gsd, valid, self.size)
        return self.linear(self.norm(encoder(image, gsd, valid=valid).pooled)).float()


def resample(image: Tensor, gsd: Tensor, valid: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Bring images to another size, and their metres per pixel with them.

    Args:
        image: Shape (B, C, H, W).
        gsd: Metres per pixel, shape (B,).
        valid: True where a pixel holds data, shape (B, 1, H, W).
        size: New height and width in pixels.

    Returns:
        The three; a pixel holds data where all that it was made of does.
    """
    height, width = image.shape[-2:]
    if (height, width) == (size, size):
        return image, gsd, valid
    both = torch.cat([image, valid.to(image.dtype)], dim=1)
    both = F.interpolate(both, (size, size), mode='bilinear', antialias=True)
    return both[:, :-1], gsd * ((height * width) ** 0.5 / size), both[:, -1:] > 0.999


class LinearDecoder(nn.Module):
    """One linear layer on each token, its answers interpolated to pixels."""

    def __init__(self, width: int, classes: int) -> None:
        """Build it.

        Args:
            width: Length of a token, D.
            classes: Number of classes, K.
        """
        super().__init__()
        # Tokens of frozen encoders have channels of very different sizes.
        self.norm = nn.BatchNorm2d(width, affine=False)
        self.linear = nn.Conv2d(width, classes, 1)
        nn.init.trunc_normal_(self.linear.weight, std=0.01)
        nn.init.zeros_(self.linear.get_parameter('bias'))

    def forward(self, encoder: Encoder, image: Tensor, gsd: Tensor, valid: Tensor) -> Tensor:
        """Segment images.

        Args:
            encoder: The encoder.
            image: Bands in the sensor's units, shape (B, C, H, W).
            gsd: Metres per pixel, shape (B,).
            valid: True where a pixel holds data, shape (B, 1, H, W).

        Returns:
            Logits, shape (B, K, H, W).
        """
        (last,) = encode_layers(encoder, image, gsd, [len(encoder.model.blocks) - 1], valid)
        return _to_pixels(self.linear(self.norm(last.maps)), image)


class DensePrediction(nn.Module):
    """DPT's decoder (Ranftl et al. 2021), segmentation-models-pytorch's, on four of our blocks."""

    def __init__(self, encoder: Encoder, classes: int, channels: int = 256) -> None:
        """Build it.

        Args:
            encoder: The encoder it is to stand on.
            classes: Number of classes, K.
            channels: Width of the fused maps; DPT's is 256.
        """
        super().__init__()
        if isinstance(encoder.model, Swin):
            raise ConfigError(
                "decoder 'dpt' reads several blocks of one grid of tokens, which a Swin does not "
                "have; choose decoder 'linear', or a plain vision transformer"
            )
        depth, width = len(encoder.model.blocks), encoder.model.num_features
        levels = min(LEVELS, depth)
        self.blocks = [depth * (level + 1) // levels - 1 for level in range(levels)]
        has_class = encoder.model.cls_token is not None
        patch = patch_size(encoder.model)
        # Maps are made finer and coarser by powers of two; other patches are taken for 16 px, and
        # the answer is brought to the image's size.
        self.stride = patch if patch >= 4 and patch & (patch - 1) == 0 else 16
        self.decoder = DPTDecoder(
            encoder_out_channels=[width] * levels,
            encoder_output_strides=[self.stride] * levels,
            encoder_has_prefix_tokens=has_class,
            readout='cat' if has_class else 'ignore',
            intermediate_channels=[channels * step for step in (1, 2, 4, 4)][:levels],
            fusion_channels=channels,
        )
        self.segmentation = DPTSegmentationHead(channels, classes)
        initialize_decoder(self.decoder)
        initialize_head(self.segmentation)

    def forward(self, encoder: Encoder, image: Tensor, gsd: Tensor, valid: Tensor) -> Tensor:
        """Segment images; see :meth:`LinearDecoder.forward`."""
        layers = encode_layers(encoder, image, gsd, self.blocks, valid)
        rows, cols = layers[0].maps.shape[-2:]
        # The coarsest map halves the grid of tokens and is doubled again, so odd grids are padded.
        multiple = max(1, 2 ** (len(layers) + 1) // self.stride)
        margin = (0, -cols % multiple, 0, -rows % multiple)
        maps = [F.pad(layer.maps, margin, mode='replicate') for layer in layers]
        logits = self.segmentation(self.decoder(maps, [layer.first for layer in layers]))
        scale = logits.shape[-2] // maps[0].shape[-2]
        return _to_pixels(logits[..., : rows * scale, : cols * scale], image)


def _to_pixels(logits: Tensor, image: Tensor) -> Tensor:
    """Bring logits to an image's size; in float32, for the loss."""
    height, width = image.shape[-2:]
    if logits.shape[-2:] == (height, width):
        return logits.float()
    return F.interpolate(logits.float(), (height, width), mode='bilinear', align_corners=False)


def create_head(task: str, encoder: Encoder, classes: int, hparams: Mapping[str, Any]) -> nn.Module:
    """Build what stands on an encoder.

    Args:
        task: 'classification' or 'segmentation'.
        encoder: The encoder.
        classes: Number of classes.
        hparams: Of the task: for classification ``train`` and ``resize``, for segmentation
            ``decoder`` and ``decoder_channels``.

    Raises:
        UnknownNameError: If there is no such decoder.
        ConfigError: If it cannot stand on the encoder.
    """
    width = encoder.model.num_features
    if task == 'classification':
        return Classifier(width, classes, hparams['train'] == 'linear', hparams['resize'])
    if hparams['decoder'] not in DECODERS:
        raise UnknownNameError('decoder', hparams['decoder'], DECODERS)
    if hparams['decoder'] == 'linear':
        return LinearDecoder(width, classes)
    return DensePrediction(encoder, classes, hparams['decoder_channels'])
