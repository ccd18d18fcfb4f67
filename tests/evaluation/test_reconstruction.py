"""Errors of reconstructions by hand and by torchmetrics, and the answers without a model."""

import pytest
import torch
from torch import Tensor
from torchmetrics.functional.image import (
    multiscale_structural_similarity_index_measure,
    structural_similarity_index_measure,
)

from xscale.errors import InputSizeError
from xscale.evaluation import EvaluationError, composite, reconstruction_errors, without_model
from xscale.evaluation.controls import INTERPOLATION, MEAN, OWN, hidden_pixels
from xscale.evaluation.reconstruction import ms_ssim_scales
from xscale.models.position import grid
from xscale.models.tokens import patchify, unpatchify

from ..tiny import seeded, view


def masked(batch: int, count: int, seed: int = 0) -> Tensor:
    return torch.rand(batch, count, generator=seeded(seed)) < 0.7


def holes(side: int, batch: int = 4) -> Tensor:
    valid = torch.rand(batch, 1, side, side, generator=seeded(7)) < 0.9
    valid[:, :, :9, :9] = False
    return valid


def test_hidden_pixels_are_those_of_hidden_patches() -> None:
    """Patches are counted row by row, as the model cuts them."""
    mask = masked(3, 4 * 6)
    hidden = hidden_pixels(mask, 8, 32, 48)
    assert torch.equal(patchify(hidden.float(), 8).mean(-1), mask.float())


def test_only_hidden_pixels_with_data_count() -> None:
    seen = view(valid=holes(32))
    mask = masked(4, 16)
    error = torch.randn(4, 3, 32, 32, generator=seeded(3))
    found = reconstruction_errors(seen.image, seen.image + error, seen.valid, mask, 8)
    counted = seen.valid & hidden_pixels(mask, 8, 32, 32)
    for number in range(4):
        values = error[number, :, counted[number, 0]]
        assert found.mse[number] == pytest.approx(float(values.square().mean()), rel=1e-5)
        assert found.l1[number] == pytest.approx(float(values.abs().mean()), rel=1e-5)
    # What was predicted elsewhere says nothing.
    elsewhere = (error * counted).where(counted, 100 * error)
    again = reconstruction_errors(seen.image, seen.image + elsewhere, seen.valid, mask, 8)
    torch.testing.assert_close(again[:2], found[:2])


def test_structure_is_torchmetrics_of_the_composite() -> None:
    seen, mask = view(96, 96), masked(4, 144)
    prediction = 0.5 * seen.image
    found = reconstruction_errors(seen.image, prediction, seen.valid, mask, 8)
    made = seen.image.where(~hidden_pixels(mask, 8, 96, 96), prediction)
    assert torch.equal(composite(seen.image, prediction, mask, 8), made)
    first, second = ((one / 5 + 0.5).clamp(0, 1) for one in (made, seen.image))
    options = {'data_range': 1.0, 'reduction': 'none'}
    expected = structural_similarity_index_measure(first, second, **options)
    torch.testing.assert_close(found.ssim, expected)
    betas = tuple(weight / 0.6305 for weight in (0.0448, 0.2856, 0.3001))
    several = multiscale_structural_similarity_index_measure(first, second, betas=betas, **options)
    torch.testing.assert_close(found.ms_ssim, several)
    assert (found.ssim < 0.98).all()


def test_a_perfect_prediction() -> None:
    seen = view(48, 48)
    found = reconstruction_errors(seen.image, seen.image, seen.valid, masked(4, 36), 8)
    assert not found.mse.any()
    assert not found.l1.any()
    torch.testing.assert_close(found.ssim, torch.ones(4))
    torch.testing.assert_close(found.ms_ssim, torch.ones(4))


def test_missing_pixels_say_nothing() -> None:
    """Half an image is missing and does not count as well predicted."""
    seen = view(48, 48, batch=2)
    valid = seen.valid.clone()
    valid[1, :, :, :24] = False
    mask = torch.ones(2, 36, dtype=torch.bool)
    noise = seen.image + torch.randn(2, 3, 48, 48, generator=seeded(4))
    found = reconstruction_errors(seen.image, noise, valid, mask, 8)
    torch.testing.assert_close(found.ssim[1], found.ssim[0], atol=0.05, rtol=0)
    assert found.ms_ssim is not None
    assert found.ms_ssim.isnan().tolist() == [False, True]
    spoilt = noise.masked_fill(~valid, 1e4)
    torch.testing.assert_close(
        reconstruction_errors(seen.image, spoilt, valid, mask, 8), found, equal_nan=True
    )


def test_nothing_hidden() -> None:
    seen = view(48, 48, batch=2)
    mask = torch.zeros(2, 36, dtype=torch.bool)
    mask[0, 0] = True
    found = reconstruction_errors(seen.image, seen.image, seen.valid, mask, 8)
    assert all(each.isnan().tolist() == [False, True] for each in found if each is not None)


def test_one_image_keeps_its_axis() -> None:
    seen = view(48, 48, batch=1)
    found = reconstruction_errors(seen.image, seen.image, seen.valid, masked(1, 36), 8)
    assert [each.shape for each in found if each is not None] == [(1,)] * 4


@pytest.mark.parametrize(
    ('side', 'scales'),
    [(8, 0), (11, 1), (21, 1), (22, 2), (43, 2), (44, 3), (98, 3), (99, 4), (175, 4), (176, 5)],
)
def test_as_many_scales_as_fit(side: int, scales: int) -> None:
    assert ms_ssim_scales(side) == scales
    seen = view(side, side, batch=2)
    mask = torch.ones(2, 1, dtype=torch.bool)
    found = reconstruction_errors(seen.image, 0.9 * seen.image, seen.valid, mask, side)
    assert (found.ms_ssim is None) == (scales < 2)
    assert bool(found.ssim.isnan().all()) == (scales < 1)
    if found.ms_ssim is not None:
        assert ((found.ms_ssim > 0.5) & (found.ms_ssim < 1)).all()


def by_patches(seen, mask: Tensor, patch: int) -> dict[str, Tensor]:
    """Predict patches as rows, as the benchmark of initial weights first did it."""
    pixels = patchify(seen.image, patch).unflatten(-1, (patch**2, -1))
    valid = patchify(seen.valid.float(), patch)[..., None]
    visible = valid * ~mask[..., None, None]

    def mean(weight: Tensor, dims: tuple[int, ...]) -> Tensor:
        total = weight.sum(dims, keepdim=True).clamp(min=1e-6)
        return (pixels * weight).sum(dims, keepdim=True) / total

    colours = mean(valid, (2,))
    places = grid(seen.image.shape[-2] // patch, seen.image.shape[-1] // patch).float()
    near = visible.mean(2).mT / (torch.cdist(places, places) ** 3 + 1e-3)
    near = near / near.sum(-1, keepdim=True).clamp(min=1e-6)
    answers = {
        MEAN: mean(visible, (1, 2)),
        INTERPOLATION: (near @ colours[:, :, 0])[:, :, None],
        OWN: colours,
    }
    size = patch, *seen.image.shape[-2:]
    return {
        name: unpatchify(answer.expand_as(pixels).flatten(-2), *size)
        for name, answer in answers.items()
    }


def test_answers_without_a_model() -> None:
    seen = view(32, 48, valid=torch.rand(4, 1, 32, 48, generator=seeded(7)) < 0.8)
    mask = masked(4, 24)
    found = without_model(seen.image, seen.valid, mask, 8)
    expected = by_patches(seen, mask, 8)
    assert found.keys() == expected.keys()
    for name, answer in found.items():
        torch.testing.assert_close(answer, expected[name], atol=1e-5, rtol=1e-4)


def test_controls_know_nothing_of_what_is_hidden() -> None:
    seen, mask = view(), masked(4, 16)
    hidden = hidden_pixels(mask, 8, 32, 32)
    first = without_model(seen.image, seen.valid, mask, 8)
    changed = seen.image.where(~hidden, 9.0)
    second = without_model(changed, seen.valid, mask, 8)
    torch.testing.assert_close(first[MEAN], second[MEAN])
    shown = hidden.expand_as(seen.image)
    torch.testing.assert_close(first[INTERPOLATION][shown], second[INTERPOLATION][shown])
    assert not torch.allclose(first[OWN], second[OWN])


def test_what_cannot_be_compared() -> None:
    seen, mask = view(), masked(4, 16)
    with pytest.raises(EvaluationError, match=r'\(B, C, H, W\) twice'):
        reconstruction_errors(seen.image, seen.image[:, :2], seen.valid, mask, 8)
    prediction = seen.image.clone()
    prediction[2, 0, 3, 3] = torch.nan
    with pytest.raises(EvaluationError, match='1 of 4 predictions are not finite'):
        reconstruction_errors(seen.image, prediction, seen.valid, mask, 8)
    with pytest.raises(EvaluationError, match='a mask of 15 patches came'):
        reconstruction_errors(seen.image, seen.image, seen.valid, mask[:, 1:], 8)
    with pytest.raises(InputSizeError, match='patches of 7 px'):
        without_model(seen.image, seen.valid, mask, 7)
