"""The few types that travel between the parts: a batch's views, masks and sensors."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

# Scanning a folder needs a Sensor and no torch, which takes a second to import.
if TYPE_CHECKING:
    from torch import Tensor

#: One sample, or a collated batch of them, as in TorchGeo: tensors by name.
type Sample = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class View:
    """One look at the ground: pixels, and where and how large they are.

    Attributes:
        image: Pixels, shape (B, C, H, W), float32, normalised; invalid pixels are 0.
        gsd: Ground sample distance in metres per pixel, shape (B,).
        origin: Upper-left corner of the view in metres (down, right) from the upper-left corner
            of the *sample* it was cut from, shape (B, 2). All views of a sample share that frame.
        valid: True where a pixel holds data, shape (B, 1, H, W), bool.
        aspect: Width of a pixel over its height, shape (B,). None means square pixels. Where it
            is given, ``gsd`` is the geometric mean of the two.
        group: Which group of bands the channels are, shape (B,), int64; channels beyond those of
            the group are 0. None means that all images are of the first group.
        time: Years since 2002, months from 0 and hours of each image, shape (B, 3). None where
            nobody asks.
        frames: Images of one place, one after another in the batch; B is a multiple of it.
    """

    image: 'Tensor'
    gsd: 'Tensor'
    origin: 'Tensor'
    valid: 'Tensor'
    aspect: 'Tensor | None' = None
    group: 'Tensor | None' = None
    time: 'Tensor | None' = None
    frames: int = 1

    @property
    def pixel(self) -> 'Tensor':
        """Metres per pixel (down, right), shape (B, 2)."""
        if self.aspect is None:
            return self.gsd[:, None].expand(-1, 2)
        import torch

        root = self.aspect.sqrt()
        return torch.stack([self.gsd / root, self.gsd * root], dim=1)


@dataclass(frozen=True, slots=True)
class Masks:
    """Which patch tokens are seen. Indices count patch tokens only, never a class token.

    Attributes:
        keep: Indices of the visible tokens, in the order the encoder sees them, shape (B, K).
        restore: Where token i of the image lies in [visible, masked] order, shape (B, N).
        masked: True where a token is hidden, in image order, shape (B, N).
    """

    keep: 'Tensor'
    restore: 'Tensor'
    masked: 'Tensor'


@dataclass(frozen=True, slots=True)
class Sensor:
    """Files whose bands mean the same thing, and how their values are normalised.

    Attributes:
        name: What it is, for people: the convention its bands follow, the bands and the dtype.
        bands: Names of the bands, in the order they are read.
        mean: Mean of each band over valid pixels, in the file's own units.
        std: Standard deviation of each band, likewise.
        group: Name of the group of bands: sensors of one group show the same part of the
            spectrum, band by band, and share a patch embedding.
    """

    name: str
    bands: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    group: str = ''

    def plain(self) -> dict[str, Any]:
        """Return it as a checkpoint keeps it: a name, lists of names and numbers, and a group."""
        lists = {key: list(getattr(self, key)) for key in ('bands', 'mean', 'std')}
        return {'name': self.name, **lists, 'group': self.group}
