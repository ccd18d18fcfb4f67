"""What an encoder says after several of its blocks, as maps, for decoders of segmentation."""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from .checkpoint import Encoder
from .taps import encode_taps
from .vit import patch_size


class Layer(NamedTuple):
    """What one block says of a batch.

    Attributes:
        maps: A vector for each patch, where it lies in the image, shape (B, D, h, w).
        first: The class token, shape (B, 1, D); None where the encoder has none.
    """

    maps: Tensor
    first: Tensor | None


def encode_layers(
    encoder: Encoder,
    image: Tensor,
    gsd: Tensor | float,
    blocks: Sequence[int],
    valid: Tensor | None = None,
) -> list[Layer]:
    """Encode images of one sensor and keep what some of the blocks say.

    Each goes through the encoder's final LayerNorm, where the encoder uses it, so that a decoder
    gets values of one size from all; after the last block they are :func:`xscale.load`'s tokens.

    Args:
        encoder: The encoder.
        image: Bands in the sensor's own units, shape (B, C, H, W).
        gsd: Metres per pixel, shape (B,).
        blocks: Numbers of the blocks, from 0, in rising order.
        valid: True where a pixel holds data, shape (B, 1, H, W); all finite ones by default.

    Raises:
        ConfigError: If the bands do not fit.
        InputSizeError: If H or W is no multiple of the patch.
    """
    tokens, held = encoder.embed(image, gsd, None, valid)
    model, patches = encoder.model, tokens.shape[1]
    rows = image.shape[-2] // patch_size(model)
    found = []
    for x in encode_taps(model, tokens, blocks, normalize=False)[1]:
        said = model.norm(x) if encoder.normalize_encoder else x
        own, _ = encoder.fold(said[:, said.shape[1] - patches :], held)
        maps = own.mT.unflatten(2, (rows, -1))
        found.append(Layer(maps, said[:, :1] if model.cls_token is not None else None))
    return found
