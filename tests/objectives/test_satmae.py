"""SatMAE on groups of bands and on dates: what is hidden stays hidden, and what counts counts."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from xscale.errors import ConfigError, UnknownNameError
from xscale.models.groups import create_embeds
from xscale.objectives import SatMAEGroup, SatMAETemporal
from xscale.objectives.satmae import SatMAE
from xscale.types import View

from ..tiny import DECODER, encoder, seeded
from ..tiny import view as tiny_view

GROUPS = {'visible': ['B2', 'B4', 'B8'], 'swir': ['B11', 'B12']}
#: Neither group's bands stand one after another.
BANDS = ['B2', 'B11', 'B4', 'B8', 'B12']


def grouped(bands: list[str] = BANDS, **options: object) -> SatMAEGroup:
    model = encoder()
    torch.manual_seed(1)
    embeds = create_embeds(model, {'swir': 2})
    return SatMAEGroup(model, embeds=embeds, groups=GROUPS, bands=bands, **DECODER | options)  # type: ignore[arg-type]


def dated(**options: object) -> SatMAETemporal:
    torch.manual_seed(1)
    return SatMAETemporal(encoder(), frames=3, **DECODER | options)  # type: ignore[arg-type]


def bands(height: int = 32, width: int = 32, valid: torch.Tensor | None = None) -> View:
    own = tiny_view(height, width, valid=valid)
    image = torch.randn(4, 5, height, width, generator=seeded(3)) * own.valid
    return replace(own, image=image)


def dates(height: int = 32, width: int = 32, valid: torch.Tensor | None = None) -> View:
    """Two places at three dates."""
    time = torch.tensor([[y, m, 10] for y, m in ((3, 0), (9, 5), (15, 11))] * 2).float()
    return replace(tiny_view(height, width, batch=6, valid=valid), time=time, frames=3)


type Build = Callable[..., SatMAE]
type Look = Callable[..., View]
BOTH = pytest.mark.parametrize(('build', 'look'), [(grouped, bands), (dated, dates)])


@BOTH
@pytest.mark.parametrize('same_mask', [False, True])
def test_what_is_hidden_does_not_leak(build: Build, look: Look, same_mask: bool) -> None:
    objective, view = build(same_mask=same_mask), look()
    masks = objective.draw_masks([view], seeded())
    hidden = objective.hidden(view, masks[0])
    assert hidden.float().mean().item() == pytest.approx(0.75, abs=0.06)
    other = replace(view, image=view.image.masked_fill(hidden, 9.0))
    made, again = (objective.reconstruct([v], masks)[0] for v in (view, other))
    assert torch.equal(made.prediction, again.prediction)
    shown = replace(view, image=view.image.masked_fill(~hidden, 9.0))
    assert not torch.equal(objective.reconstruct([shown], masks)[0].prediction, made.prediction)


@BOTH
def test_one_mask_for_all_tokens_of_a_patch(build: Build, look: Look) -> None:
    view = look()
    for same_mask in (True, False):
        objective = build(same_mask=same_mask)
        (masks,) = objective.draw_masks([view], seeded())
        each = masks.masked.unflatten(1, (objective.repeats(view), -1))
        assert (each == each[:, :1]).all().item() is same_mask


@BOTH
def test_a_picture_keeps_what_is_seen(build: Build, look: Look) -> None:
    objective, view = build(norm_pix=True), look()
    masks = objective.draw_masks([view], seeded())
    made = objective.reconstruct([view], masks)[0]
    picture, hidden = objective.picture(made, view, masks[0]), objective.hidden(view, masks[0])
    hidden = hidden.expand_as(picture)
    assert torch.equal(picture[~hidden], view.image[~hidden])
    assert not torch.isclose(picture[hidden], view.image[hidden]).all()


@BOTH
@pytest.mark.parametrize('loss', ['mse', 'l1', 'l2'])
@pytest.mark.parametrize('norm_pix', [False, True])
def test_pixels_without_data_count_nothing(
    build: Build, look: Look, loss: str, norm_pix: bool
) -> None:
    """The loss of images of which a corner lacks is that of their other patches."""
    objective = build(loss=loss, norm_pix=norm_pix)
    whole = look()
    valid = torch.ones(len(whole.image), 1, 32, 32, dtype=torch.bool)
    valid[..., :16, :16] = False
    view = replace(whole, valid=valid)
    masks = objective.draw_masks([view], seeded())
    made = objective.reconstruct([view], masks)[0]
    found = objective.reconstruction_loss(made, view, masks[0])
    hidden = valid.expand(-1, whole.image.shape[1], -1, -1)[..., ::8, ::8][:, 0].flatten(1)
    hidden = hidden.reshape(len(masks[0].masked), -1)
    times = masks[0].masked.shape[1] // hidden.shape[1]
    fewer = replace(masks[0], masked=masks[0].masked & hidden.repeat(1, times))
    expected = objective.reconstruction_loss(made, whole, fewer)
    torch.testing.assert_close(found, expected)
    nothing = replace(view, valid=torch.zeros_like(valid))
    assert objective.reconstruction_loss(made, nothing, masks[0]) == 0


@BOTH
def test_any_size(build: Build, look: Look) -> None:
    terms = build()([look(48, 24)], generator=seeded())
    assert terms['reconstruction'].isfinite()


@BOTH
def test_every_parameter_learns(build: Build, look: Look) -> None:
    objective = build()
    objective([look()], generator=seeded())['reconstruction'].backward()
    lacking = [n for n, p in objective.named_parameters() if p.requires_grad and p.grad is None]
    assert lacking == []


def test_the_order_of_channels_does_not_matter() -> None:
    objective, view = grouped(), bands()
    masks = objective.draw_masks([view], seeded())
    order = [4, 2, 0, 3, 1]
    other = grouped([BANDS[number] for number in order])
    turned = replace(view, image=view.image[:, order])
    expected = objective([view], masks)['reconstruction']
    torch.testing.assert_close(other([turned], masks)['reconstruction'], expected)
    # As released it does.
    released = [
        grouped(own.layout.bands, released_order=True)([look], masks)['reconstruction']  # type: ignore[attr-defined]
        for own, look in ((objective, view), (other, turned))
    ]
    assert not torch.isclose(*released)


def test_dates_are_told_apart_and_their_order_does_not_matter() -> None:
    objective, view = dated(), dates()
    own = objective.layout.tokens(objective.encoder, view, objective.embeds, 'index')
    turned = torch.tensor([2, 0, 1, 5, 3, 4])
    assert view.time is not None
    moved = replace(view, image=view.image[turned], time=view.time[turned])
    found = objective.layout.tokens(objective.encoder, moved, objective.embeds, 'index')
    torch.testing.assert_close(found, own.unflatten(1, (3, -1))[:, [2, 0, 1]].flatten(1, 2))
    undated = replace(view, time=None)
    assert not torch.equal(
        objective.layout.tokens(objective.encoder, undated, objective.embeds, 'index'), own
    )


def test_a_group_sees_the_others() -> None:
    objective, view = grouped(), bands()
    masks = objective.draw_masks([view], seeded())
    swir = torch.tensor([1, 4])
    other = replace(view, image=view.image.index_fill(1, swir, 2.0))
    made, again = (objective.reconstruct([v], masks)[0] for v in (view, other))
    visible = objective.by_group(again.prediction - made.prediction)[:, :16]
    assert (visible.abs().amax(-1) > 1e-4)[masks[0].masked[:, :16]].all()


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'bands': ['B2', 'B4', 'B8', 'B11']}, 'do not divide'),
        ({'group_dim': 30}, 'multiple of 4'),
        ({'init': 'local'}, 'xavier'),
    ],
)
def test_what_does_not_fit_is_said(options: dict[str, object], message: str) -> None:
    def use() -> None:
        grouped(**options)([bands()], generator=seeded())  # type: ignore[arg-type]

    with pytest.raises(ConfigError, match=message):
        use()


@pytest.mark.parametrize('options', [{'loss': 'ssim'}, {'position': 'table'}])
def test_what_there_is_not(options: dict[str, object]) -> None:
    for build in (grouped, dated):
        with pytest.raises(UnknownNameError):
            build(**options)  # type: ignore[arg-type]
