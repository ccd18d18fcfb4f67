"""Small models and views for the tests."""

from functools import partial
from typing import Any

import pytest
import torch
from timm.models import _registry, swin_transformer
from timm.models.swin_transformer import SwinTransformer
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from xscale.models.attention import Attention
from xscale.models.swin import Swin, as_swin
from xscale.models.vit import fix_positions
from xscale.types import View

# Threads that wait for one another cost these small tensors more than they bring.
torch.set_num_threads(1)

#: A decoder that costs nothing.
DECODER = {'decoder_dim': 32, 'decoder_depth': 1, 'decoder_heads': 2}


def seeded(seed: int = 0) -> torch.Generator:
    """Return a source of randomness."""
    return torch.Generator().manual_seed(seed)


def encoder(seed: int = 0, **options: Any) -> VisionTransformer:
    """Build an encoder of 8 px patches with a 4×4 default grid."""
    torch.manual_seed(seed)
    sizes: dict[str, Any] = {
        'img_size': 32,
        'patch_size': 8,
        'embed_dim': 32,
        'depth': 2,
        'num_heads': 2,
    }
    norm = partial(nn.LayerNorm, eps=1e-6)
    model = VisionTransformer(
        **sizes | {'num_classes': 0, 'attn_layer': Attention, 'norm_layer': norm} | options
    )
    fix_positions(model)
    return model


SWIN = {
    'img_size': 128,
    'embed_dim': 16,
    'depths': (2, 2, 3, 2),
    'num_heads': (1, 2, 2, 4),
    'window_size': 4,
}


def swin(seed: int = 0, **options: Any) -> Swin:
    """Build a Swin of 32 px cells with windows of 4 tokens, whose biases matter."""
    torch.manual_seed(seed)
    fixed: dict[str, Any] = {'num_classes': 0, 'drop_path_rate': 0.0}
    model = as_swin(SwinTransformer(**fixed | SWIN | options))
    for block in model.blocks:
        nn.init.normal_(block.attn.relative_position_bias_table)
    return model


def name_swin(name: str, sizes: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let timm know a Swin of some sizes by a name."""

    def create(**options: Any) -> SwinTransformer:
        taken = {'in_chans', 'num_classes', 'drop_path_rate'} & options.keys()
        return SwinTransformer(**sizes | {key: options[key] for key in taken})

    create.__module__ = swin_transformer.__name__
    monkeypatch.setitem(_registry._model_entrypoints, name, create)


def view(
    height: int = 32,
    width: int = 32,
    *,
    batch: int = 4,
    gsd: float = 1.0,
    origin: tuple[float, float] = (0.0, 0.0),
    valid: Tensor | None = None,
    seed: int = 0,
) -> View:
    """Draw a view; its invalid pixels are 0."""
    image = torch.randn(batch, 3, height, width, generator=seeded(seed))
    if valid is None:
        valid = torch.ones(batch, 1, height, width, dtype=torch.bool)
    corner = torch.tensor(origin).expand(batch, 2)
    return View(image * valid, torch.full((batch,), gsd), corner, valid)


def pair(side: int = 32, batch: int = 4) -> tuple[View, View]:
    """Draw a fine view and a coarse one of twice its ground sample distance around it."""
    fine = view(side, side, batch=batch, gsd=1.0, origin=(5.0, 11.0), seed=1)
    return fine, view(side, side, batch=batch, gsd=2.0, seed=2)
