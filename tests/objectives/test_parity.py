"""The objectives compute what the released implementations compute."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from xscale.models.attention import Attention
from xscale.models.convert import convert_state
from xscale.models.masking import gather_tokens, masks_from_noise
from xscale.models.position import encode_positions, grid, sincos
from xscale.models.tokens import patchify
from xscale.models.vit import embed, encode, fix_positions, position_table
from xscale.objectives import MAE, CrossScaleMAE
from xscale.objectives.terms import nt_xent
from xscale.types import Masks, View

from ..reference import Case

RELEASED = {
    'normalize_encoder': False,
    'align': 'index',
    'direction': 'fine_to_coarse',
    'stop_gradient': False,
    'predictor_norm': 'token_batch',
}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def encoder(size: int, patch: int, dim: int, depth: int, heads: int) -> VisionTransformer:
    model = VisionTransformer(
        img_size=size,
        patch_size=patch,
        embed_dim=dim,
        depth=depth,
        num_heads=heads,
        num_classes=0,
        attn_layer=Attention,
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
    )
    fix_positions(model)
    return model


def view(image: Tensor) -> View:
    batch, _, height, width = image.shape
    valid = torch.ones(batch, 1, height, width, dtype=torch.bool)
    return View(image, torch.ones(batch), torch.zeros(batch, 2), valid)


def load(objective: MAE, case: Case) -> None:
    converted = convert_state(case.state)
    missing, unexpected = objective.load_state_dict(converted.state, strict=False)
    assert unexpected == []
    assert missing == ['encoder.pos_embed']


def build_mae(case: Case, **options: Any) -> MAE:
    c = case.config
    model = MAE(
        encoder(c['img_size'], c['patch_size'], c['embed_dim'], c['depth'], c['num_heads']),
        decoder_dim=c['decoder_embed_dim'],
        decoder_depth=c['decoder_depth'],
        decoder_heads=c['decoder_num_heads'],
        **options,
    )
    load(model, case)
    return model


def build_cross_scale(case: Case, **options: Any) -> CrossScaleMAE:
    c = case.config
    variant = c['variant']
    weights = {'consistency': float('Ce' in variant), 'cross_prediction': float('Cd' in variant)}
    model = CrossScaleMAE(
        encoder(
            c['input_size'],
            c['patch_size'],
            c['dim_model'],
            c['encoder_num_layers'],
            c['encoder_num_heads'],
        ),
        decoder_dim=c['decoder_embed_dim'],
        decoder_depth=c['decoder_num_layers'],
        decoder_heads=c['decoder_num_heads'],
        predictor_hidden=c.get('predictor_hidden_size', 64),
        predictor_tokens=(c['input_size'] // c['patch_size']) ** 2,
        weights=weights | options.pop('weights', {}),
        **RELEASED | options,
    )
    load(model, case)
    return model.train()


def gradients(model: MAE, names: dict[str, str], loss: Tensor) -> dict[str, Tensor]:
    """Return gradients by their released names."""
    parameters = dict(model.named_parameters())
    ours = {released: parameters[name] for released, name in names.items() if name in parameters}
    grads = torch.autograd.grad(loss, list(ours.values()), retain_graph=True, allow_unused=True)
    return dict(zip(ours, grads, strict=True))


def names_after(case: Case, prefix: str) -> list[str]:
    return [key.removeprefix(prefix) for key in case.tensors if key.startswith(prefix)]


def check_masks(case: Case, masks: Masks, suffix: str = '') -> None:
    case.check(f'ids_keep{suffix}', masks.keep)
    case.check(f'ids_restore{suffix}', masks.restore)
    case.check(f'mask{suffix}', masks.masked.float())


def unmasked(model: MAE, image: View) -> Tensor:
    count = (image.image.shape[-1] // model.patch) ** 2
    order = torch.linspace(0, 1, count).expand(len(image.image), -1)
    tokens = model.embed_visible(image, masks_from_noise(order, 0.0))
    return encode(model.encoder, tokens, normalize=model.normalize_encoder)


def tokens(model: MAE, image: View) -> Tensor:
    positions = encode_positions(image, model.patch, model.encoder.embed_dim, 'index')
    return embed(model.encoder, patchify(image.image, model.patch)) + positions


@pytest.mark.parametrize('norm_pix', [False, True])
def test_mae(norm_pix: bool) -> None:
    case = Case('mae')
    model = build_mae(case, norm_pix=norm_pix)
    image = view(case['input.imgs'])
    masks = masks_from_noise(case['input.noise'], case.config['mask_ratio'])
    made = model.reconstruct([image], [masks])[0]
    loss = model([image], [masks])['reconstruction']
    prefix = 'norm_pix.' if norm_pix else ''
    case.check(f'{prefix}loss_total', loss)
    released = convert_state(case.state).mapped
    keys = names_after(case, f'expected.{prefix}grad.')
    found = gradients(model, {k: released[k] for k in keys}, loss)
    assert set(found) == set(keys)
    for name, grad in found.items():
        case.check(f'{prefix}grad.{name}', grad)
    if norm_pix:
        return
    check_masks(case, masks)
    case.check('encoder_visible', made.latent)
    case.check('decoder_features', made.features)
    case.check('pred', made.prediction)
    case.check('target_sample0', model.targets(image)[0][0])
    case.check('tokens', tokens(model, image))
    case.check('encoder_unmasked', unmasked(model, image))
    case.compared |= {k for k in case.tensors if k.startswith('expected.norm_pix.')}
    case.check_complete()


@pytest.mark.parametrize('variant', ['_msld', '_msldcd', ''])
def test_cross_scale_mae(variant: str) -> None:
    """Every value of the case; the released "original" is our coarse view, its "crop" our fine."""
    case = Case(f'cross_scale_mae{variant}')
    ratio = case.config['mask_ratio']
    views = view(case['input.imgs_crop']), view(case['input.imgs'])
    noises = case['input.noise_crop'], case['input.noise_orig']
    masks = tuple(masks_from_noise(noise, ratio) for noise in noises)
    check_views(case, views, masks)
    check_terms(case, views, masks, prefix='', options={})
    check_terms(case, views, masks, prefix='norm_pix.', options={'norm_pix': True})
    halves = {'reconstruction_fine': 0.5, 'reconstruction_coarse': 0.5}
    model = build_cross_scale(case, weights=halves)
    terms = model(views, masks)
    total = sum(model.weights[term] * value for term, value in terms.items())
    case.check('reduction_mean.loss_total', total)
    if 'Cd' in case.config['variant']:
        check_predictor(case, views, masks)
    if 'Ce' in case.config['variant']:
        check_contrast(case, views, masks)
        check_loss_kinds(case, views, masks)
    case.check_complete()


def check_views(case: Case, views: tuple[View, View], masks: tuple[Masks, ...]) -> None:
    model = build_cross_scale(case)
    made = model.reconstruct(views, masks)
    for suffix, one, mask, part in zip(('_crop', '_orig'), views, masks, made, strict=True):
        check_masks(case, mask, suffix)
        case.check(f'tokens{suffix}', tokens(model, one))
        case.check(f'encoder_visible{suffix}', part.latent)
        case.check(f'decoder_features{suffix}', part.features)
        case.check(f'pred{suffix}', part.prediction)
    case.check('encoder_unmasked_orig', unmasked(model, views[1]))
    if 'expected.target_orig_sample0' in case.tensors:
        case.check('target_orig_sample0', model.targets(views[1])[0][0])


def check_terms(
    case: Case,
    views: tuple[View, View],
    masks: tuple[Masks, ...],
    prefix: str,
    options: dict[str, Any],
) -> None:
    model = build_cross_scale(case, **options)
    terms = model(views, masks)
    case.check(f'{prefix}loss_reconstruction_fine', terms['reconstruction_coarse'])
    case.check(f'{prefix}loss_reconstruction_coarse', terms['reconstruction_fine'])
    total = sum(terms.values())
    case.check(f'{prefix}loss_total', total)
    if not prefix and 'cross_prediction' in terms:
        case.check('loss_cross_prediction', terms['cross_prediction'])
        check_grads(case, model, 'grad_cross_prediction.', terms['cross_prediction'])
    if not prefix and 'consistency' in terms:
        case.check('loss_contrastive', terms['consistency'])
        check_grads(case, model, 'grad_contrastive.', terms['consistency'])
    check_grads(case, model, f'{prefix}grad.', total)


def check_grads(case: Case, model: CrossScaleMAE, prefix: str, loss: Tensor) -> None:
    released = convert_state(case.state).mapped
    keys = names_after(case, f'expected.{prefix}')
    assert keys
    for name, grad in gradients(model, {k: released[k] for k in keys}, loss).items():
        case.check(f'{prefix}{name}', grad)
    unused = gradients(model, {'norm': 'encoder.norm.weight'}, loss)['norm']
    assert unused is None, 'the released encoder LayerNorm gets no gradient'


def check_predictor(case: Case, views: tuple[View, View], masks: tuple[Masks, ...]) -> None:
    model = build_cross_scale(case)
    features = model.reconstruct(views, masks)[0].features[:, 1:]
    case.check('cross_prediction', model.predictor(features))
    buffers = dict(model.predictor.named_buffers())
    for name, value in buffers.items():
        case.check(f'after_train_forward.predictor.{name}', value)
    model = build_cross_scale(case).eval()
    case.check('eval.cross_prediction', model.predictor(features))
    terms = model(views, masks)
    case.check('eval.loss_cross_prediction', terms['cross_prediction'])
    case.check('eval.loss_total', sum(terms.values()))


def check_contrast(case: Case, views: tuple[View, View], masks: tuple[Masks, ...]) -> None:
    model = build_cross_scale(case)
    made = model.reconstruct(views, masks)
    for suffix, part, one, mask in zip(('crop', 'orig'), made, views, masks, strict=True):
        own, _ = model.encoding(one, mask, part.latent, part.features).pooled()
        pooled = nn.functional.normalize(own, dim=-1)
        expected = case[f'expected.contrastive_embedding_{suffix}']
        if not torch.allclose(expected.norm(dim=-1), torch.ones(len(expected)), atol=1e-3):
            pooled = own
        case.check(f'contrastive_embedding_{suffix}', pooled)


def check_loss_kinds(case: Case, views: tuple[View, View], masks: tuple[Masks, ...]) -> None:
    for kind in ('mse', 'mae', 'l1', 'l2', 'bce'):
        terms = build_cross_scale(case, loss=kind)(views, masks)
        case.check(f'loss_kind.{kind}.reconstruction_fine', terms['reconstruction_coarse'])


def test_nt_xent() -> None:
    case = Case('nt_xent')
    for prefix, temperature in (('', 0.5), ('dot.', 0.5), ('tau_0.1.', 0.1), ('tau_1.', 1.0)):
        first, second = (case[f'input.{z}'].clone().requires_grad_() for z in ('z1', 'z2'))
        loss = nt_xent(first, second, temperature=temperature)
        case.check(f'{prefix}loss', loss)
        grads = torch.autograd.grad(loss, (first, second))
        case.check(f'{prefix}grad.z1', grads[0])
        case.check(f'{prefix}grad.z2', grads[1])
    count = 2 * case.config['B']
    same = torch.eye(count // 2, dtype=torch.bool).repeat(2, 2)
    case.check('negative_mask', (~same).long())
    case.check('positive_mask', (same & ~torch.eye(count, dtype=torch.bool)).long())
    case.check_complete()


def test_sincos() -> None:
    case = Case('sincos')
    side, dim = case.config['grid'], case.config['dim']
    table = sincos(grid(side, side), dim)
    with_class = torch.cat([torch.zeros(1, dim, dtype=torch.float64), table])
    for source in ('mae', 'cross_scale', 'local_mim', 'local_mim_swin'):
        case.check(f'{source}.no_cls.float64', table)
        case.check(f'{source}.cls.float64', with_class)
        case.check(f'{source}.no_cls', table.float())
        case.check(f'{source}.cls', with_class.float())
    model = encoder(side * 8, 8, dim, 1, 4)
    assert torch.equal(model.pos_embed[0], with_class.float())
    assert gather_tokens(table[None], torch.zeros(2, 3, dtype=torch.long)).shape == (2, 3, dim)
    model.pos_embed.data = case['input.position_checkpoint']
    size = case.config['interpolate_to']
    for source in ('mae', 'cross_scale', 'local_mim'):
        learned = position_table(model, size, size)
        case.check(f'{source}.interpolated', torch.cat([model.pos_embed[:, :1], learned], dim=1))
    case.check_complete()
