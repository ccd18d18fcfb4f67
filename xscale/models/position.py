"""Where tokens lie, and how a position becomes a vector."""

from functools import lru_cache
from typing import Literal, get_args

import torch
from torch import Tensor

from ..errors import ConfigError
from ..types import View

#: 'index' counts patches, as in MAE; 'gsd' counts them in metres, as in Scale-MAE; 'table' takes
#: the encoder's own table, for weights whose positions were learned (the decoder then counts).
Position = Literal['index', 'gsd', 'table']
POSITIONS: tuple[Position, ...] = get_args(Position)


def grid(height: int, width: int, device: torch.device | None = None) -> Tensor:
    """List the places of a grid of patches, row by row.

    Args:
        height: Patches down.
        width: Patches right.
        device: Where to put them.

    Returns:
        (row, column) of each patch, shape (N, 2), float64.
    """
    rows = torch.arange(height, dtype=torch.float64, device=device)
    cols = torch.arange(width, dtype=torch.float64, device=device)
    return torch.cartesian_prod(rows, cols).reshape(-1, 2)


def sincos(position: Tensor, dim: int) -> Tensor:
    """Encode positions as sines and cosines.

    The first half of the channels encodes the column, the second the row; each half holds the
    sines and then the cosines of the coordinate times 10000^(−4i/dim), i < dim/4 (MAE, He et
    al. 2022; Scale-MAE, Reed et al. 2023, eq. 2, where the coordinate is in metres).

    Args:
        position: (row, column), shape (..., 2).
        dim: Number of channels, a multiple of four.

    Returns:
        Encodings, shape (..., dim), float64.
    """
    return code(position.flip(-1), dim // 2).flatten(-2)


def code(value: Tensor, dim: int) -> Tensor:
    """Encode numbers as sines and then cosines of them times 10000^(−2i/dim), i < dim/2.

    Args:
        value: Shape (…).
        dim: Number of channels, a multiple of two.

    Returns:
        Shape (…, dim), float64.
    """
    exponent = torch.arange(dim // 2, dtype=torch.float64, device=value.device) / (dim / 2)
    angle = value.double()[..., None] * 10000.0**-exponent
    return torch.cat([angle.sin(), angle.cos()], dim=-1)


def position_channels(dim: int) -> Tensor:
    """Return the channels of :func:`sincos` that tell near positions apart.

    Those whose coordinate is multiplied by 0.1 or more. The others, three quarters, are all but
    constant over a grid of a few patches.

    Args:
        dim: Number of channels, a multiple of four.

    Returns:
        Indices, int64.
    """
    quarter = dim // 4
    count = max(1, quarter // 4)
    return torch.cat([torch.arange(count) + part * quarter for part in range(4)])


def code_width(given: int | None, usual: int, dim: int, times: int = 1) -> int:
    """Return the channels of a code that stands beside positions of places.

    Args:
        given: What was asked for; None for what is usual.
        usual: That.
        dim: Channels of a token.
        times: Codes in a token.

    Raises:
        ConfigError: If the channels left for places are no multiple of four.
    """
    width = usual // 4 * 4 if given is None else given
    left = dim - times * width
    if width < 2 or width % 2 or left < 4 or left % 4:
        raise ConfigError(
            f'{times} × {width} of {dim} channels for codes leave {left} for places; a multiple '
            'of 4 is needed, and codes of an even number of channels'
        )
    return width


@lru_cache(maxsize=32)
def _table(height: int, width: int, dim: int, device: torch.device) -> Tensor:
    return sincos(grid(height, width, device), dim).float()


def encode_positions(view: View, patch: int, dim: int, position: Position) -> Tensor:
    """Encode the position of each patch of a view.

    Args:
        view: The view, H and W multiples of the patch.
        patch: Side of a patch in pixels.
        dim: Number of channels.
        position: 'index' or 'gsd'; anything else counts patches.

    Returns:
        Encodings, shape (1 or B, N, dim), float32.
    """
    height, width = view.image.shape[-2] // patch, view.image.shape[-1] // patch
    if position != 'gsd':
        return _table(height, width, dim, view.image.device)[None]
    places = grid(height, width, view.gsd.device) * view.pixel[:, None].double()
    return sincos(places, dim).float()


def token_centres(view: View, patch: int) -> Tensor:
    """Locate the patches of a view on the ground.

    Args:
        view: The view.
        patch: Side of a patch in pixels.

    Returns:
        Centre of each patch in metres (down, right) in the sample's frame, shape (B, N, 2).
    """
    height, width = view.image.shape[-2] // patch, view.image.shape[-1] // patch
    steps = (grid(height, width, view.gsd.device).float() + 0.5) * patch
    return view.origin[:, None] + steps * view.pixel[:, None]


def sample_at(features: Tensor, view: View, xy: Tensor, patch: int) -> tuple[Tensor, Tensor]:
    """Read one view's features at places on the ground.

    Args:
        features: Features of the view's patches, shape (B, N, D).
        view: The view they describe.
        xy: Places in metres (down, right) in the sample's frame, shape (B, M, 2).
        patch: Side of a patch in pixels.

    Returns:
        Features interpolated between patch centres, shape (B, M, D), float32, and whether each
        place lies inside the view, shape (B, M).
    """
    height, width = view.image.shape[-2] // patch, view.image.shape[-1] // patch
    extent = view.pixel * torch.tensor([height, width], device=xy.device) * patch
    share = (xy - view.origin[:, None]) / extent[:, None]
    # A crop that touches the tile's edge may stick out by a rounding error.
    inside = ((share > -1e-4) & (share < 1 + 1e-4)).all(-1)
    maps = features.mT.reshape(len(features), -1, height, width)
    where = (2 * share - 1).flip(-1)[:, None]
    # In float32 whatever the features are: places rounded to bfloat16 lie elsewhere.
    sampled = torch.nn.functional.grid_sample(
        maps.float(), where.float(), padding_mode='border', align_corners=False
    )
    return sampled[:, :, 0].mT, inside
