"""Terms of the objectives: functions of tensors that return one unweighted number."""

from collections.abc import Callable

import torch
from kornia.filters import gaussian_blur2d
from torch import Tensor
from torch import distributed as dist
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from ..errors import ConfigError, UnknownNameError

#: Losses of single values: (prediction, target) to error, and whether a patch's errors are
#: summed (as 'l1' and 'l2' are in the released Cross-Scale MAE) rather than averaged.
VALUE_LOSSES: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], bool]] = {
    'mse': (lambda p, t: (p - t).square(), False),
    'mae': (lambda p, t: (p - t).abs(), False),
    'l1': (lambda p, t: (p - t).abs(), True),
    'l2': (lambda p, t: (p - t).square(), True),
    'bce': (
        lambda p, t: F.binary_cross_entropy_with_logits(p, _unit_range(t), reduction='none'),
        False,
    ),
}

#: Weights of the scales of MS-SSIM (Wang, Simoncelli and Bovik 2003), finest first.
MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
WINDOW = 11


def _unit_range(target: Tensor) -> Tensor:
    """Bring a whole tensor to 0..1."""
    return (target - target.min()) / (target.max() - target.min() + 1e-6)


def patch_loss(
    prediction: Tensor,
    target: Tensor,
    masked: Tensor,
    valid: Tensor,
    loss: str = 'mse',
    size: Tensor | None = None,
) -> Tensor:
    """Average a loss of values over the hidden patches that hold data.

    Args:
        prediction: Shape (B, N, P).
        target: Shape (B, N, P).
        masked: True where a patch is hidden, shape (B, N).
        valid: 1 where a value counts, else 0, shape (B, N, P).
        loss: A key of :data:`VALUE_LOSSES`.
        size: Values that a patch of each image has, shape (B, 1); P by default.

    Raises:
        UnknownNameError: If there is no such loss.
    """
    if loss not in VALUE_LOSSES:
        raise UnknownNameError('reconstruction loss', loss, VALUE_LOSSES)
    function, summed = VALUE_LOSSES[loss]
    target = target.float()
    # What is missing must not stretch the range of values that some losses look at.
    target = target.where(valid > 0, (target * valid).sum() / valid.sum().clamp(min=1))
    error = function(prediction.float(), target) * valid
    count = valid.sum(-1)
    patches = error.sum(-1) / count.clamp(min=1)
    if summed:
        patches = patches * (valid.shape[-1] if size is None else size)
    counted = masked & (count > 0)
    return (patches * counted).sum() / counted.sum().clamp(min=1)


def ssim_loss(
    prediction: Tensor, target: Tensor, scales: int = 1, counted: Tensor | None = None
) -> Tensor:
    """One minus the structural similarity of two images, over one scale or several.

    Args:
        prediction: Shape (B, C, H, W).
        target: Shape (B, C, H, W); its range of values sets the constants.
        scales: 1 for SSIM (Wang et al. 2004); up to 5 for MS-SSIM.
        counted: False for channels that do not count, shape (B, C); all do by default.

    Raises:
        ConfigError: If the image is too small for the window at the coarsest scale.
    """
    prediction, target = prediction.float(), target.float()
    smallest = min(target.shape[-2:]) >> (scales - 1)
    if smallest < WINDOW:
        need = WINDOW << (scales - 1)
        raise ConfigError(
            f'SSIM at {scales} scales needs images of {need} px, {min(target.shape[-2:])} came'
        )
    span = (target.amax() - target.amin()).clamp(min=1e-6)
    weights = torch.tensor(MS_SSIM_WEIGHTS[:scales], device=target.device)
    weights = weights / weights.sum()
    counted = counted if counted is not None else target.new_ones(target.shape[:2])
    similarity = target.new_ones(len(target))
    for scale in range(scales):
        luminance, contrast = _similarity(prediction, target, span)
        part = luminance * contrast if scale == scales - 1 else contrast
        mean = (part.mean((2, 3)) * counted).sum(1) / counted.sum(1).clamp(min=1)
        similarity = similarity * mean.clamp(min=1e-6) ** weights[scale]
        prediction, target = F.avg_pool2d(prediction, 2), F.avg_pool2d(target, 2)
    images = counted.any(1)
    return ((1 - similarity) * images).sum() / images.sum().clamp(min=1)


def _similarity(x: Tensor, y: Tensor, span: Tensor) -> tuple[Tensor, Tensor]:
    """Return the luminance and the contrast-structure part of SSIM at each pixel."""

    def blur(image: Tensor) -> Tensor:
        # Variances are differences of large numbers: not in the half precision of autocast.
        with torch.autocast(image.device.type, enabled=False):
            return gaussian_blur2d(image, (WINDOW, WINDOW), (1.5, 1.5))

    c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2
    mean_x, mean_y = blur(x), blur(y)
    var_x, var_y = blur(x * x) - mean_x**2, blur(y * y) - mean_y**2
    covariance = blur(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    return luminance, (2 * covariance + c2) / (var_x + var_y + c2)


def nt_xent(
    first: Tensor,
    second: Tensor,
    *,
    temperature: float = 0.5,
    decoupled: bool = True,
    footprint: Tensor | None = None,
    present: Tensor | None = None,
    chunk: int = 4096,
) -> Tensor:
    """Contrast two embeddings of each place with those of other places.

    NT-Xent (Chen et al. 2020) over both views. The positive is not in the denominator where
    ``decoupled`` (Yeh et al. 2022; the released Cross-Scale MAE adds 1e-8 instead); with
    ``decoupled=False`` it is InfoNCE. Pairs whose footprints overlap show the same ground and are
    not negatives; a row with no negative left contributes nothing. Under torch.distributed the
    negatives come from all ranks, with gradient. At most ``chunk`` rows of similarities exist at a
    time, and no tensor has more than two dimensions.

    Args:
        first: Embeddings of one view, shape (B, D).
        second: Embeddings of the other, shape (B, D).
        temperature: Divides the cosine similarities.
        decoupled: Leave the positive out of the denominator.
        footprint: West, south, east, north of each place in degrees, shape (B, 4), float64.
        present: False where a place holds no data and says nothing, shape (B,), bool.
        chunk: Rows of similarities computed at a time.
    """
    first, second = (F.normalize(z.float(), dim=-1) for z in (first, second))
    keys = torch.cat([_gather(first), _gather(second)])
    same = _same_ground(len(first), footprint, first.device)
    if present is not None:
        # A place without data is nobody's negative and has none.
        same = same | ~(present[:, None] & _gather(present.float())[None].bool())
    positive = (first * second).sum(-1) / temperature
    positive, same = positive.repeat(2), same.repeat(2, 2)

    def rows(query: Tensor, positive: Tensor, same: Tensor) -> Tensor:
        with torch.autocast(query.device.type, enabled=False):
            logits = (query @ keys.mT / temperature).masked_fill(same, -1e30)
        floor = positive.new_full((), 1e-8).log() if decoupled else positive
        loss = torch.logaddexp(logits.logsumexp(-1), floor) - positive
        return (loss * (~same).any(-1)).sum()

    parts = zip(
        torch.cat([first, second]).split(chunk),
        positive.split(chunk),
        same.split(chunk),
        strict=True,
    )
    if len(positive) <= chunk:
        total = rows(*next(parts))
    else:
        total = torch.stack([checkpoint(rows, *part, use_reentrant=False) for part in parts]).sum()
    return total / (~same).any(-1).sum().clamp(min=1)


def _distributed() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def _gather(tensor: Tensor) -> Tensor:
    """Join a tensor over all ranks, with gradient."""
    if not _distributed():
        return tensor
    from torch.distributed.nn.functional import all_gather

    return torch.cat(all_gather(tensor))


def _same_ground(batch: int, footprint: Tensor | None, device: torch.device) -> Tensor:
    """Tell which of all ranks' places share ground with this rank's, shape (b, B)."""
    start = dist.get_rank() * batch if _distributed() else 0
    total = dist.get_world_size() * batch if _distributed() else batch
    own = torch.arange(start, start + batch, device=device)
    itself = own[:, None] == torch.arange(total, device=device)
    if footprint is None:
        return itself
    everyone = _gather(footprint)
    west, south, east, north = (footprint[:, None, i] for i in range(4))
    # Boxes across the antimeridian go on beyond 180 degrees: compare in the same turn.
    turn = 360 * ((west - everyone[:, 0]) / 360).round()
    apart = (everyone[:, 0] + turn >= east) | (everyone[:, 2] + turn <= west)
    apart |= (everyone[:, 1] >= north) | (everyone[:, 3] <= south)
    # A footprint without area is apart even from itself.
    return itself | ~apart


def overlap_rate(footprint: Tensor) -> Tensor:
    """Return the share of places in a batch that share ground with another of it.

    Args:
        footprint: West, south, east, north in degrees, shape (B, 4).
    """
    same = _same_ground(len(footprint), footprint, footprint.device)
    return (same.sum(-1) > 1).float().mean()
