"""What an encoder says after several of its blocks, as maps, for decoders of segmentation."""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from ..errors import ConfigError
from .checkpoint import Encoder
from .layouts import view_tokens
from .swin import Swin
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
        ConfigError: If the bands do not fit, or the encoder has no maps of one size.
        InputSizeError: If H or W is no multiple of the patch.
    """
    model = encoder.model
    rows = image.shape[-2] // patch_size(model)
    if isinstance(model, Swin):
        if list(blocks) != [len(model.blocks) - 1]:
            raise ConfigError(
                f'blocks {", ".join(map(str, blocks))} of a Swin transformer have maps of several '
                f'sizes; ask for the last, {len(model.blocks) - 1}, alone (of decoders of '
                "segmentation, 'linear' does)"
            )
        return [Layer(encoder.encode(image, gsd, None, valid)[0].mT.unflatten(2, (rows, -1)), None)]
    view = encoder.see(image, gsd, None, valid)
    tokens = view_tokens(model, view, encoder.position, encoder.embeds, encoder.layout)
    patches, found = tokens.shape[1], []
    for x in encode_taps(model, tokens, blocks, normalize=False)[1]:
        said = model.norm(x) if encoder.normalize_encoder else x
        own, _ = encoder.fold(said[:, said.shape[1] - patches :], view.valid)
        maps = own.mT.unflatten(2, (rows, -1))
        found.append(Layer(maps, said[:, :1] if model.cls_token is not None else None))
    return found
