"""Terms between two views beside those of another objective."""

import csv
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor
from torch.nn import functional as F

from xscale.cli import main
from xscale.errors import ConfigError, UnknownNameError
from xscale.models.groups import create_embeds
from xscale.models.position import token_centres
from xscale.models.tokens import weighted_mean
from xscale.objectives import MAE, CrossScaleMAE, LocalMIM, SatMAEGroup, SatMAETemporal, ScaleMAE
from xscale.objectives.pair_terms import PAIR_TERMS
from xscale.tasks import Pretraining
from xscale.transforms import ScaleViews
from xscale.types import View

from ..data.stack.data import write_raster
from ..tiny import DECODER, encoder, seeded
from ..tiny import pair as pair_of
from ..tiny import view as view_of

PAIR = {'predictor_hidden': 16}
GROUPS = {'visible': ['B2', 'B4', 'B8'], 'swir': ['B11', 'B12']}
LOCAL = {'taps': (0, 1), 'scales': (2, 1), 'dim': 16, 'heads': 2}
#: Each place overlaps no other.
APART = torch.arange(4)[:, None].double() * 2 + torch.tensor([0.0, 0, 1, 1])

type Views = tuple[View, ...]


def build(kind: Callable[..., Any], pair: object = PAIR, **options: Any) -> Any:
    sides = {'img_size': 64, 'patch_size': 16} if kind is ScaleMAE else {}
    net = encoder(**sides)
    torch.manual_seed(1)
    if kind is SatMAEGroup:
        options = {'embeds': create_embeds(net, {'swir': 2}), 'groups': GROUPS, **options}
    if kind is LocalMIM:
        weights = {'cross_prediction': 0.0} if pair is not None else {}
        options = LOCAL | options | {'weights': weights | options.get('weights', {})}
    else:
        head = {'head_dim': 16} if kind is ScaleMAE else {}
        options = DECODER | head | options
    return kind(net, pair=pair, **options)


def own_terms(kind: Any) -> tuple[str, ...]:
    return ('local_0', 'local_1') if kind is LocalMIM else tuple(kind.terms)


def bands(view: View) -> View:
    """Give a view five bands."""
    image = torch.randn(len(view.image), 5, *view.image.shape[-2:], generator=seeded(7))
    return replace(view, image=(image + view.image[:, :1]) * view.valid)


def dates(view: View) -> View:
    """Make two dates of each image of a view, one of them a little brighter."""
    parts = {n: getattr(view, n).repeat_interleave(2, 0) for n in ('gsd', 'origin', 'valid')}
    image = torch.stack([view.image, view.image + 0.1], 1).flatten(0, 1) * parts['valid']
    time = torch.tensor([[3.0, 0, 10], [15, 6, 10]]).repeat(len(view.image), 1)
    return replace(view, image=image, time=time, frames=2, **parts)


def look(kind: Any, valid: Sequence[Tensor] | None = None) -> Views:
    """Return a fine and a coarse view; a fine one of twice the pixels for Scale-MAE."""
    sides = (128, 64) if kind is ScaleMAE else (32, 32)
    fine, coarse = (
        view_of(
            side,
            side,
            gsd=gsd,
            origin=origin,
            seed=seed,
            valid=None if valid is None else valid[seed],
        )
        for seed, (side, gsd, origin) in enumerate(
            zip(sides, (1.0, 4.0), ((5.0, 11.0), (0.0, 0.0)), strict=True)
        )
    )
    change = {SatMAEGroup: bands, SatMAETemporal: dates}.get(kind, lambda view: view)
    return change(fine), change(coarse)


def total(terms: dict[str, Tensor]) -> Tensor:
    return torch.stack(list(terms.values())).sum()


KINDS = [MAE, ScaleMAE, SatMAEGroup, SatMAETemporal, LocalMIM]
DECODED = KINDS[:-1]
OPTIONS: dict[Any, dict[str, Any]] = {SatMAETemporal: {'frames': 2}}


def made(kind: Any, pair: object = PAIR, **options: Any) -> Any:
    return build(kind, pair, **OPTIONS.get(kind, {}) | options)


@pytest.mark.parametrize('kind', KINDS)
def test_the_terms_and_what_they_train(kind: Any) -> None:
    model = made(kind)
    assert (model.views, kind.views) == (2, 2 if kind is ScaleMAE else 1)
    terms = model(look(kind), generator=seeded(), footprint=APART)
    between = PAIR_TERMS[:1] if kind is LocalMIM else PAIR_TERMS
    assert set(terms) == {*own_terms(kind), *between}
    deepest = model.encoder.blocks[-1].mlp.fc2.weight
    for name in between:
        assert torch.autograd.grad(terms[name], deepest, retain_graph=True)[0].any(), name
    total(terms).backward()
    trained = {n: p.grad for n, p in model.named_parameters() if p.requires_grad}
    assert [n for n, grad in trained.items() if grad is None] == []
    assert any(n.startswith('predictor.') for n in trained) == (kind is not LocalMIM)


@pytest.mark.parametrize('kind', DECODED)
@pytest.mark.parametrize('wanted', [('consistency',), ('cross_prediction',), PAIR_TERMS])
def test_alone_they_leave_nothing_without_a_gradient(kind: Any, wanted: tuple[str, ...]) -> None:
    """DistributedDataParallel stops at a parameter that is trained and has none."""
    names = (*kind.terms, *PAIR_TERMS)
    model = made(kind, weights={name: float(name in wanted) for name in names})
    decoded: list[int] = []
    model.decoder.register_forward_hook(lambda *_: decoded.append(1))
    terms = model(look(kind), generator=seeded(), footprint=APART)
    assert set(terms) == set(wanted)
    assert bool(decoded) == ('cross_prediction' in wanted)
    total(terms).backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name


@pytest.mark.parametrize('kind', KINDS)
def test_without_weight_nothing_changes(kind: Any) -> None:
    """Bit for bit: the weights to start from, the terms and the gradients."""
    views = look(kind)[:1]
    idle = made(kind, weights=dict.fromkeys(PAIR_TERMS, 0.0))
    assert (idle.views, idle.whole) == (kind.views, False)
    results = []
    for model in (made(kind, None), idle):
        start = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        terms = model(views, generator=seeded())
        total(terms).backward()
        results.append((start, terms, {n: p.grad for n, p in model.named_parameters()}))
    for first, second in zip(*results, strict=True):
        assert first.keys() == second.keys()
        for name, one in first.items():
            other = second[name]
            assert (one is None) == (other is None), name
            assert one is None or torch.equal(one, other), name


@pytest.mark.parametrize('kind', KINDS)
def test_own_terms_stay_as_they_are(kind: Any) -> None:
    """Beside terms between views, of the same views, masks and weights to start from."""
    model, plain, views = made(kind), made(kind, None), look(kind)
    alone = plain(views[:1], generator=seeded())
    terms = model(views, generator=seeded(), footprint=APART)
    assert {name: terms[name] for name in alone} == alone


@pytest.mark.parametrize(
    'pair',
    [
        PAIR,
        PAIR | {'align': 'index', 'direction': 'fine_to_coarse', 'stop_gradient': False},
        PAIR | {'predictor_norm': 'token_batch', 'predictor_tokens': 16, 'temperature': 0.1},
        PAIR | {'negatives': 'both', 'consistency': 'infonce'},
    ],
)
def test_in_mae_they_are_those_of_cross_scale_mae(pair: dict[str, Any]) -> None:
    """And its weights are the same by name."""
    model, views = made(MAE, pair), pair_of()
    whole = CrossScaleMAE(encoder(), **DECODER | pair)
    whole.load_state_dict(model.state_dict())
    masks = whole.draw_masks(views, seeded())
    expected, terms = (one(views, masks, footprint=APART) for one in (whole, model))
    for name in terms:
        other = 'reconstruction_fine' if name == 'reconstruction' else name
        torch.testing.assert_close(terms[name], expected[other])
    drawn = model(views, generator=seeded(), footprint=APART)
    torch.testing.assert_close(drawn, terms)


@torch.no_grad()
@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('negatives', ['encoder', 'none'])
def test_views_that_are_one_agree(kind: Any, negatives: str) -> None:
    """More than views of different places."""
    model = made(kind, PAIR | {'negatives': negatives})
    views = look(kind)
    same = model.seen(views)
    masks = model.draw_masks([views[0], same], seeded())
    masks = masks[:1] * 2
    alike = model([views[0], same], masks, footprint=APART)['consistency']
    turned = torch.arange(len(same.image)).roll(same.frames)
    moved = replace(same, image=same.image[turned])
    elsewhere = model([views[0], moved], masks, footprint=APART)['consistency']
    assert alike < elsewhere - 1e-3
    if negatives == 'none':
        torch.testing.assert_close(alike, torch.tensor(0.0), atol=1e-6, rtol=0)


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('negatives', ['encoder', 'decoder', 'both', 'none'])
def test_a_place_without_data_counts_in_no_term(kind: Any, negatives: str) -> None:
    """Whatever stands there instead."""
    noise = torch.rand(2, 4, 1, 4, 4, generator=seeded(2))
    noise[:, 0] = 0.0
    sides = (128, 64) if kind is ScaleMAE else (32, 32)
    valid = [F.interpolate(own, (side, side)) > 0.4 for own, side in zip(noise, sides, strict=True)]
    model, views = made(kind, PAIR | {'negatives': negatives}), look(kind, valid)
    masks, results = model.draw_masks(views, seeded()), []
    for value in (0.0, 9.0):
        filled = []
        for view in views:
            gone = ~view.valid.flatten(1).any(1)
            assert gone.sum() == view.frames
            image = view.image.masked_fill(gone[:, None, None, None], value)
            filled.append(replace(view, image=image))
        model.zero_grad()
        results.append(model(filled, masks, footprint=APART))
        total(results[-1]).backward()
        grads = [p.grad for p in model.parameters() if p.grad is not None]
        assert all(grad.isfinite().all() for grad in grads)
    for name, term in results[0].items():
        torch.testing.assert_close(results[1][name], term, msg=name)


@torch.no_grad()
def test_pooling_counts_each_token_by_its_own_patch() -> None:
    """Of the second date, of which the upper half is missing, no token there counts."""
    model, views = made(SatMAETemporal), look(SatMAETemporal)
    valid = views[0].valid.clone()
    valid[1::2, :, :16] = False
    view = replace(views[0], valid=valid)
    (masks,) = model.draw_masks([view], seeded())
    latent = torch.randn(4, 1 + masks.keep.shape[1], 32, generator=seeded())
    own = model.encoding(view, masks, latent, torch.zeros(4, 33, 32))
    counted = ~((masks.keep >= 16) & (masks.keep < 24))
    assert not counted.all()
    expected = weighted_mean(latent[:, 1:], counted[..., None].float())
    torch.testing.assert_close(own.pooled()[0], expected)


@torch.no_grad()
@pytest.mark.parametrize('kind', DECODED)
def test_features_at_the_same_ground(kind: Any) -> None:
    """Features that are places on the ground, and a head that lets them pass: no error is left."""
    model = made(kind)
    model.predictor = torch.nn.Identity()
    fine, coarse = look(kind)
    fine = replace(fine, origin=torch.full_like(fine.origin, 16.0 if kind is not ScaleMAE else 64))
    views = model.seen([fine]), coarse
    features = []
    for view in views:
        places = token_centres(view, model.encoder.patch_embed.patch_size[0])[:: view.frames]
        # Where a patch has two tokens, these lie around its place.
        steps = (-1.0, 1.0) if kind in (SatMAEGroup, SatMAETemporal) else (0.0,)
        features.append(torch.cat([places + step for step in steps], 1))
    masks = model.draw_masks([fine, coarse], seeded())
    latent = torch.zeros(4, masks[0].keep.shape[1], 32)
    parts = [(latent, one) for one in features]
    assert model.pair_terms(parts, views, masks, None)['cross_prediction'] < 1e-6
    model.pair = replace(model.pair, align='index')
    assert model.pair_terms(parts, views, masks, None)['cross_prediction'] > 1


def test_scale_mae_predicts_from_the_fine_view_alone() -> None:
    """Its second view is the whole tile, which is not what the encoder fills in."""
    model, (fine, coarse) = made(ScaleMAE), look(ScaleMAE)
    masks = model.draw_masks([fine, coarse], seeded())
    assert [mask.masked.shape for mask in masks] == [(4, 16), (4, 16)]
    wide = view_of(64, 96, gsd=4.0)
    assert model.draw_masks([fine, wide], seeded())[1].masked.shape == (4, 24)
    terms = model([fine, coarse], masks)
    other = model([fine, replace(coarse, image=coarse.image.flip(0))], masks)
    for name in ScaleMAE.terms:
        assert torch.equal(terms[name], other[name])
    assert all(terms[name] != other[name] for name in PAIR_TERMS)
    assert len(model.pictures([fine, coarse], masks)) == 1


@pytest.mark.parametrize('coarser', [False, True])
def test_a_coarse_view_of_the_whole_tile_with_a_zoom(coarser: bool) -> None:
    """The fine view is as without it, and the coarse one as without a zoom."""
    image = torch.randn(3, 3, 96, 96, generator=seeded())
    valid, gsd = torch.ones(3, 1, 96, 96, dtype=torch.bool), torch.ones(3)
    other = (image[..., :48, :48], valid[..., :48, :48], 2 * gsd) if coarser else None
    plain, zoomed, whole = (
        ScaleViews(32, **given)(image, valid, gsd, seeded(1), other)
        for given in ({}, {'zoom': 2}, {'zoom': 2, 'whole': True})
    )
    assert (len(zoomed), len(whole)) == (2 if coarser else 1, 2)
    for name in ('image', 'gsd', 'origin', 'valid'):
        assert torch.equal(getattr(whole[0], name), getattr(zoomed[0], name)), name
        assert torch.equal(getattr(whole[1], name), getattr(plain[1], name)), name
    assert whole[0].image.shape[-1] == 64


@pytest.mark.parametrize('kind', DECODED)
def test_pictures_and_local_terms(kind: Any) -> None:
    satmae = kind in (SatMAEGroup, SatMAETemporal)
    model, views = made(kind, **({} if satmae else {'local': LOCAL})), look(kind)
    terms = model(views, generator=seeded(), footprint=APART)
    own = () if satmae else ('local_0', 'local_1')
    assert tuple(terms) == (*kind.terms, *PAIR_TERMS, *own)
    shown = model.pictures(views, model.draw_masks(views, seeded()))
    for view, pictures in zip(views, shown, strict=False):
        assert pictures[0].image.shape == view.image.shape


def test_what_is_not_trained_is_not_shown() -> None:
    model = made(MAE, weights={'reconstruction': 0.0})
    views = look(MAE)
    assert model.pictures(views, model.draw_masks(views, seeded())) == [[], []]


def test_local_mim_with_nothing_but_consistency() -> None:
    model = made(LocalMIM, weights={'local_0': 0.0, 'local_1': 0.0})
    views = look(LocalMIM)
    terms = model(views, generator=seeded(), footprint=APART)
    assert list(terms) == ['consistency']
    assert model.pictures(views, model.draw_masks(views, seeded())) == [[], []]
    terms['consistency'].backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name


@pytest.mark.parametrize(
    ('pair', 'message'),
    [
        ({'aligned': 'ground'}, "unknown option of pair 'aligned'; choose one of: align, "),
        ({'align': 'sky'}, "unknown align 'sky'; choose one of: ground, index"),
        ({'negatives': 'all'}, "unknown negatives 'all'"),
        (True, 'pair True: options by name are needed'),
    ],
)
def test_what_does_not_fit_is_said(pair: object, message: str) -> None:
    for kind in KINDS:
        with pytest.raises((ConfigError, UnknownNameError), match=message):
            made(kind, pair)
    with pytest.raises((ConfigError, UnknownNameError), match=message):
        Pretraining(model='test_vit', objective='MAE', options={'pair': pair}, size=64)


def test_what_cannot_be_is_said() -> None:
    with pytest.raises(ConfigError, match=r'LocalMIM has no decoder .* weights: {cross_predic'):
        made(LocalMIM, weights={'cross_prediction': 1.0})
    with pytest.raises(ConfigError, match='CrossScaleMAE has the terms between views'):
        made(CrossScaleMAE)
    with pytest.raises(ConfigError, match='1 view came; terms between views need a fine and a'):
        made(MAE)(look(MAE)[:1], generator=seeded())
    with pytest.raises(UnknownNameError, match="unknown term 'consistency'"):
        made(MAE, None, weights={'consistency': 1.0})
    wrong = PAIR | {'predictor_norm': 'token_batch', 'predictor_tokens': 9}
    with pytest.raises(ConfigError, match='built for 9 tokens and 16 came'):
        made(MAE, wrong)(look(MAE), generator=seeded())


def test_a_task_fits_the_head_to_its_size_and_cuts_two_views() -> None:
    pair = PAIR | {'predictor_norm': 'token_batch'}
    options = DECODER | {'head_dim': 16, 'pair': pair}
    task = Pretraining(model='test_vit', objective='ScaleMAE', options=options, size=64, gsd=1.0)
    views = task.make_views({'image': torch.rand(2, 3, 160, 160)}, seeded())
    assert [view.image.shape[-1] for view in views] == [128, 64]
    assert task.objective(views, generator=seeded()).keys() == task.objective.weights.keys()
    assert task.hparams['options']['pair'] == pair


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place that Sentinel-2 shows in six bands."""
    path = tmp_path_factory.mktemp('sentinel2')
    noise = np.random.default_rng(0).integers(1, 4000, (6, 160, 160), dtype=np.uint16)
    names = ['B02', 'B03', 'B04', 'B08', 'B11', 'B12']
    write_raster(path / 'x_20190114.tif', noise, names=names)
    return path


@pytest.mark.parametrize('name', ['scale_mae', 'satmae_group'])
def test_two_steps_from_the_recipe(name: str, folder: Path, tmp_path: Path) -> None:
    given: dict[str, Any] = {'pair': {'predictor_hidden': 16}, **DECODER}
    given |= {'head_dim': 16} if name == 'scale_mae' else {}
    bands = ['red', 'green', 'blue']
    args: dict[str, Any] = {'model': 'test_vit', 'size': 32}
    if name == 'satmae_group':
        bands = ['B2', 'B3', 'B4', 'B8', 'B11', 'B12']
        given |= {'bands': bands, 'groups': {'visible': bands[:4], 'swir': bands[4:]}}
        args['in_channels'] = 6
    logger = {'class_path': 'CSVLogger', 'init_args': {'save_dir': str(tmp_path)}}
    trainer = {'max_steps': 2, 'logger': [logger], 'log_every_n_steps': 1}
    config = tmp_path / 'x.yaml'
    text = yaml.safe_load(Path(f'tasks/pretrain/{name}.yaml').read_text())
    text['model']['init_args'] |= args
    text['model']['init_args']['options'] |= given
    text['trainer'] |= trainer
    config.write_text(yaml.safe_dump(text, sort_keys=False))
    command = ['fit', '-c', str(config), '-c', 'datasets/folder.yaml', '--data.paths', str(folder)]
    command += ['--data.bands', f'[{", ".join(bands)}]', '--data.batch_size', '4']
    command += ['--data.tile_size', '80', '--data.num_workers', '0']
    assert main(command) == 0
    (path,) = tmp_path.rglob('metrics.csv')
    rows = [row for row in csv.DictReader(path.open(newline='')) if row['train_loss']]
    assert len(rows) == 2
    for term in PAIR_TERMS:
        assert all(np.isfinite(float(row[f'train_{term}'])) for row in rows), term
    assert len(list(tmp_path.rglob('last.ckpt'))) == 1
