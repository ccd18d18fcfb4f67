"""Objectives on views of several groups of bands: each view's own bands count, and no others."""

from dataclasses import replace

import pytest
import torch

from xscale.models.groups import create_embeds
from xscale.objectives import MAE, CrossScaleMAE
from xscale.types import View

from ..tiny import DECODER, encoder, pair, seeded

GROUPS = {'wide': 5, 'pan': 1}
CHANNELS = (3, 5, 1)


def widened(view: View, group: torch.Tensor, filling: float = 0.0) -> View:
    """Give a view five channels, of which each image has those of its group."""
    image = torch.randn(len(group), 5, *view.image.shape[2:], generator=seeded(5))
    for number, which in enumerate(group.tolist()):
        image[number, CHANNELS[which] :] = filling
    return replace(view, image=image * view.valid, group=group)


def grouped(kind: type[MAE] = MAE, **options: object) -> MAE:
    model = encoder()
    torch.manual_seed(1)
    return kind(model, embeds=create_embeds(model, GROUPS), **DECODER | options)  # type: ignore[arg-type]


@pytest.mark.parametrize('loss', ['mse', 'l1', 'l2', 'ssim', 'mse_ssim'])
@pytest.mark.parametrize('norm_pix', [False, True])
def test_the_loss_of_one_group_is_that_of_a_model_of_its_own(loss: str, norm_pix: bool) -> None:
    options = {'loss': loss, 'norm_pix': norm_pix}
    objective = grouped(**options)
    view = widened(pair()[0], torch.full((4,), 1))
    masks = objective.draw_masks([view], seeded())
    # A model of five bands with the weights of the second group.
    model = encoder(in_chans=5)
    single = MAE(model, **DECODER | options)  # type: ignore[arg-type]
    state = objective.state_dict()
    own = {k: v for k, v in state.items() if not k.startswith(('embeds.', 'heads.'))}
    own |= {f'encoder.patch_embed.proj.{k}': state[f'embeds.wide.proj.{k}'] for k in WB}
    own |= {f'decoder.pred.{k}': state[f'heads.wide.{k}'] for k in WB}
    single.load_state_dict(own)
    expected = single([replace(view, group=None)], masks)['reconstruction']
    torch.testing.assert_close(objective([view], masks)['reconstruction'], expected)


WB = ('weight', 'bias')


def test_mixed_groups_are_the_mean_over_their_patches() -> None:
    objective = grouped()
    view = widened(pair()[0], torch.tensor([0, 1, 2, 1]))
    masks = objective.draw_masks([view], seeded())
    whole = objective([view], masks)['reconstruction']
    each = []
    for number in range(4):
        rows = slice(number, number + 1)
        one = View(*(getattr(view, n)[rows] for n in ('image', 'gsd', 'origin', 'valid')))
        one = replace(one, group=view.group[rows])  # type: ignore[index]
        mask = [type(m)(m.keep[rows], m.restore[rows], m.masked[rows]) for m in masks]
        each.append(objective([one], mask)['reconstruction'])
    torch.testing.assert_close(whole, torch.stack(each).mean())


@pytest.mark.parametrize('loss', ['mse', 'ssim'])
def test_channels_a_group_lacks_do_not_matter(loss: str) -> None:
    objective = grouped(loss=loss)
    group = torch.tensor([0, 2, 2, 0])
    view, other = widened(pair()[0], group), widened(pair()[0], group, 9.0)
    if loss == 'ssim':
        # The range of all values sets its constants, so they stay as they are.
        other = view
    masks = objective.draw_masks([view], seeded())
    first = objective([view], masks)['reconstruction']
    assert torch.equal(objective([other], masks)['reconstruction'], first)


def test_views_of_two_groups_agree_across_scales() -> None:
    objective = grouped(CrossScaleMAE, predictor_hidden=16)
    fine, coarse = pair()
    views = widened(fine, torch.tensor([0, 0, 1, 2])), widened(coarse, torch.tensor([1, 2, 2, 0]))
    terms = objective(views, generator=seeded())
    assert set(terms) == set(CrossScaleMAE.terms)
    sum(terms.values()).backward()  # type: ignore[union-attr]
    lacking = [
        name for name, p in objective.named_parameters() if p.requires_grad and p.grad is None
    ]
    assert lacking == []
    for name in GROUPS:
        assert objective.embeds[name].proj.weight.grad.any()  # type: ignore[union-attr]
        assert objective.heads[name].weight.grad.any()  # type: ignore[union-attr]


def test_pictures_show_the_bands_of_each_group() -> None:
    objective = grouped()
    view = widened(pair()[0], torch.tensor([0, 1, 2, 1]))
    masks = objective.draw_masks([view], seeded())
    made = objective.reconstruct([view], masks)[0]
    picture = objective.picture(made, view, masks[0])
    assert picture.shape == view.image.shape
    assert not picture[2, 1:].any()
    assert picture[1].any(dim=(1, 2)).all()
