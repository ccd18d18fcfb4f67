"""Fewer pixels: exact averages of the ground, no aliasing, and nothing from missing pixels."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from xscale.errors import ConfigError
from xscale.transforms import downsample, resample

from ..tiny import seeded


def images(side: int = 48, batch: int = 2) -> tuple[Tensor, Tensor]:
    return 1000 * torch.rand(batch, 3, side, side, generator=seeded()), torch.ones(
        batch, 1, side, side, dtype=torch.bool
    )


@pytest.mark.parametrize('factor', [0.5, 0.25, 0.125, 1.0])
def test_whole_factors_are_means_of_blocks(factor: float) -> None:
    image, valid = images()
    found = downsample(image, valid, factor)
    torch.testing.assert_close(found.image, F.avg_pool2d(image, round(1 / factor)))
    assert found.valid.all()
    assert found.valid.shape == (2, 1, *found.image.shape[-2:])
    assert found.factor == pytest.approx(factor)


def test_other_factors_are_means_of_parts_of_pixels() -> None:
    """Of pixels cut into as many parts as there will be pixels, blocks can be averaged."""
    image, valid = images(30)
    found = downsample(image, valid, 0.3)
    fine = image.repeat_interleave(9, 2).repeat_interleave(9, 3)
    torch.testing.assert_close(found.image, F.avg_pool2d(fine.double(), 30).float())


def test_the_factor_is_that_of_whole_pixels() -> None:
    """150 px at 12.5 % would be 18.75: the GSD is that of 19."""
    found = downsample(*images(150, 1), 0.125)
    assert found.image.shape[-2:] == (19, 19)
    assert found.factor == pytest.approx(19 / 150)


def test_by_hand() -> None:
    """Three pixels become two: each covers one and a half."""
    image = torch.tensor([0.0, 6.0, 12.0]).expand(1, 1, 3, 3)
    found = downsample(image, torch.ones(1, 1, 3, 3, dtype=torch.bool), 0.66)
    torch.testing.assert_close(found.image[0, 0], torch.tensor([[2.0, 10.0]]).expand(2, 2))


@pytest.mark.parametrize('worst', [1e6, torch.nan])
def test_missing_pixels_do_not_bleed(worst: float) -> None:
    image, valid = images()
    valid[:, :, :7, :11] = False
    valid[0, :, 30:33, 30:31] = False
    spoilt = image.masked_fill(~valid, worst)
    clean = image.masked_fill(~valid, 0.0)
    for how in (
        lambda i: downsample(i, valid, 0.25),
        lambda i: downsample(i, valid, 0.3),
        lambda i: resample(i, valid, 31),
        lambda i: resample(i, valid, 100),
        lambda i: resample(i, valid, 48),
    ):
        found = how(spoilt)
        assert torch.equal(found.image, how(clean).image)
        assert torch.equal(found.image == 0, (~found.valid).expand_as(found.image))
        inside = found.image[found.valid.expand_as(found.image)]
        assert inside.min() >= image[valid.expand_as(image)].min()
        assert inside.max() <= 1000


def test_a_pixel_counts_where_half_of_it_does() -> None:
    image, valid = images(8, 1)
    valid[..., :4, :] = torch.tensor([1, 0, 1, 1, 0, 0, 1, 0], dtype=torch.bool)
    valid[..., 0, 7] = True
    found = downsample(image, valid, 0.25)
    assert found.valid[0, 0].tolist() == [[True, False], [True, True]]
    expected = image[0, :, :4, :4][:, valid[0, 0, :4, :4]].mean(-1)
    torch.testing.assert_close(found.image[0, :, 0, 0], expected)


def test_resampling_is_bicubic_with_a_filter() -> None:
    image, valid = images()
    for side in (24, 33, 96):
        found = resample(image, valid, side)
        expected = F.interpolate(image, (side, side), mode='bicubic', antialias=True)
        low, high = image.amin((2, 3), keepdim=True), image.amax((2, 3), keepdim=True)
        torch.testing.assert_close(found.image, torch.minimum(torch.maximum(expected, low), high))
        assert (expected > high).any() or side < 48
        assert found.factor == pytest.approx(side / 48)
    assert torch.equal(resample(image, valid, 48).image, image)


def test_holes_are_not_dark() -> None:
    """One dark pixel far off allows dark values; beside a hole there are none."""
    image = torch.full((1, 1, 48, 48), 100.0)
    image[..., 0, 0] = 0
    valid = torch.ones(1, 1, 48, 48, dtype=torch.bool)
    valid[..., 20:30, 24] = False
    valid[..., 33:36, 30:33] = False
    for side in (20, 31, 90):
        found = resample(image, valid, side)
        beside = found.image[..., side // 4 :, :]
        shown = found.valid[..., side // 4 :, :]
        torch.testing.assert_close(beside[shown], torch.full_like(beside[shown], 100.0))


def test_a_few_missing_pixels_change_only_their_surroundings() -> None:
    image, valid = images()
    whole = resample(image, valid, 30).image
    valid[0, 0, 10, 10] = False
    holed = resample(image, valid, 30).image
    differs = (whole != holed).any(1)
    assert not differs[1].any()
    rows, cols = differs[0].nonzero().T
    assert len(rows)
    assert rows.min() >= 4
    assert rows.max() <= 9
    assert torch.equal(rows.unique(), cols.unique())


@pytest.mark.parametrize(
    'how', [lambda i, v: downsample(i, v, 0.25), lambda i, v: resample(i, v, 12)]
)
def test_fine_patterns_vanish(how) -> None:
    """A checkerboard is grey from afar, not black or white."""
    checks = (torch.arange(48)[:, None] + torch.arange(48)) % 2
    image = checks.float().expand(1, 1, 48, 48)
    found = how(image, torch.ones(1, 1, 48, 48, dtype=torch.bool)).image
    torch.testing.assert_close(found, torch.full_like(found, 0.5), atol=0.02, rtol=0)


def test_images_without_data() -> None:
    image, valid = images()
    for found in (downsample(image, ~valid, 0.5), resample(image, ~valid, 20)):
        assert not found.valid.any()
        assert not found.image.any()


def test_what_cannot_be_resampled() -> None:
    image, valid = images()
    for factor in (0, 1.5, float('nan')):
        with pytest.raises(ConfigError, match='up to 1 is needed'):
            downsample(image, valid, factor)
    with pytest.raises(ConfigError, match=r'48×48 px at a scale of 0\.01 have less than a pixel'):
        downsample(image, valid, 0.01)
    with pytest.raises(ConfigError, match='square images'):
        resample(image[..., :40], valid[..., :40], 20)
    with pytest.raises(ConfigError, match='with a mask of shape'):
        downsample(image, valid[:, 0], 0.5)
    with pytest.raises(ConfigError, match='bool is needed'):
        resample(image, valid.float(), 20)
