"""What every encoder here answers to, whoever trained it."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..errors import ConfigError
from ..transforms.normalize import wrong_bands
from .intake import Intake


class Embedded(NamedTuple):
    """What an encoder says of a batch.

    Attributes:
        tokens: A vector for each patch, in row-major order, shape (B, N, D); None where the
            encoder has none.
        pooled: By name of the pooling a vector for each image, shape (B, D).
    """

    tokens: Tensor | None
    pooled: dict[str, Tensor]


class Embedder(nn.Module):
    """An encoder that takes images in the data's own units; nothing of it is trained.

    Attributes:
        name: What people read.
        kind: 'checkpoint', 'timm', 'torchgeo', 'random' or 'image-stats'.
        uses_gsd: Whether metres per pixel change its answer.
        poolings: Ways to pool; the first is the one its objective trained.
        any_size: Whether it takes images of any size.
        own_size: Side in pixels of the images it was made for; 0 where there is none.
        patch: Side of a patch in pixels, of which the side of an image is a multiple.
        smallest: The smallest side it takes, in pixels.
        intake: How the data's bands and values become what the encoder was trained on.
        bands: The bands of the images it is given.
        source: What the user called it, where it was loaded by a name.
    """

    kind = ''
    source = ''
    uses_gsd = False
    any_size = True
    own_size = 0
    patch = 1
    smallest = 1

    def __init__(
        self, name: str, bands: Sequence[str], poolings: Sequence[str], intake: Intake | None
    ) -> None:
        """Begin.

        Args:
            name: What people read.
            bands: The bands of the images it is given.
            poolings: Ways to pool, the trained one first.
            intake: How the data become what the encoder was trained on; None leaves them.
        """
        super().__init__()
        self.name, self.bands, self.poolings = name, tuple(bands), tuple(poolings)
        self.intake = intake
        self.own_notes: list[str] = []
        self._weights = ''

    @property
    def notes(self) -> list[str]:
        """What a user should know of it."""
        return self.own_notes + (self.intake.notes if self.intake else [])

    @property
    def fingerprint(self) -> str:
        """Hex that changes with the weights and with how the input is prepared.

        The data take part in that, so ask for it after :meth:`fit_data`.
        """
        if not self._weights:
            self._weights = digest(self.state_dict())
        told = f'{self.kind} {self.preparation()} {self._weights}'
        return hashlib.sha256(told.encode()).hexdigest()[:32]

    @property
    def contract(self) -> Mapping[str, Any]:
        """The input contract of a checkpoint of ours; empty for others."""
        return {}

    def preparation(self) -> str:
        """Say in full how an image becomes features, beside the weights."""
        return f'{type(self).__name__} {self.bands} {self.intake}'

    def input_side(self, side: int, fixed: bool) -> int:
        """Return the side an image is resampled to before it is encoded.

        Args:
            side: Side of the image in pixels.
            fixed: Whether all images are brought to the size the encoder was made for.

        Returns:
            The nearest side in pixels that the encoder takes.
        """
        if self.own_size and (fixed or not self.any_size):
            return self.own_size
        return max(self.patch, self.smallest, round(side / self.patch) * self.patch)

    def fit_data(self, mean: Sequence[float], std: Sequence[float]) -> list[str]:
        """Learn of the data's values, once and before any image is encoded.

        Args:
            mean: Mean of each band over the training images, in the data's units.
            std: Standard deviation of each band, likewise.

        Returns:
            Warnings: what suggests that the values are not what the encoder was trained on.
        """
        if self.intake is None:
            return []
        # Tensors are welcome too.
        return self.intake.fit([float(value) for value in mean], [float(value) for value in std])

    @torch.no_grad()
    def forward(self, image: Tensor, gsd: Tensor, valid: Tensor | None = None) -> Embedded:
        """Encode images.

        Args:
            image: Values in the data's units, shape (B, C, S, S); not finite is no data.
            gsd: Metres per pixel, shape (B,); NaN where it is not known.
            valid: True where a pixel holds data, shape (B, 1, S, S); all finite ones by default.

        Returns:
            The features, float32.

        Raises:
            ConfigError: If the bands are others than the encoder was found for, or it needs a
                ground sample distance that is not known.
            InputSizeError: If it does not take images of that size.
        """
        if image.shape[1] != len(self.bands):
            raise wrong_bands(image, self.bands)
        unknown = ~(gsd.isfinite() & (gsd > 0))
        if self.uses_gsd and unknown.any():
            raise ConfigError(
                f'{self.name} needs metres per pixel, and of {int(unknown.sum())} of '
                f'{len(gsd)} images they are not known; say them (gsd, or --gsd METRES)'
            )
        finite = image.isfinite().all(1, keepdim=True)
        valid = finite if valid is None else valid & finite
        image = image.float().nan_to_num(posinf=0.0, neginf=0.0)
        if self.intake:
            image = self.intake(image)
        tokens, pooled = self.embed(image, gsd.float().where(~unknown, 1.0), valid)
        pooled = {name: pooled[name].float() for name in self.poolings}
        return Embedded(None if tokens is None else tokens.float(), pooled)

    def embed(self, image: Tensor, gsd: Tensor, valid: Tensor) -> Embedded:
        """Encode images in the encoder's own bands and units.

        Args:
            image: Finite values, shape (B, C, S, S).
            gsd: Metres per pixel, shape (B,).
            valid: True where a pixel holds data, shape (B, 1, S, S).
        """
        raise NotImplementedError


def digest(state: Mapping[str, Tensor]) -> str:
    """Hash tensors by name, shape and every bit.

    Args:
        state: The tensors.
    """
    total = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        total.update(f'{name} {tuple(tensor.shape)} {tensor.dtype}'.encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        total.update(memoryview(flat.view(torch.uint8).numpy()))
    return total.hexdigest()


def standardize(
    image: Tensor, valid: Tensor, mean: Sequence[float], std: Sequence[float]
) -> Tensor:
    """Normalise as released models do: nothing is cut off, and what is missing is the mean.

    Args:
        image: Shape (B, C, H, W).
        valid: True where a pixel holds data, shape (B, 1, H, W).
        mean: Mean of each band.
        std: Standard deviation of each band.
    """
    centre, scale = (image.new_tensor(values)[:, None, None] for values in (mean, std))
    return ((image - centre) / scale).masked_fill(~valid, 0.0)


def valid_mean(maps: Tensor, valid: Tensor) -> Tensor:
    """Average a map of features, each place weighed by how much of it holds data.

    Args:
        maps: Shape (B, D, h, w).
        valid: True where a pixel holds data, shape (B, 1, H, W).

    Returns:
        Shape (B, D).
    """
    weight = nn.functional.adaptive_avg_pool2d(valid.float(), (maps.shape[-2], maps.shape[-1]))
    return (maps * weight).sum((2, 3)) / weight.sum((2, 3)).clamp(min=1e-6)
