"""The encoder: a timm vision transformer that sees some patches at any place."""

from collections.abc import Callable
from functools import partial
from typing import Any

import timm
import torch
from timm.layers import Attention as TimmAttention
from timm.layers import PatchEmbed
from timm.models.swin_transformer import SwinTransformer
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn

from ..errors import ConfigError, UnknownNameError
from ..types import View
from .attention import Attention, set_backend
from .groups import by_group, init_patch_embed, narrow
from .local import check_init, start_local
from .position import Position, encode_positions, grid, sincos


class PostNormBlock(Block):
    """A block that normalises after each residual sum, as xFormers' post-norm layout does."""

    def forward(
        self, x: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False
    ) -> Tensor:
        """Run the block.

        Args:
            x: Tokens, shape (B, N, D).
            attn_mask: Bias added to the attention scores.
            is_causal: Not supported; images have no direction.
        """
        x = self.norm1(x + self.drop_path1(self.ls1(self.attn(x, attn_mask=attn_mask))))
        return self.norm2(x + self.drop_path2(self.ls2(self.mlp(x))))


NOT_PLAIN = '{} is not a plain vision transformer; try vit_base_patch16_224'

#: Kinds of transformer blocks, and the LayerNorm each is made with.
BLOCKS: dict[str, tuple[type[Block], Callable[[int], nn.LayerNorm]]] = {
    'pre_norm': (Block, partial(nn.LayerNorm, eps=1e-6)),
    'post_norm': (PostNormBlock, nn.LayerNorm),
}


def create_encoder(
    name: str,
    in_channels: int = 3,
    *,
    block: str = 'pre_norm',
    init: str = 'xavier',
    patch: int | None = None,
    attention: str = 'auto',
    drop_path: float = 0.0,
) -> VisionTransformer:
    """Build a vision transformer at its default image and patch size.

    It is timm's model, weight for weight, with attention through
    :func:`~xscale.models.attention.attend` and the sin-cos table of its default grid as
    ``pos_embed``. The forward functions here compute positions for the grid they are given, so any
    input size works.

    Args:
        name: A timm model, such as ``vit_base_patch16_224``.
        in_channels: Number of input bands.
        block: 'pre_norm', timm's; or 'post_norm', for weights of xFormers' layout.
        init: Weights to start from, one of :data:`~xscale.models.local.INITS`.
        patch: Side of a patch in pixels, where it is to be another than the model's.
        attention: Attention backend.
        drop_path: Stochastic depth rate.

    Returns:
        The encoder, without a classification head.

    Raises:
        UnknownNameError: If timm has no such model.
        ConfigError: If it is not a plain vision transformer.
    """
    architecture = name.split('.')[0]
    if not timm.is_model(architecture):
        raise UnknownNameError('timm model', name, timm.list_models('vit_*_patch*_224'))
    if timm.models.model_entrypoint(architecture).__module__ != VisionTransformer.__module__:
        raise ConfigError(NOT_PLAIN.format(name))
    if block not in BLOCKS:
        raise UnknownNameError('block', block, BLOCKS)
    check_init(init)
    # Only what differs from the model's own is named, so its variants keep their settings.
    other: dict[str, Any] = {} if patch is None else {'patch_size': patch}
    if block != 'pre_norm':
        other |= zip(('block_fn', 'norm_layer'), BLOCKS[block], strict=True)
    encoder = timm.create_model(
        name,
        in_chans=in_channels,
        num_classes=0,
        **other,
        drop_path_rate=drop_path,
    )
    if not isinstance(encoder, VisionTransformer) or type(encoder.patch_embed) is not PatchEmbed:
        raise ConfigError(NOT_PLAIN.format(name))
    for part in encoder.blocks:
        if type(part) is not BLOCKS[block][0] or type(part.attn) is not TimmAttention:
            raise ConfigError(NOT_PLAIN.format(name))
        # Not asked for by attn_layer=, which would replace another kind of attention unnoticed.
        part.attn.__class__ = Attention
    # Some pool by parts of their own, which nothing reads here.
    for part in (encoder.fc_norm, encoder.attn_pool):
        if part is not None:
            part.requires_grad_(False)
    encoder.apply(init_weights)
    _init_tokens(encoder, init)
    if init == 'local':
        start_local(encoder.blocks)
    fix_positions(encoder)
    set_backend(encoder, attention)
    return encoder


def init_weights(module: nn.Module) -> None:
    """Initialise a linear layer as MAE does: Xavier weights, zero biases.

    Args:
        module: Any module; others than linear layers are left alone.
    """
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _init_tokens(encoder: VisionTransformer, init: str) -> None:
    init_patch_embed(encoder.patch_embed, init)
    for token in (encoder.cls_token, encoder.reg_token):
        if token is not None:
            nn.init.normal_(token, std=0.02)


def fix_positions(encoder: VisionTransformer) -> None:
    """Make ``pos_embed`` the fixed sin-cos table of the encoder's default grid.

    Args:
        encoder: The encoder.
    """
    table = sincos(grid(*encoder.patch_embed.grid_size), encoder.embed_dim)
    prefix = encoder.pos_embed.shape[1] - len(table)
    table = torch.cat([table.new_zeros(prefix, table.shape[1]), table])[None]
    encoder.pos_embed = nn.Parameter(table.to(encoder.pos_embed.dtype), requires_grad=False)


def position_table(encoder: VisionTransformer, height: int, width: int) -> Tensor:
    """Resample the encoder's own ``pos_embed`` to another grid, for positions that were learned.

    Bicubic, as the released MAE and Cross-Scale MAE do it when they change the image size.

    Args:
        encoder: The encoder.
        height: Patches down.
        width: Patches right.

    Returns:
        Shape (1, N, D).
    """
    old = encoder.patch_embed.grid_size
    table = encoder.pos_embed[:, encoder.pos_embed.shape[1] - old[0] * old[1] :]
    if tuple(old) == (height, width):
        return table
    maps = table.reshape(1, *old, -1).permute(0, 3, 1, 2)
    maps = nn.functional.interpolate(maps, (height, width), mode='bicubic', align_corners=False)
    return maps.flatten(2).mT


def encoder_positions(encoder: VisionTransformer, view: View, position: Position) -> Tensor:
    """Encode where the patches of a view lie, for the encoder.

    Args:
        encoder: The encoder.
        view: The view.
        position: How positions are counted.

    Returns:
        Shape (1 or B, N, D), of the type of the encoder's weights: under autocast float32, and so
        is then what the blocks add to, as in MAE.
    """
    patch = patch_size(encoder)
    if position == 'table':
        height, width = view.image.shape[-2:]
        return position_table(encoder, height // patch, width // patch)
    return encode_positions(view, patch, encoder.embed_dim, position).to(encoder.pos_embed.dtype)


def patch_size(encoder: VisionTransformer | SwinTransformer) -> int:
    """Return the side in pixels of what one token stands for in the end: a patch, or a Swin's cell.

    Args:
        encoder: The encoder.
    """
    if isinstance(encoder, SwinTransformer):
        return int(encoder.feature_info[-1]['reduction'])
    return int(encoder.patch_embed.patch_size[0])


def embed(
    encoder: VisionTransformer | SwinTransformer,
    patches: Tensor,
    embeds: nn.ModuleDict | None = None,
    group: Tensor | None = None,
) -> Tensor:
    """Embed patches; equal to strided convolutions, but only for the patches given.

    Args:
        encoder: The encoder.
        patches: Rows of pixels in (row, column, channel) order, shape (B, K, patch² · C), where C
            is the number of bands of the widest group.
        embeds: Patch embeddings of groups of bands beyond the encoder's own.
        group: Which group each image is of, shape (B,); None for the encoder's own.

    Returns:
        Shape (B, K, D).
    """
    own: Any = [encoder.patch_embed, *(embeds or {}).values()]
    patch = int(encoder.patch_embed.patch_size[0])

    def narrowed(one: PatchEmbed, rows: Tensor) -> Tensor:
        rows = narrow(rows, one.proj.in_channels, patch) if len(own) > 1 else rows
        return one.norm(project(one.proj, rows))

    return by_group([partial(narrowed, one) for one in own], patches, group)


def project(proj: nn.Conv2d, patches: Tensor) -> Tensor:
    """Apply the convolution of a patch embedding to patches.

    Args:
        proj: The convolution, whose stride is the patch.
        patches: Rows of pixels in (row, column, channel) order, shape (B, K, patch² · C).

    Returns:
        Shape (B, K, D).
    """
    weight = proj.weight.permute(0, 2, 3, 1).flatten(1)
    return nn.functional.linear(patches, weight, proj.bias)


def encode(
    encoder: VisionTransformer,
    tokens: Tensor,
    *,
    normalize: bool = True,
    bias: Tensor | None = None,
) -> Tensor:
    """Run the transformer over patch tokens that already hold their positions.

    Args:
        encoder: The encoder.
        tokens: Shape (B, K, D).
        normalize: Whether to apply the final LayerNorm.
        bias: Attention bias for every block.

    Returns:
        Prefix tokens (class, registers), then the patches, shape (B, P + K, D).
    """
    x = add_prefix(encoder, tokens)
    for block in encoder.blocks:
        x = block(x, attn_mask=bias)
    return encoder.norm(x) if normalize else x


def add_prefix(encoder: VisionTransformer, tokens: Tensor) -> Tensor:
    """Set the class token and the registers, where there are any, before patch tokens.

    Args:
        encoder: The encoder.
        tokens: Patch tokens that already hold their positions, shape (B, K, D).

    Returns:
        What the first block takes, shape (B, P + K, D).
    """
    prefix = [token for token in (encoder.cls_token, encoder.reg_token) if token is not None]
    if prefix:
        first = torch.cat(prefix, dim=1)
        rows = encoder.pos_embed.shape[1] - encoder.patch_embed.num_patches
        first = first + encoder.pos_embed[:, :rows] if rows else first
        tokens = torch.cat([first.to(tokens.dtype).expand(len(tokens), -1, -1), tokens], dim=1)
    return encoder.norm_pre(tokens)
