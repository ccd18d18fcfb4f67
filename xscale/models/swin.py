"""A Swin transformer (Liu et al., ICCV 2021, arXiv:2103.14030) that sees some cells of an image.

A cell is what one token of the last stage stands for: 32×32 px with timm's models. Cells are seen
or hidden whole, so merging never mixes what is seen with what is not, and attention is among what
is seen of a window (GreenMIM, Huang et al. 2022, arXiv:2205.13515; LocalMIM, Wang et al. 2023,
arXiv:2303.05251).
"""

from collections.abc import Mapping
from itertools import chain
from typing import Any, cast

import timm
import torch
from timm.models.swin_transformer import SwinTransformer, SwinTransformerBlock
from timm.models.swin_transformer import WindowAttention as TimmWindowAttention
from torch import Tensor, nn

from ..errors import ConfigError
from .attention import set_backend
from .groups import init_patch_embed
from .tokens import patchify
from .vit import embed, init_weights, patch_size
from .windows import WindowAttention, Windows, places_in, windows_of

#: Options of a plain vision transformer, and what there is instead.
OF_PLAIN = {
    'block': 'its blocks are all pre-norm; leave block out',
    'patch': 'its cells are 32 px; choose another model for another size of patches',
    'groups': 'it takes all bands of an image together; choose SatMAEGroup with a ViT',
    'frames': 'it takes one image of a place; choose SatMAETemporal with a ViT',
    'taps': 'it is read after each of its stages; leave taps out, or weigh terms 0',
    'scales': 'its stages say the size of cells; leave scales out',
}


class Swin(SwinTransformer):
    """timm's Swin transformer, weight for weight, asked as a plain vision transformer is."""

    cls_token = None
    reg_token = None

    @property
    def blocks(self) -> list[SwinTransformerBlock]:
        """Blocks of all stages, in the order they run."""
        return list(chain.from_iterable(stage.blocks for stage in self.layers))


def is_swin(name: str) -> bool:
    """Tell whether timm's model of a name is a Swin transformer.

    Args:
        name: Such as ``swin_tiny_patch4_window7_224``.
    """
    name = name.split('.')[0]
    return timm.is_model(name) and (
        timm.models.model_entrypoint(name).__module__ == SwinTransformer.__module__
    )


def create_swin(
    name: str,
    in_channels: int = 3,
    *,
    options: Mapping[str, Any] | None = None,
    init: str = 'xavier',
    attention: str = 'auto',
    drop_path: float = 0.0,
) -> Swin:
    """Build a Swin transformer at its default image and window size.

    It is timm's model, weight for weight. The functions here run it on images of any size that
    divides into cells.

    Args:
        name: A timm model, such as ``swin_tiny_patch4_window7_224``.
        in_channels: Number of input bands.
        options: What else is asked for of an encoder; ``norm_eps``, the epsilon of its LayerNorms
            where it is another than timm's, is taken.
        init: Weights to start from; only 'xavier'.
        attention: Attention backend.
        drop_path: Stochastic depth rate.

    Returns:
        The encoder, without a classification head.

    Raises:
        ConfigError: If something is asked for that only plain vision transformers have.
    """
    options = options or {}
    for option, remedy in OF_PLAIN.items():
        if options.get(option) not in (None, 'pre_norm'):
            raise ConfigError(f'{name} is a Swin transformer: {remedy}')
    if (position := options.get('position', 'index')) != 'index':
        raise ConfigError(
            f'{name} knows where tokens lie in a window and no other position; leave position '
            f'{position!r} out'
        )
    if init != 'xavier':
        raise ConfigError(f"{name} attends to what is near by itself; choose init 'xavier'")
    encoder = as_swin(
        timm.create_model(name, in_chans=in_channels, num_classes=0, drop_path_rate=drop_path),
        options.get('norm_eps'),
    )
    encoder.apply(init_weights)
    init_patch_embed(encoder.patch_embed)
    set_backend(encoder, attention)
    return encoder


def as_swin(model: nn.Module, norm_eps: float | None = None) -> Swin:
    """Make timm's model one of ours, with the same tensors.

    Args:
        model: A ``SwinTransformer``.
        norm_eps: Epsilon of its LayerNorms, where it is to be another.
    """
    # Not asked for by arguments, of which timm has none for the attention.
    model.__class__ = Swin
    for part in model.modules():
        if type(part) is TimmWindowAttention:
            part.__class__ = WindowAttention
        elif isinstance(part, nn.LayerNorm) and norm_eps is not None:
            part.eps = float(norm_eps)
    return cast(Swin, model)


def embed_cells(
    encoder: Swin,
    cells: Tensor,
    embeds: nn.ModuleDict | None = None,
    group: Tensor | None = None,
) -> Tensor:
    """Embed the patches of cells.

    Args:
        encoder: The encoder.
        cells: Rows of pixels in (row, column, channel) order, shape (B, K, cell² · C).
        embeds: Patch embeddings of groups of bands beyond the encoder's own.
        group: Which group each image is of, shape (B,); None for the encoder's own.

    Returns:
        Tokens of cells, row by row in each, shape (B, K · side², D).
    """
    side = sides(encoder)[0]
    patch = encoder.patch_embed.patch_size[0]
    pixels = cells.unflatten(2, (side, patch, side, patch, -1)).transpose(3, 4)
    return embed(encoder, pixels.flatten(4).flatten(1, 3), embeds, group)


def sides(encoder: Swin) -> list[int]:
    """Return how many tokens a cell has along a side in each stage.

    Args:
        encoder: The encoder.
    """
    steps = [int(stage['reduction']) for stage in encoder.feature_info]
    return [steps[-1] // step for step in steps]


def encode_stages(
    encoder: Swin,
    tokens: Tensor,
    keep: Tensor,
    size: tuple[int, int],
    *,
    isolate: bool = False,
    released_places: bool = False,
) -> list[Tensor]:
    """Run the stages over the visible cells.

    Attention is among the visible tokens of a window. Windows lie as in the whole image, those of
    every second block half a window further where the image is larger than one; nothing wraps
    around and nothing is filled up, so at multiples of a window this is what timm computes.

    Args:
        encoder: The encoder.
        tokens: Of visible cells, as :func:`embed_cells` returns them, shape (B, K · side², D).
        keep: Which cells they are, counted row by row, shape (B, K).
        size: Cells of the image, down and right.
        isolate: Let no gradient through from one stage to the one before.
        released_places: Take merged tokens for lying row by row when they lie cell by cell, as the
            released LocalMIM does: windows of all stages but the first then hold tokens from afar.

    Returns:
        What each stage says after its tokens are merged for the next, cell by cell and row by row
        in each: (B, K · side²/4, 2D), (B, K · side²/16, 4D), …; of the last stage, where nothing is
        merged, and without the final LayerNorm, (B, K, 8D).
    """
    batch, count = keep.shape
    x, found = tokens, list[Tensor]()
    for stage, side in zip(encoder.layers, sides(encoder), strict=True):
        if found or not isinstance(stage.downsample, nn.Identity):
            maps = x.reshape(batch * count, 2 * side, 2 * side, -1)
            x = stage.downsample(maps).reshape(batch, count * side**2, -1)
            found.append(x)
            x = x.detach() if isolate else x
        extent = (size[0] * side, size[1] * side)
        places = places_in(keep, size[1], side)
        if released_places and found:
            counted = keep[..., None] * side**2 + torch.arange(side**2, device=keep.device)
            counted = counted.flatten(1)
            places = counted // extent[1], counted % extent[1]
        windows: dict[bool, Windows] = {}
        for number, block in enumerate(stage.blocks):
            shifted = number % 2 == 1
            if shifted not in windows:
                windows[shifted] = windows_of(places, extent, block.attn.window_size, shifted)
            said = block.attn.among(block.norm1(x), windows[shifted])
            x = x + block.drop_path1(said)
            x = x + block.drop_path2(block.mlp(block.norm2(x)))
    return [*found, x]


def encode_whole(
    encoder: Swin, image: Tensor, embeds: nn.ModuleDict | None = None, group: Tensor | None = None
) -> Tensor:
    """Run all stages over whole images.

    Args:
        encoder: The encoder.
        image: Shape (B, C, H, W).
        embeds: As :func:`embed_cells` takes them.
        group: Likewise.

    Returns:
        What the last stage says of each cell, without the final LayerNorm, shape (B, N, D).

    Raises:
        InputSizeError: If H or W is no multiple of a cell.
    """
    cell = patch_size(encoder)
    cells = patchify(image, cell)
    keep = torch.arange(cells.shape[1], device=image.device).expand(len(image), -1)
    tokens = embed_cells(encoder, cells, embeds, group)
    size = image.shape[-2] // cell, image.shape[-1] // cell
    return encode_stages(encoder, tokens, keep, size)[-1]
