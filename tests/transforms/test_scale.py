"""Views: the filter, the crops, and where on the ground they lie."""

import pytest
import torch
from kornia.augmentation import RandomResizedCrop
from torch import Tensor
from torch.nn import functional as F

from xscale.errors import ConfigError
from xscale.models.position import token_centres
from xscale.models.tokens import patchify
from xscale.transforms import AntialiasedCrop, ScaleViews
from xscale.types import View

from ..tiny import seeded

TILE, GSD = 128, 0.5


def whole(batch: int, side: int = TILE) -> Tensor:
    return torch.ones(batch, 1, side, side, dtype=torch.bool)


def fields(views: tuple[View, ...]) -> list[Tensor]:
    return [getattr(v, name) for v in views for name in ('image', 'gsd', 'origin', 'valid')]


@pytest.mark.parametrize(('size', 'scale'), [(16, (0.25, 0.9)), (48, (0.3, 1.0)), (96, (0.1, 0.4))])
def test_filter_equals_interpolate(size: int, scale: tuple[float, float]) -> None:
    image = torch.randn(4, 2, 64, 64, generator=seeded(), dtype=torch.float64)
    torch.manual_seed(0)
    crop = AntialiasedCrop(size, scale)
    params = crop.forward_parameters(image.shape)
    out = crop(image, params=params)
    assert len({tuple(box.flatten().tolist()) for box in params['src']}) > 1
    for one, corners, result in zip(image, params['src'].long(), out, strict=True):
        (left, top), (right, bottom) = corners[0].tolist(), corners[2].tolist()
        cut = one[None, :, top : bottom + 1, left : right + 1]
        expected = F.interpolate(cut, (size, size), mode='bilinear', antialias=True)
        torch.testing.assert_close(result[None], expected, rtol=0, atol=1e-12)


def test_checkerboard_comes_out_flat() -> None:
    """The reason for the filter: kornia's own crop turns the board into other patterns."""
    board = (torch.arange(256)[:, None] + torch.arange(256)) % 2 * 2.0 - 1
    board = board.expand(1, 1, 256, 256)
    _, coarse = ScaleViews(64)(board, whole(1, 256), torch.ones(1), seeded())
    assert coarse.image.abs().max() < 0.01
    theirs = RandomResizedCrop((64, 64), scale=(1.0, 1.0), ratio=(1.0, 1.0))(board)
    assert theirs.std() > 0.3


@pytest.mark.parametrize('shared', [False, True])
def test_crops_per_sample(shared: bool) -> None:
    tiles = torch.randn(1, 3, TILE, TILE, generator=seeded()).expand(5, -1, -1, -1)
    views = ScaleViews(32, flip=False, shared_crop=shared)
    fine, coarse = views(tiles, whole(5), torch.ones(5), seeded())
    assert len({tuple(o) for o in fine.origin.tolist()}) == (1 if shared else 5)
    assert torch.equal(fine.image[0], fine.image[1]) is shared
    assert torch.equal(coarse.image[0], coarse.image[1])
    assert not coarse.origin.any()


@pytest.mark.parametrize('ratio', [(1.0, 1.0), (0.7, 1.4)])
@pytest.mark.parametrize('flip', [False, True])
@pytest.mark.parametrize('height', [TILE, 96])
def test_marker_lies_where_geometry_says(
    ratio: tuple[float, float], flip: bool, height: int
) -> None:
    """A blob at a known place is found there in both views, by pixels and by tokens."""
    batch, spread = 12, 3.0
    share = 0.35 + 0.3 * torch.rand(batch, 2, generator=seeded(1))
    place = share * torch.tensor([height, TILE])  # in pixels, (down, right)
    rows, cols = torch.arange(height) + 0.5, torch.arange(TILE) + 0.5
    square = (rows[None, :, None] - place[:, :1, None]) ** 2 + (cols - place[:, 1:, None]) ** 2
    tiles = torch.exp(-square / (2 * spread**2))[:, None]
    valid = torch.ones_like(tiles, dtype=torch.bool)
    gsd = GSD * torch.arange(1, batch + 1)
    views = ScaleViews(64, scale=(0.6, 0.75), ratio=ratio, flip=flip)
    fine, coarse = views(tiles, valid, gsd, seeded(2))

    found = [centroid(view) / gsd[:, None] for view in (fine, coarse)]
    turned = torch.tensor([height, TILE]) - place
    upright = (found[1] - place).abs() < 0.1
    assert (upright | ((found[1] - turned).abs() < 0.1)).all()
    assert upright.all() is not flip
    assert (~upright).any(0).all() == flip
    assert (found[0] - found[1]).abs().max() < 0.1
    for view, where in zip((fine, coarse), found, strict=True):
        brightest = patchify(view.image, 8).mean(-1).argmax(1)
        off = token_centres(view, 8) / gsd[:, None, None] - where[:, None]
        assert torch.equal((off / view.pixel[:, None]).norm(dim=-1).argmin(1), brightest)


def centroid(view: View) -> Tensor:
    """Return the centre of brightness in metres (down, right), shape (B, 2)."""
    weight = view.image.flatten(1)[..., None]
    return (weight * token_centres(view, 1)).sum(1) / weight.sum(1)


def test_ground_sample_distance() -> None:
    tiles, gsd = torch.zeros(64, 1, TILE, TILE), torch.linspace(0.3, 10, 64)
    fine, coarse = ScaleViews(32, scale=(0.25, 0.75))(tiles, whole(64), gsd, seeded())
    torch.testing.assert_close(coarse.gsd, gsd * TILE / 32)
    area = (fine.gsd / coarse.gsd) ** 2
    assert area.min() >= 0.25 - 1e-6
    assert area.max() <= 0.75 + 1e-6
    assert area.max() - area.min() > 0.4
    assert fine.origin.min() >= 0
    assert (fine.origin + 32 * fine.pixel <= TILE * gsd[:, None] * (1 + 1e-5)).all()
    assert fine.aspect is None


def test_aspect() -> None:
    tiles = torch.zeros(64, 1, TILE, TILE)
    views = ScaleViews(32, scale=(0.2, 0.4), ratio=(0.5, 2.0))
    fine, coarse = views(tiles, whole(64), torch.full((64,), GSD), seeded())
    assert fine.aspect is not None
    assert 0.5 <= fine.aspect.min() < 0.7
    assert 1.4 < fine.aspect.max() <= 2.0
    torch.testing.assert_close(fine.pixel.prod(1).sqrt(), fine.gsd)
    torch.testing.assert_close(fine.pixel[:, 1] / fine.pixel[:, 0], fine.aspect)
    torch.testing.assert_close(coarse.pixel, torch.full((64, 2), GSD * TILE / 32))


def test_invalid_pixels_do_not_leak() -> None:
    tiles = torch.full((4, 2, TILE, TILE), 3.0)
    valid = F.avg_pool2d(torch.rand(4, 1, TILE, TILE, generator=seeded()), 9, 1, 4) > 0.5
    views = ScaleViews(48)
    first = views(tiles.where(valid, 0.0), valid, torch.ones(4), seeded(1))
    second = views(tiles.where(valid, 1e6), valid, torch.ones(4), seeded(1))
    assert all(torch.equal(*both) for both in zip(fields(first), fields(second), strict=True))
    for view in first:
        assert 0.2 < view.valid.float().mean() < 0.8
        torch.testing.assert_close(view.image, 3.0 * view.valid.expand_as(view.image))


def test_valid_mask() -> None:
    valid = whole(1)
    valid[..., : TILE // 2] = False
    tiles = torch.ones(1, 1, TILE, TILE)
    _, coarse = ScaleViews(32, flip=False)(tiles, valid, torch.ones(1), seeded())
    assert not coarse.valid[..., :16].any()
    assert coarse.valid[..., 16:].all()
    fine, coarse = ScaleViews(32)(tiles, ~whole(1), torch.ones(1), seeded())
    assert not fine.valid.any()
    assert not coarse.image.any()


def test_only_the_given_generator_is_used() -> None:
    tiles = torch.randn(6, 3, TILE, TILE, generator=seeded())
    views = ScaleViews(32, ratio=(0.8, 1.2))
    results = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        results.append(fields(views(tiles, whole(6), torch.ones(6), seeded(7))))
        assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(*both) for both in zip(*results, strict=True))
    other = fields(views(tiles, whole(6), torch.ones(6), seeded(8)))
    assert not torch.equal(results[0][0], other[0])


@pytest.mark.parametrize(
    'options',
    [{'scale': s} for s in ((0.0, 0.5), (0.7, 0.5), (0.5, 1.2))]
    + [{'ratio': r} for r in ((0.0, 1.0), (2.0, 1.0))],
)
def test_bad_ranges(options: dict[str, tuple[float, float]]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        ScaleViews(32, **options)


def test_a_coarse_view_of_another_raster_shows_the_tiles_ground() -> None:
    """The ramp of places is the same in both views, however tiles are turned over."""
    side, wide = 64, 24
    line = (torch.arange(side) + 0.5) * GSD
    tile = torch.stack(torch.meshgrid(line, line, indexing='ij')).expand(16, 2, side, side)
    step = side * GSD / wide
    line = (torch.arange(wide) + 0.5) * step
    canvas = torch.zeros(16, 2, 32, 32)
    canvas[:, :, :wide, :wide] = torch.stack(torch.meshgrid(line, line, indexing='ij'))
    there = torch.zeros(16, 1, 32, 32, dtype=torch.bool)
    there[:, :, :wide, :wide] = True
    valid, gsd = whole(16, side), torch.full((16,), GSD)
    both = ScaleViews(16)(tile, valid, gsd, seeded(1), (canvas, there, torch.full((16,), step)))
    alone = ScaleViews(16)(tile, valid, gsd, seeded(1))
    for one, other in zip(both, alone, strict=True):
        torch.testing.assert_close(one.image, other.image, rtol=0, atol=0.35 * GSD)
        assert torch.equal(one.valid, other.valid)
        torch.testing.assert_close(one.gsd, other.gsd)
        torch.testing.assert_close(one.origin, other.origin)
    assert torch.equal(both[0].image, alone[0].image)
    assert len({tuple(corner.round().tolist()) for corner in both[1].image[..., 0, 0]}) == 4


def ramp(side: int, step: float, batch: int = 16) -> Tensor:
    """Return images whose two bands are the metres down and right."""
    line = (torch.arange(side) + 0.5) * step
    return torch.stack(torch.meshgrid(line, line, indexing='ij')).expand(batch, 2, side, side)


def test_zoom_gives_the_fine_view_alone_more_pixels() -> None:
    tiles, gsd = ramp(64, GSD), torch.full((16,), GSD)
    (large,) = ScaleViews(16, zoom=2)(tiles, whole(16, 64), gsd, seeded(1))
    small, _ = ScaleViews(16)(tiles, whole(16, 64), gsd, seeded(1))
    assert large.image.shape == (16, 2, 32, 32)
    torch.testing.assert_close(large.gsd, small.gsd / 2)
    torch.testing.assert_close(large.origin, small.origin)
    off = F.avg_pool2d(large.image, 2) - small.image
    assert (off.abs().amax((1, 2, 3)) < 0.2 * small.gsd).all()
    assert off.mean((2, 3)).abs().max() < 0.02


@pytest.mark.parametrize('flip', [False, True])
def test_zoom_with_another_raster_shows_one_ground_in_both(flip: bool) -> None:
    """The ramp of places says so, however tiles are turned over."""
    side, there = 64, 32
    tiles, gsd = ramp(side, GSD), torch.full((16,), GSD)
    canvas = F.pad(ramp(there, 2 * GSD), (0, 8, 0, 8))
    valid = F.pad(whole(16, there), (0, 8, 0, 8))
    views = ScaleViews(16, scale=(0.25, 0.9), flip=flip, zoom=2)
    fine, coarse = views(tiles, whole(16, side), gsd, seeded(1), (canvas, valid, 2 * gsd))
    assert coarse.image.shape == (16, 2, 16, 16)
    assert coarse.valid.all()
    torch.testing.assert_close(coarse.gsd, 2 * fine.gsd)
    assert torch.equal(coarse.origin, fine.origin)
    off = coarse.image - F.avg_pool2d(fine.image, 2)
    assert (off.abs().amax((1, 2, 3)) < 0.25 * coarse.gsd).all()
    assert off[..., 1:-1, 1:-1].mean((2, 3)).abs().max() < 0.02


def test_one_view_is_the_fine_one_of_two() -> None:
    """Whatever another raster shows, for objectives that look at nothing else."""
    tile = torch.randn(3, 3, TILE, TILE, generator=seeded()), whole(3), torch.full((3,), GSD)
    both = ScaleViews(32)(*tile, seeded(4))
    one = ScaleViews(32, views=1)
    for coarse in (None, (*tile[:2], 2 * tile[2])):
        (fine,) = one(*tile, seeded(4), coarse)
        for mine, theirs in zip(fields((fine,)), fields(both[:1]), strict=True):
            assert torch.equal(mine, theirs)
