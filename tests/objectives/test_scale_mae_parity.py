"""Scale-MAE computes what its released implementation computes, on its reference vectors."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from xscale.models.convert import convert_state
from xscale.models.masking import masks_from_noise
from xscale.models.position import encode_positions, grid, sincos
from xscale.models.tokens import patchify
from xscale.models.vit import embed, encode
from xscale.objectives import ScaleMAE
from xscale.objectives.laplacian import (
    combine,
    frequency_loss,
    hidden_pixels,
    high_target,
    low_target,
)
from xscale.types import Masks, View

from ..reference import Case
from .test_parity import encoder, gradients, names_after, view

RELEASED = {'high_loss': 'mse', 'sum_bands': True}


def build(case: Case, **options: Any) -> ScaleMAE:
    c = case.config
    model = ScaleMAE(
        encoder(c['img_size'], c['patch_size'], c['embed_dim'], c['depth'], c['num_heads']),
        decoder_dim=c['decoder_embed_dim'],
        decoder_depth=c['decoder_depth'],
        decoder_heads=c['decoder_num_heads'],
        head_dim=c['fcn_dim'],
        head_layers=c['fcn_layers'],
        **RELEASED | {'cell': c['target_size'] // c['band_config'][0]} | options,
    )
    missing, unexpected = model.load_state_dict(convert_state(case.state).state, strict=False)
    assert (missing, unexpected) == (['encoder.pos_embed'], [])
    return model


def views_of(case: Case) -> tuple[View, View]:
    """Return target and input; they are of different images, as no real ones are."""
    target = replace(view(case['input.targets']), gsd=case['input.target_res'])
    return target, replace(view(case['input.imgs']), gsd=case['input.input_res'])


def positions(case: Case, dim: int, res: Tensor, side: int) -> Tensor:
    patch = case.config['patch_size']
    image = replace(view(torch.zeros(len(res), 3, side * patch, side * patch)), gsd=res)
    table = encode_positions(image, patch, dim, 'gsd')
    return torch.cat([torch.zeros(len(res), 1, dim), table], dim=1)


def unmasked(model: ScaleMAE, image: View) -> tuple[Tensor, Tensor]:
    patch, dim = 16, model.encoder.embed_dim
    tokens = embed(model.encoder, patchify(image.image, patch))
    tokens = tokens + encode_positions(image, patch, dim, 'gsd')
    return tokens, encode(model.encoder, tokens)


def check_grads(case: Case, model: ScaleMAE, prefix: str, loss: Tensor) -> None:
    released = convert_state(case.state).mapped
    keys = names_after(case, f'expected.{prefix}')
    found = gradients(model, {key: released[key] for key in keys}, loss)
    assert keys
    assert set(found) == set(keys)
    for name, grad in found.items():
        case.check(f'{prefix}{name}', grad)


def check_losses(
    case: Case, model: ScaleMAE, views: tuple[View, ...], masks: Masks, p: str
) -> Tensor:
    terms = model(views, [masks])
    total = sum(terms.values())
    assert isinstance(total, Tensor)
    case.check(f'{p}loss_low', terms['low_frequency'])
    case.check(f'{p}loss_high', terms['high_frequency'])
    case.check(f'{p}loss_total', total)
    return total


def test_scale_mae() -> None:
    case = Case('scale_mae')
    c = case.config
    model, views = build(case), views_of(case)
    masks = masks_from_noise(case['input.noise'], c['mask_ratio'])
    case.check('ids_restore', masks.restore)
    case.check('mask', masks.masked.float())
    made = model.reconstruct(views, [masks])[0]
    case.check('encoder_visible', made.latent)
    case.check('decoder_features', made.features)
    case.check('pred_low', made.low)
    case.check('pred_high', made.high)
    case.check('target_low', model.targets(views[0])['low_frequency'][0])
    everywhere = torch.ones_like(made.low[:, :1], dtype=torch.bool)
    whole = combine(made.low, made.high, (c['band_config'][0],) * 2, everywhere)
    case.check('pred_all_patchified_head', patchify(whole, c['patch_size'])[:, :4])
    tokens, encoded = unmasked(model, views[1])
    case.check('tokens', tokens)
    case.check('encoder_unmasked', encoded)
    case.check('knn_feats', encoded[:, 0])
    side = c['img_size'] // c['patch_size']
    dim = c['decoder_embed_dim']
    case.check('pos_embed_decoder_in', positions(case, dim, views[1].gsd, side))
    check_grads(case, model, 'grad.', check_losses(case, model, views, masks, ''))
    paper = build(case, high_loss='l1')
    check_grads(case, paper, 'l1.grad.', check_losses(case, paper, views, masks, 'l1.'))
    check_source_size(case, views)
    # The target's own positions are computed and not used; the vectors hold those of its first row.
    target = positions(case, dim, views[0].gsd, c['target_size'] // c['patch_size'])
    case.check('pos_embed_target', target[:, : 1 + c['target_size'] // c['patch_size']])
    case.check_complete()


def check_source_size(case: Case, views: tuple[View, View]) -> None:
    """Released, a smaller input's targets are made of that input: no finer than what was seen."""
    c = case.config
    source, ratio = c['source_size'], c['img_size'] // c['source_size']
    small = F.interpolate(views[1].image, (source, source), mode='area')
    case.check('source_size.imgs', small)
    wide = views[1].gsd * ratio
    finest = c['target_size'] // ratio
    target = replace(view(F.interpolate(small, (finest, finest), mode='area')), gsd=wide / 2)
    # As many cells as without, so each is smaller.
    model = build(case, cell=finest // c['band_config'][0])
    masks = masks_from_noise(case['input.noise_source'], c['mask_ratio'])
    case.check('source_size.mask', masks.masked.float())
    side = source // c['patch_size']
    dim = c['decoder_embed_dim']
    case.check('source_size.pos_embed_decoder_in', positions(case, dim, wide, side))
    seen = model.seen([target])
    torch.testing.assert_close(seen.image, small)
    torch.testing.assert_close(seen.gsd, wide)
    check_losses(case, model, (target,), masks, 'source_size.')


def test_gsd_sincos() -> None:
    case = Case('gsd_sincos')
    side, dim, res = case.config['grid'], case.config['dim'], case['input.res']
    image = replace(view(torch.zeros(len(res), 3, side * 8, side * 8)), gsd=res)
    table = encode_positions(image, 8, dim, 'gsd')
    case.check('pos_embed_no_cls', table)
    case.check('pos_embed', torch.cat([torch.zeros(len(res), 1, dim), table], dim=1))
    plain = sincos(grid(side, side), dim).float()
    case.check('pos_embed_plain', torch.cat([torch.zeros(1, dim), plain]))
    case.check_complete()


def test_laplacian_targets() -> None:
    case = Case('laplacian_targets')
    image, masked = case['input.imgs'], case['input.mask'] > 0
    valid = torch.ones_like(image[:, :1], dtype=torch.bool)
    half = (image.shape[-1] // 2,) * 2
    for cells, through in case.config['band_configs']:
        name = f'band_{cells}_{through}'
        # Released, the second number matters only where it is 224.
        low, there = low_target(image, valid, half, 224 if through == 224 else None)
        high = high_target(image, valid, (cells, cells))
        assert there.all()
        case.check(f'{name}.target_low', low)
        case.check(f'{name}.target_high', high)
        for kind, target in (('low', low), ('high', high)):
            hidden = hidden_pixels(masked, case.config['grid'], target)
            loss = frequency_loss(
                torch.zeros_like(target), target, hidden, hidden.expand_as(target), sum_bands=True
            )
            case.check(f'{name}.loss_{kind}_zero_pred', loss)
    case.check_complete()
