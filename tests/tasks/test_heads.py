"""Decoders take images of any size and any patch."""

import pytest
import torch

from xscale.models.checkpoint import Encoder
from xscale.tasks.heads import DensePrediction, LinearDecoder, resample

from ..tiny import encoder, seeded

SENSOR = {'name': 'a', 'bands': ['r', 'g', 'b'], 'mean': [0.0] * 3, 'std': [1.0] * 3}


def whole(patch: int, depth: int = 4, **options: object) -> Encoder:
    model = encoder(patch_size=patch, img_size=patch * 2, depth=depth, **options)
    return Encoder(model, {'sensors': [SENSOR]}).eval()


@pytest.mark.parametrize('patch', [4, 8, 14, 16, 32])
def test_any_grid_of_tokens(patch: int) -> None:
    built = whole(patch)
    for decoder in (DensePrediction(built, 3, 8).eval(), LinearDecoder(32, 3).eval()):
        for rows, cols in ((1, 1), (3, 5)):
            image = torch.randn(2, 3, rows * patch, cols * patch, generator=seeded())
            valid = torch.ones_like(image[:, :1], dtype=torch.bool)
            logits = decoder(built, image, torch.ones(2), valid)
            assert logits.shape == (2, 3, rows * patch, cols * patch)
            assert logits.dtype == torch.float32


@pytest.mark.parametrize(
    'options', [{'depth': 2}, {'class_token': False, 'global_pool': 'avg', 'fc_norm': False}]
)
def test_shallow_encoders_and_those_without_a_class_token(options: dict[str, object]) -> None:
    built = whole(8, **options)  # type: ignore[arg-type]
    decoder = DensePrediction(built, 2, 8).eval()
    image = torch.randn(1, 3, 24, 24, generator=seeded())
    logits = decoder(built, image, torch.ones(1), torch.ones(1, 1, 24, 24, dtype=torch.bool))
    assert logits.shape == (1, 2, 24, 24)


@pytest.mark.parametrize('kind', ['dpt', 'linear'])
def test_answers_lie_where_the_pixels_are(kind: str) -> None:
    """A patch that changes in a corner changes the answer around there."""
    torch.manual_seed(0)
    built = whole(8)
    # A transformer that hands its tokens on.
    for block in built.model.blocks:
        for layer in (block.attn.proj, block.mlp.fc2):
            torch.nn.init.zeros_(layer.weight)
            torch.nn.init.zeros_(layer.bias)
    decoder = (DensePrediction(built, 2, 8) if kind == 'dpt' else LinearDecoder(32, 2)).eval()
    image = torch.zeros(1, 3, 72, 72)
    valid = torch.ones(1, 1, 72, 72, dtype=torch.bool)
    places, centres = torch.arange(72.0), []
    for rows, cols in ((slice(64, 72), slice(8)), (slice(8), slice(64, 72))):
        changed = image.clone()
        changed[:, :, rows, cols] = 3.0
        with torch.no_grad():
            before, after = (decoder(built, x, torch.ones(1), valid) for x in (image, changed))
        share = (after - before).abs().sum(1)[0]
        share = share / share.sum()
        centres.append((share.sum(1) @ places, share.sum(0) @ places))
    (low, left), (high, right) = centres
    assert low > high + 5
    assert left < right - 5


def test_metres_follow_a_resampled_image() -> None:
    image = torch.arange(8.0).expand(1, 2, 8, 8).clone()
    valid = torch.ones(1, 1, 8, 8, dtype=torch.bool)
    valid[:, :, :, 0] = False
    half, gsd, there = resample(image, torch.tensor([3.0]), valid, 4)
    assert (half.shape, gsd.item()) == ((1, 2, 4, 4), 6.0)
    assert half[0, 0, 0, 1:3].tolist() == pytest.approx([2.5, 4.5])
    assert there[0, 0, 0].tolist() == [False, True, True, True]
    assert resample(image, gsd, valid, 8)[0] is image
