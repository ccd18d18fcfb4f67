"""LocalMIM and its histograms are what the released implementation computes."""

from typing import Any

import torch
from torch import Tensor

from xscale.models.convert import convert_state
from xscale.models.masking import masks_from_noise
from xscale.models.position import encode_positions
from xscale.models.tokens import patchify
from xscale.models.vit import embed
from xscale.objectives import LocalMIM
from xscale.objectives.hog import gradients, histograms
from xscale.types import Masks, View

from ..reference import Case
from .test_parity import encoder, names_after, one_thread, view

__all__ = ['one_thread']


def build(case: Case, **options: Any) -> LocalMIM:
    c = case.config
    model = LocalMIM(
        encoder(c['img_size'], c['patch_size'], c['embed_dim'], c['depth'], c['num_heads']),
        bins=c['hog_nbins'],
        dim=c['decoder_embed_dim'],
        depth=c['decoder_depth'],
        heads=c['decoder_num_heads'],
        **options,
    )
    converted = convert_state(case.state)
    assert converted.family.name == 'local_mim'
    missing, unexpected = model.load_state_dict(converted.state, strict=False)
    assert unexpected == []
    assert missing == ['encoder.pos_embed']
    return model


def test_hog_targets() -> None:
    case = Case('hog_targets')
    image = case['input.imgs']
    found = gradients(image)
    case.check('gxy_sample0_channel0', found[:1, :, 0])
    pools = case.config['pools']
    for bins, _ in case.config['settings']:
        for pool, target in zip(pools, histograms(found, pools, bins), strict=True):
            case.check(f'nbins_{bins}.pool_{pool}', target)
            alone = histograms(found, [pool], bins)[0]
            case.check(f'nbins_{bins}.pool_{pool}', alone)
    # The answer to a point is the kernel, turned by half a turn.
    point = torch.zeros(1, 1, 5, 5)
    point[..., 2, 2] = 1
    case.check('sobel_weight', gradients(point)[0, :, :, 1:4, 1:4].flip(2, 3))
    case.check_complete()


def test_local_mim() -> None:
    case = Case('local_mim')
    model, image = build(case), view(case['input.imgs'])
    masks = masks_from_noise(case['input.noise'], case.config['mask_ratio'])
    for name, value in (('ids_keep', masks.keep), ('ids_restore', masks.restore)):
        case.check(name, value)
    case.check('mask', masks.masked.float())
    places = encode_positions(image, model.patch, model.encoder.embed_dim, 'index')
    case.check('tokens', embed(model.encoder, patchify(image.image, model.patch)) + places)
    check_taps(case, model, image, masks)
    terms = model([image], [masks])
    for k in range(4):
        case.check(f'loss_tap{k}', terms[f'local_{k}'])
    total = torch.stack(list(terms.values())).sum()
    case.check('loss_total', total)
    parameters, names = dict(model.named_parameters()), convert_state(case.state).mapped
    keys = names_after(case, 'expected.grad.')
    grads = torch.autograd.grad(total, [parameters[names[key]] for key in keys])
    for key, grad in zip(keys, grads, strict=True):
        case.check(f'grad.{key}', grad.reshape(case[f'expected.grad.{key}'].shape))
    case.check_complete()


def check_taps(case: Case, model: LocalMIM, image: View, masks: Masks) -> None:
    local = model.local
    order = torch.linspace(0, 1, masks.restore.shape[1]).expand(len(masks.restore), -1)
    everything = masks_from_noise(order, 0.0)
    features: list[Tensor] = []
    for decoder in local.decoders:
        decoder.norm.register_forward_hook(lambda *given: features.append(given[2]))
    said = model.encode_visible(image, masks)
    made = local.predict(said, image, masks, 'index')
    for k, (tokens, whole) in enumerate(
        zip(said, model.encode_visible(image, everything), strict=True)
    ):
        case.check(f'encoder_visible_tap{k}', local.norms[k](tokens))
        case.check(f'encoder_unmasked_tap{k}', local.norms[k](whole))
        case.check(f'decoder_features_tap{k}', features[k])
        case.check(f'pred_tap{k}', made[k])
        case.check(f'target_tap{k}', local.targets(image, [k])[0])
        case.check(f'mask_tap{k}', local.hidden(image, masks, k))
