"""LocalMIM of a Swin is what the released implementation computes."""

from typing import Any

import torch
from timm.models.swin_transformer import SwinTransformer
from torch import Tensor

from xscale.models.convert import convert_state
from xscale.models.masking import masks_in_order, refine_masks
from xscale.models.released.local_mim_swin import swap_merged
from xscale.models.swin import as_swin, embed_cells
from xscale.models.tokens import patchify, unpatchify
from xscale.objectives import LocalMIMSwin
from xscale.types import Masks

from ..reference import Case
from .test_parity import names_after, one_thread, view

__all__ = ['one_thread']


def build(case: Case, **options: Any) -> LocalMIMSwin:
    c = case.config
    encoder = SwinTransformer(
        **{name: c[name] for name in ('img_size', 'embed_dim', 'depths', 'num_heads')},
        window_size=c['window_size'],
        num_classes=0,
        drop_path_rate=0.0,
    )
    model = LocalMIMSwin(
        as_swin(encoder, norm_eps=1e-6),
        dim=c['decoder_embed_dim'],
        depth=c['decoder_depth'],
        heads=c['decoder_num_heads'],
        released_places=True,
        **options,
    )
    converted = convert_state(case.state)
    assert converted.family.name == 'local_mim_swin'
    model.load_state_dict(converted.state)
    return model


def masks_of(case: Case) -> Masks:
    order = case['input.randperm'].expand(case.config['batch'], -1)
    return masks_in_order(order, int(case.config['mask_ratio'] * order.shape[1]) + 1)


def test_terms_and_gradients() -> None:
    case = Case('local_mim_swin')
    image, masks = view(case['input.imgs']), masks_of(case)
    case.check('mask', masks.masked.float())
    check_parts(case, build(case), masks)
    for prefix, norm_pix in (('', False), ('norm_pix.', True)):
        model = build(case, norm_pix=norm_pix)
        terms = model([image], [masks])
        for k in range(4):
            case.check(f'{prefix}loss_tap{k}', terms[f'local_{k}'])
        total = torch.stack(list(terms.values())).sum()
        case.check(f'{prefix}loss_total', total)
        check_gradients(case, model, total, prefix)
    case.check_complete()


def check_gradients(case: Case, model: LocalMIMSwin, total: Tensor, prefix: str) -> None:
    parameters, names = dict(model.named_parameters()), convert_state(case.state).mapped
    keys = names_after(case, f'expected.{prefix}grad.')
    grads = torch.autograd.grad(total, [parameters[names[key]] for key in keys])
    for key, grad in zip(keys, grads, strict=True):
        own = swap_merged(grad) if 'downsample' in key else grad
        case.check(f'{prefix}grad.{key}', own)


def check_parts(case: Case, model: LocalMIMSwin, masks: Masks) -> None:
    image, encoder = view(case['input.imgs']), model.encoder
    cells = embed_cells(encoder, patchify(image.image, model.patch))
    tokens = unpatchify(cells.unflatten(1, (49, -1)).flatten(2), 8, 56, 56).flatten(2).mT
    case.check('tokens_every16', tokens[:, ::16])
    features: list[Tensor] = []
    for decoder in model.local.decoders:
        decoder.norm.register_forward_hook(lambda *given: features.append(given[2]))
    said = model.encode_visible(image, masks)
    made = model.local.predict(said, image, masks, 'index')
    for k, (own, finer) in enumerate(zip(said, (4, 2, 1, 1), strict=True)):
        own_masks = refine_masks(masks, 7, finer)
        case.check(f'encoder_visible_tap{k}', model.local.norms[k](own))
        case.check(f'mask_tap{k}', model.local.hidden(image, masks, k)[:1])
        assert torch.equal(own_masks.masked.float(), model.local.hidden(image, masks, k))
        # The released numbers count cell by cell, ours row by row.
        inside = refine_masks(masks_in_order(torch.rand(1, 49), 0), 7, finer).keep
        case.check(f'ids_restore_tap{k}', own_masks.restore[:1].gather(1, inside))
        kept = case[f'expected.decoder_features_tap{k}'].shape[0]
        case.check(f'decoder_features_tap{k}', features[k][:kept])
        case.check(f'pred_tap{k}_channel_mean', made[k].mean(-1))
        case.check(f'pred_tap{k}_channel_mean_square', made[k].square().mean(-1))
        few = ('', made[k][0, :8]) if k < 2 else ('_every8th_channel', made[k][0, :8, ::8])
        case.check(f'pred_tap{k}_sample0_first8{few[0]}', few[1])
