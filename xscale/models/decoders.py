"""The decoder of masked autoencoders."""

import torch
from torch import Tensor, nn

from ..errors import ConfigError
from ..types import Masks
from .attention import Attention
from .local import CONTENT, check_init, keep_positions, start_local
from .masking import gather_tokens
from .vit import BLOCKS, init_weights


class MAEDecoder(nn.Module):
    """Predict every patch from the visible ones (MAE, He et al. 2022, section 3)."""

    def __init__(
        self,
        encoder_dim: int,
        outputs: int,
        *,
        dim: int = 512,
        depth: int = 8,
        heads: int = 16,
        width: int | None = None,
        block: str = 'pre_norm',
        init: str = 'xavier',
    ) -> None:
        """Build the decoder.

        Args:
            encoder_dim: Channels of the encoder's tokens.
            outputs: Numbers to predict for each patch; 0 for no last layer.
            dim: Channels of the decoder.
            depth: Blocks.
            heads: Attention heads of each block.
            width: Channels that the last layer takes; those of the decoder by default.
            block: Kind of the blocks, a key of :data:`~xscale.models.vit.BLOCKS`.
            init: Weights to start from, one of :data:`~xscale.models.local.INITS`.

        Raises:
            ConfigError: If the channels do not fit the heads and the positions.
        """
        super().__init__()
        check_init(init)
        if dim % heads or dim % 4:
            raise ConfigError(
                f'decoder_dim {dim}: a multiple of 4 and of decoder_heads {heads} is needed'
            )
        kind, norm = BLOCKS[block]
        self.embed = nn.Linear(encoder_dim, dim)
        self.mask_token = nn.Parameter(torch.empty(1, 1, dim))
        self.blocks = nn.ModuleList(
            kind(dim, heads, qkv_bias=True, norm_layer=norm, attn_layer=Attention)
            for _ in range(depth)
        )
        self.norm = norm(dim)
        self.pred = nn.Linear(width or dim, outputs) if outputs else nn.Identity()
        self.apply(init_weights)
        nn.init.normal_(self.mask_token, std=0.02)
        if init == 'local':
            self._start_local()

    @property
    def dim(self) -> int:
        """Channels of the decoder."""
        return self.mask_token.shape[-1]

    def _start_local(self) -> None:
        start_local(self.blocks)
        # As much in a hidden patch as in a visible one, so that LayerNorm scales both alike.
        nn.init.normal_(self.mask_token, std=CONTENT)
        nn.init.normal_(self.embed.weight, std=CONTENT / self.embed.in_features**0.5)
        keep_positions(self.mask_token.mT[0])
        keep_positions(self.embed.weight)

    def forward(self, latent: Tensor, masks: Masks, positions: Tensor) -> Tensor:
        """Decode.

        Args:
            latent: Prefix tokens and visible patches of the encoder, shape (B, P + K, D).
            masks: Which patches are visible.
            positions: Position of each patch, shape (1 or B, N, dim); or before them one for the
                prefix tokens, shape (1 or B, 1 + N, dim).

        Returns:
            Features of the prefix tokens and of every patch in image order, (B, P + N, dim).
        """
        prefix = latent.shape[1] - masks.keep.shape[1]
        x = self.embed(latent)
        count = masks.restore.shape[1]
        hidden = count - masks.keep.shape[1]
        mask_tokens = self.mask_token.expand(len(x), hidden, -1)
        patches = gather_tokens(torch.cat([x[:, prefix:], mask_tokens], dim=1), masks.restore)
        positions = positions.to(self.mask_token.dtype)
        first = x[:, :prefix]
        if positions.shape[1] > count:
            first, positions = first + positions[:, :1], positions[:, 1:]
        x = torch.cat([first, patches + positions], dim=1)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)
