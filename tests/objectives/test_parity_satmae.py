"""SatMAE computes what its released implementation computes."""

from functools import partial
from typing import Any

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from xscale.models.attention import Attention
from xscale.models.convert import convert_state
from xscale.models.groups import create_embeds
from xscale.models.masking import masks_from_noise, repeat_masks
from xscale.models.released.satmae import BANDS
from xscale.models.vit import encode, fix_positions
from xscale.objectives import MAE, SatMAEGroup, SatMAETemporal
from xscale.objectives.satmae import SatMAE
from xscale.objectives.terms import patch_loss
from xscale.types import Masks, View

from ..reference import Case
from . import test_parity
from .test_parity import gradients, names_after, one_thread, tokens, unmasked

__all__ = ['one_thread']


def encoder(case: Case, in_channels: int = 3) -> VisionTransformer:
    c = case.config
    model = VisionTransformer(
        img_size=c['img_size'],
        patch_size=c['patch_size'],
        in_chans=in_channels,
        embed_dim=c['embed_dim'],
        depth=c['depth'],
        num_heads=c['num_heads'],
        mlp_ratio=c['mlp_ratio'],
        num_classes=0,
        attn_layer=Attention,
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
    )
    fix_positions(model)
    return model


def load(model: MAE, case: Case) -> MAE:
    missing, unexpected = model.load_state_dict(convert_state(case.state).state, strict=False)
    assert unexpected == []
    assert missing == ['encoder.pos_embed']
    return model


def decoder(case: Case) -> dict[str, int]:
    names = {'dim': 'embed_dim', 'depth': 'depth', 'heads': 'num_heads'}
    return {f'decoder_{ours}': case.config[f'decoder_{own}'] for ours, own in names.items()}


def check_grads(case: Case, model: MAE, prefix: str, loss: Tensor) -> None:
    """Compare every gradient with that prefix."""
    keys = list(names_after(case, f'expected.{prefix}grad.'))
    released = convert_state(case.state).mapped
    found = gradients(model, {key: released[key] for key in keys}, loss)
    assert keys
    assert set(found) == set(keys)
    for name, grad in found.items():
        case.check(f'{prefix}grad.{name}', grad)


@pytest.mark.parametrize('norm_pix', [False, True])
def test_vanilla_is_mae(norm_pix: bool) -> None:
    case = Case('satmae_vanilla')
    model = test_parity.build_mae(case, norm_pix=norm_pix)
    image = test_parity.view(case['input.imgs'])
    masks = masks_from_noise(case['input.noise'], case.config['mask_ratio'])
    prefix = 'norm_pix.' if norm_pix else ''
    loss = model([image], [masks])['reconstruction']
    case.check(f'{prefix}loss_total', loss)
    check_grads(case, model, prefix, loss)
    made = model.reconstruct([image], [masks])[0]
    if norm_pix:
        return
    case.check('ids_restore', masks.restore)
    case.check('mask', masks.masked.float())
    case.check('encoder_visible', made.latent)
    case.check('decoder_features', made.features)
    case.check('pred', made.prediction)
    case.check('tokens', tokens(model, image))
    case.check('encoder_unmasked', unmasked(model, image))
    case.compared |= {k for k in case.tensors if k.startswith('expected.norm_pix.')}
    case.check_complete()


def group_model(case: Case, **options: Any) -> SatMAEGroup:
    c = case.config
    names = ['visible', 'rededge', 'swir']
    groups = {
        name: [BANDS[number] for number in own]
        for name, own in zip(names, c['channel_groups'], strict=True)
    }
    counts = {name: len(bands) for name, bands in groups.items()}
    model = encoder(case, counts.pop('visible'))
    return load(
        SatMAEGroup(
            model,
            embeds=create_embeds(model, counts),
            groups=groups,
            bands=BANDS,
            group_dim=c['channel_embed'],
            decoder_group_dim=c['decoder_channel_embed'],
            same_mask=c['spatial_mask'],
            **decoder(case),
            **options,
        ),
        case,
    )


def whole(model: SatMAE, image: View) -> Tensor:
    own = model.layout.tokens(model.encoder, image, model.embeds, model.position)
    return encode(model.encoder, own)


@pytest.mark.parametrize('masking', ['independent', 'consistent'])
def test_groups_of_bands(masking: str) -> None:
    case = Case(f'satmae_group_channel_{masking}')
    model = group_model(case, released_order=True)
    image = test_parity.view(case['input.imgs'])
    masks = drawn = masks_from_noise(case['input.noise'], case.config['mask_ratio'])
    if masking == 'consistent':
        masks = repeat_masks(drawn, 3)
    case.check('ids_restore', drawn.restore)
    case.check('mask', masks.masked.unflatten(1, (3, -1)).float())
    made = model.reconstruct([image], [masks])[0]
    case.check('tokens', model.layout.tokens(model.encoder, image, model.embeds, 'index'))
    case.check('encoder_visible', made.latent)
    case.check('encoder_unmasked', whole(model, image))
    case.check('decoder_features', made.features)
    pixels = made.prediction.unflatten(-1, (model.patch**2, -1))
    case.check('pred', pixels.permute(0, 3, 1, 2))
    for released in (True, False):
        for norm_pix in (False, True):
            check_group_terms(case, image, masks, released_order=released, norm_pix=norm_pix)
    case.check_complete()


def check_group_terms(
    case: Case, image: View, masks: Masks, released_order: bool, norm_pix: bool
) -> None:
    model = group_model(case, released_order=released_order, norm_pix=norm_pix)
    prefix = ('' if released_order else 'corrected.') + ('norm_pix.' if norm_pix else '')
    loss = model([image], [masks])['reconstruction']
    case.check(f'{prefix}loss_total', loss)
    check_grads(case, model, prefix, loss)
    made = model.reconstruct([image], [masks])[0]
    parts = [model.by_group(part) for part in (made.prediction, *model.targets(image))]
    means, removed = [], []
    for rows in torch.arange(masks.masked.shape[1]).chunk(3):
        prediction, target, valid = (part[:, rows] for part in parts)
        hidden = masks.masked[:, rows]
        means.append(patch_loss(prediction, target, hidden, valid))
        removed.append(hidden.sum().float())
    case.check(f'{prefix}loss_group_mean', torch.stack(means))
    case.check(f'{prefix}loss_group_removed', torch.stack(removed))
    case.check(f'{prefix}loss_group_sum', torch.stack(means) * torch.stack(removed))


def temporal_model(case: Case, **options: Any) -> SatMAETemporal:
    model = SatMAETemporal(
        encoder(case), time_dim=128, decoder_time_dim=64, **decoder(case), **options
    )
    # The reference has narrow layers in its decoder too.
    for block in model.decoder.blocks:
        dim = model.decoder.dim
        hidden = int(dim * case.config['mlp_ratio'])
        block.mlp.fc1, block.mlp.fc2 = nn.Linear(dim, hidden), nn.Linear(hidden, dim)
    model = load(model, case)
    assert isinstance(model, SatMAETemporal)
    return model


def dated(case: Case) -> View:
    frames = case['input.imgs']
    image = test_parity.view(frames.flatten(0, 1))
    time = case['input.timestamps'].flatten(0, 1).float()
    return View(image.image, image.gsd, image.origin, image.valid, time=time, frames=3)


def test_dates() -> None:
    case = Case('satmae_temporal')
    image, ratio = dated(case), case.config['mask_ratio']
    masks = masks_from_noise(case['input.noise'], ratio)
    same = repeat_masks(masks_from_noise(case['input.noise_same'], ratio), 3)
    model = temporal_model(case)
    case.check('tokens', model.layout.tokens(model.encoder, image, model.embeds, 'index'))
    case.check('encoder_unmasked', whole(model, image))
    for own, prefix in ((masks, ''), (same, 'same_mask.')):
        made = model.reconstruct([image], [own])[0]
        case.check(f'{prefix}ids_restore', own.restore)
        case.check(f'{prefix}mask', own.masked.float())
        case.check(f'{prefix}encoder_visible', made.latent)
        case.check(f'{prefix}pred', made.prediction)
        if own is masks:
            case.check('decoder_features', made.features)
        for norm_pix in (False, True):
            kind = f'{prefix}norm_pix.' if norm_pix else prefix
            check_temporal_terms(case, image, own, kind, norm_pix)
    case.check_complete()


def check_temporal_terms(
    case: Case, image: View, masks: Masks, prefix: str, norm_pix: bool
) -> None:
    model = temporal_model(case, norm_pix=norm_pix)
    loss = model([image], [masks])['reconstruction']
    case.check(f'{prefix}loss_total', loss)
    if names_after(case, f'expected.{prefix}grad.'):
        check_grads(case, model, prefix, loss)
    prediction = model.reconstruct([image], [masks])[0].prediction
    target, valid = (part.reshape(prediction.shape) for part in model.targets(image))
    sums, removed = [], []
    for rows in torch.arange(prediction.shape[1]).chunk(3):
        parts = (part[:, rows] for part in (prediction, target))
        hidden = masks.masked[:, rows]
        mean = patch_loss(*parts, hidden, valid[:, rows])
        removed.append(hidden.sum().float())
        sums.append(mean * removed[-1])
    case.check(f'{prefix}loss_time_sum', torch.stack(sums))
    case.check(f'{prefix}loss_time_removed', torch.stack(removed))
