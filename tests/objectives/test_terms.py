"""Every term against a plain way to compute it."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torchmetrics.functional.image import structural_similarity_index_measure

from xscale.errors import ConfigError, UnknownNameError
from xscale.objectives.targets import normalize_patches
from xscale.objectives.terms import VALUE_LOSSES, nt_xent, overlap_rate, patch_loss, ssim_loss

from ..tiny import seeded

#: Squares of one degree; the second overlaps the first, the third only touches it.
FOOTPRINT = torch.tensor(
    [[0, 0, 1, 1], [0.5, 0.5, 1.5, 1.5], [1, 0, 2, 0.5], [8, 8, 9, 9], [-3, 0, -2, 1]]
).double()


def embeddings(count: int = 5, dim: int = 6) -> tuple[Tensor, Tensor]:
    first, second = torch.randn(2, count, dim, generator=seeded())
    return first.requires_grad_(), second.requires_grad_()


def overlaps(a: Tensor, b: Tensor) -> bool:
    sides = ((a[0], a[2], b[0], b[2]), (a[1], a[3], b[1], b[3]))
    return all(min(a1, b1) > max(a0, b0) for a0, a1, b0, b1 in sides)


def by_loops(
    first: Tensor, second: Tensor, temperature: float, decoupled: bool, footprint: Tensor | None
) -> float:
    z = F.normalize(torch.cat([first, second]).double().detach(), dim=-1)
    count, rows = len(first), []
    for i in range(2 * count):
        positive = float(z[i] @ z[(i + count) % (2 * count)]) / temperature
        negatives = []
        for k in range(2 * count):
            a, b = i % count, k % count
            shared = a == b or (footprint is not None and overlaps(footprint[a], footprint[b]))
            if not shared:
                negatives.append(math.exp(float(z[i] @ z[k]) / temperature))
        if negatives:
            extra = 1e-8 if decoupled else math.exp(positive)
            rows.append(math.log(sum(negatives) + extra) - positive)
    return sum(rows) / max(len(rows), 1)


@pytest.mark.parametrize('footprint', [None, FOOTPRINT], ids=['no footprint', 'footprint'])
@pytest.mark.parametrize('decoupled', [True, False])
@pytest.mark.parametrize('temperature', [0.1, 0.5])
def test_nt_xent(temperature: float, decoupled: bool, footprint: Tensor | None) -> None:
    first, second = embeddings()
    loss = nt_xent(first, second, temperature=temperature, decoupled=decoupled, footprint=footprint)
    expected = by_loops(first, second, temperature, decoupled, footprint)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_infonce_is_cross_entropy() -> None:
    first, second = embeddings()
    z = F.normalize(torch.cat([first, second]), dim=-1)
    logits = (z @ z.mT / 0.2).fill_diagonal_(float('-inf'))
    expected = F.cross_entropy(logits, torch.arange(10).roll(5))
    loss = nt_xent(first, second, temperature=0.2, decoupled=False)
    torch.testing.assert_close(loss, expected)
    grads = (torch.autograd.grad(value, (first, second)) for value in (loss, expected))
    torch.testing.assert_close(*grads)


def test_overlapping_places_do_not_repel() -> None:
    """Two places that overlap leave each other's gradients alone."""
    first, second = embeddings(2)
    apart = FOOTPRINT[[0, 3]]
    both = [nt_xent(first, second, footprint=f) for f in (apart, FOOTPRINT[[0, 1]])]
    torch.testing.assert_close(both[0], nt_xent(first, second))
    assert both[1] == 0
    three_first, three_second = embeddings(3)
    loss = nt_xent(three_first, three_second, footprint=FOOTPRINT[[0, 1, 3]])
    again = nt_xent(three_first, three_second)
    assert not torch.isclose(loss, again)


@pytest.mark.parametrize('decoupled', [True, False])
def test_row_without_negatives(decoupled: bool) -> None:
    """The first place overlaps all others, which do not overlap one another."""
    footprint = FOOTPRINT[[0, 2, 3]].clone()
    footprint[0] = torch.tensor([-90.0, -90, 90, 90])
    first, second = embeddings(3)
    loss = nt_xent(first, second, decoupled=decoupled, footprint=footprint)
    grads = torch.autograd.grad(loss, (first, second))
    assert all(grad.isfinite().all() for grad in grads)
    assert not any(grad[0].any() for grad in grads)
    rest = nt_xent(first[1:], second[1:], decoupled=decoupled)
    torch.testing.assert_close(loss, rest)
    alone = nt_xent(first, second, decoupled=decoupled, footprint=footprint[:1].expand(3, 4))
    assert alone == 0
    for grad in torch.autograd.grad(alone, (first, second)):
        assert torch.equal(grad, torch.zeros_like(grad))


def test_footprint_without_area() -> None:
    """A place is no negative of itself, whatever its footprint."""
    first, second = embeddings()
    loss = nt_xent(first, second, footprint=torch.zeros(5, 4).double())
    torch.testing.assert_close(loss, nt_xent(first, second))


@pytest.mark.parametrize('footprint', [None, FOOTPRINT], ids=['no footprint', 'footprint'])
def test_chunks(footprint: Tensor | None) -> None:
    first, second = embeddings()
    results = []
    for chunk in (4096, 3):
        loss = nt_xent(first, second, footprint=footprint, chunk=chunk)
        results.append((loss, *torch.autograd.grad(loss, (first, second))))
    torch.testing.assert_close(results[1], results[0], rtol=1e-6, atol=1e-7)


class Largest(TorchDispatchMode):
    """Notes the largest floating-point tensor that any operation makes."""

    numel = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **kwargs or {})
        for tensor in result if isinstance(result, tuple | list) else (result,):
            if isinstance(tensor, Tensor) and tensor.is_floating_point():
                self.numel = max(self.numel, tensor.numel())
        return result


@pytest.mark.parametrize(
    ('count', 'dim', 'chunk', 'most'),
    [(64, 512, 4096, 128 * 512), (256, 4, 4096, 512**2), (256, 4, 32, 32 * 512)],
)
def test_memory(count: int, dim: int, chunk: int, most: int) -> None:
    """Never (2B, 2B, D); in chunks never (2B, 2B)."""
    first, second = embeddings(count, dim)
    with Largest() as largest:
        nt_xent(first, second, chunk=chunk).backward()
    assert largest.numel <= most


def test_contrast_is_float32_under_autocast() -> None:
    first, second = embeddings(dim=64)
    with torch.autocast('cpu', torch.bfloat16):
        mixed = nt_xent(first, second, temperature=0.05)
    grads = torch.autograd.grad(mixed, (first, second))
    loss = nt_xent(first, second, temperature=0.05)
    assert torch.equal(mixed, loss)
    for grad, expected in zip(grads, torch.autograd.grad(loss, (first, second)), strict=True):
        assert torch.equal(grad, expected)


def test_overlap_rate() -> None:
    assert overlap_rate(FOOTPRINT).item() == pytest.approx(0.4)
    assert overlap_rate(FOOTPRINT[2:]) == 0


def patches() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    prediction, target = torch.randn(2, 3, 8, 12, generator=seeded())
    masked = torch.rand(3, 8, generator=seeded(1)) < 0.6
    valid = (torch.rand(3, 8, 12, generator=seeded(2)) < 0.7).float()
    valid[0, masked[0].nonzero()[0]] = 0  # a hidden patch without data
    return prediction, target, masked, valid


def reference(
    loss: str, prediction: Tensor, target: Tensor, masked: Tensor, valid: Tensor
) -> float:
    seen = target[valid > 0]
    unit = (target - seen.min()) / (seen.max() - seen.min() + 1e-6)
    squared, absolute = (prediction - target) ** 2, (prediction - target).abs()
    chance = prediction.sigmoid()
    entropy = -(unit * chance.log() + (1 - unit) * (1 - chance).log())
    error = {'mse': squared, 'l2': squared, 'mae': absolute, 'l1': absolute, 'bce': entropy}[loss]
    values = [
        error[b, n][valid[b, n] > 0].mean() * (12 if loss in ('l1', 'l2') else 1)
        for b, n in masked.nonzero()
        if valid[b, n].any()
    ]
    return float(sum(values)) / len(values)


@pytest.mark.parametrize('loss', VALUE_LOSSES)
def test_patch_loss(loss: str) -> None:
    prediction, target, masked, valid = patches()
    result = patch_loss(prediction, target, masked, valid, loss)
    expected = reference(loss, prediction, target, masked, valid)
    assert result.item() == pytest.approx(expected, rel=1e-5)
    everything = torch.ones_like(valid)
    result = patch_loss(prediction, target, masked, everything, loss)
    expected = reference(loss, prediction, target, masked, everything)
    assert result.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize('loss', VALUE_LOSSES)
def test_patch_loss_ignores_invalid_and_visible(loss: str) -> None:
    prediction, target, masked, valid = patches()
    prediction.requires_grad_()
    value = patch_loss(prediction, target, masked, valid, loss)
    (grad,) = torch.autograd.grad(value, prediction)
    counts = (valid > 0) & masked[..., None]
    assert not grad[~counts].any()
    assert grad[counts].all()
    changed = [tensor.where(valid > 0, 50.0) for tensor in (prediction, target)]
    assert torch.equal(patch_loss(*changed, masked, valid, loss), value)


@pytest.mark.parametrize('loss', VALUE_LOSSES)
def test_patch_loss_of_nothing(loss: str) -> None:
    prediction, target, masked, valid = patches()
    prediction.requires_grad_()
    for hidden, data in ((masked, 0 * valid), (torch.zeros_like(masked), valid)):
        value = patch_loss(prediction, target, hidden, data, loss)
        assert value == 0
        assert not torch.autograd.grad(value, prediction)[0].any()


def test_unknown_loss() -> None:
    with pytest.raises(UnknownNameError, match='huber'):
        patch_loss(*patches(), 'huber')


def images(height: int = 40, width: int = 48) -> tuple[Tensor, Tensor]:
    """Draw smooth images and noise."""
    smooth = F.avg_pool2d(torch.randn(2, 3, height + 8, width + 8, generator=seeded()), 9, 1) * 9
    return smooth, torch.randn(smooth.shape, generator=seeded(1))


def test_ssim_equals_torchmetrics() -> None:
    target, noise = images()
    prediction = target + 0.5 * noise
    span = (target.max() - target.min()).item()
    result = structural_similarity_index_measure(
        prediction, target, data_range=span, return_full_image=True
    )
    assert isinstance(result, tuple)
    torch.testing.assert_close(ssim_loss(prediction, target), 1 - result[1].mean())


@pytest.mark.parametrize('scales', [1, 2, 3])
def test_ssim_falls_with_noise(scales: int) -> None:
    target, noise = images(48, 64)
    values = [ssim_loss(target + share * noise, target, scales) for share in (0, 0.1, 0.5, 2)]
    assert values[0].abs() < 1e-6
    assert values == sorted(values)
    assert values[1] > 1e-3
    assert values[3] < 1


def test_coarser_scales_count() -> None:
    """Fine noise is averaged away at coarse scales; the loss over several is smaller."""
    target, noise = images(48, 64)
    assert ssim_loss(target + noise, target, 3) < 0.8 * ssim_loss(target + noise, target)


def test_ssim_is_float32_under_autocast() -> None:
    target, noise = images()
    with torch.autocast('cpu', torch.bfloat16):
        mixed = ssim_loss(target + 0.1 * noise, target, 2)
    assert torch.equal(mixed, ssim_loss(target + 0.1 * noise, target, 2))


def test_ssim_needs_size() -> None:
    small = torch.zeros(1, 1, 43, 64)
    with pytest.raises(ConfigError, match='3 scales needs images of 44 px, 43 came'):
        ssim_loss(small, small, 3)


def test_normalize_patches() -> None:
    values = torch.randn(2, 3, 10, generator=seeded()) * 5 + 2
    valid = (torch.rand(2, 3, 10, generator=seeded(1)) < 0.6).float()
    valid[0, 0] = 0
    valid[0, 1] = F.one_hot(torch.tensor(4), 10)
    result = normalize_patches(values, valid)
    for row, mask, found in zip(
        values.flatten(0, 1), valid.flatten(0, 1).bool(), result.flatten(0, 1), strict=True
    ):
        held = row[mask].numpy().astype(np.float64)
        variance = held.var(ddof=1) if len(held) > 1 else 0.0
        expected = (held - held.mean()) / np.sqrt(variance + 1e-6) if len(held) else held
        np.testing.assert_allclose(found[mask].numpy(), expected, rtol=1e-5, atol=1e-6)
        assert not found[~mask].any()
    changed = normalize_patches(values.where(valid > 0, -9999.0), valid)
    assert torch.equal(changed, result)


def test_places_on_both_sides_of_the_antimeridian_share_ground() -> None:
    boxes = torch.tensor(
        [[179.9, 0, 180.1, 1], [-179.95, 0, -179.8, 1], [-170.0, 0, -169, 1]], dtype=torch.float64
    )
    assert overlap_rate(boxes) == pytest.approx(2 / 3)
