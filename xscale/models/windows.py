"""Attention among the tokens of a window, of which only some are there."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from timm.models.swin_transformer import WindowAttention as TimmWindowAttention
from torch import Tensor

from .attention import Attends, attend


class Windows(NamedTuple):
    """Where visible tokens stand in windows that hold some.

    Attributes:
        number: Number of windows.
        slots: Place of each token, of ``number`` times as many as a window has, shape (B · T,).
        empty: −inf where a place holds none, shape (number, 1, 1, places); None where all do.
    """

    number: int
    slots: Tensor
    empty: Tensor | None


class WindowAttention(Attends, TimmWindowAttention):
    """timm's attention, parameter for parameter, that also runs over windows with empty places."""

    def among(self, x: Tensor, windows: Windows) -> Tensor:
        """Attend to the tokens of the same window.

        Args:
            x: Visible tokens, shape (B, T, D).
            windows: Where they stand.

        Returns:
            Shape (B, T, D).
        """
        qkv = self.qkv(x)
        places = qkv.new_zeros(windows.number * self.window_area, qkv.shape[-1])
        places = places.index_copy(0, windows.slots, qkv.flatten(0, 1))
        places = places.unflatten(1, (3, self.num_heads, -1))
        q, k, v = places.unflatten(0, (windows.number, -1)).permute(2, 0, 3, 1, 4)
        bias = self._get_rel_pos_bias()
        if windows.empty is not None:
            bias = bias + windows.empty
        said = attend(q, k, v, bias, self.backend).transpose(1, 2).flatten(2).flatten(0, 1)
        return self.proj(said.index_select(0, windows.slots).view(*x.shape[:2], -1))


def places_in(keep: Tensor, cols: int, side: int) -> tuple[Tensor, Tensor]:
    """Tell where the tokens of cells lie.

    Args:
        keep: Which cells, counted row by row, shape (B, K).
        cols: Cells of a row.
        side: Tokens along the side of a cell.

    Returns:
        The row and the column of each token, row by row in each cell, shape (B, K · side²).
    """
    inner = torch.arange(side, device=keep.device)
    down, right = (keep // cols)[..., None, None], (keep % cols)[..., None, None]
    rows = (down * side + inner[:, None]).expand(-1, -1, -1, side)
    cols_ = (right * side + inner).expand(-1, -1, side, -1)
    return rows.flatten(1), cols_.flatten(1)


def windows_of(
    places: tuple[Tensor, Tensor], extent: tuple[int, int], window: Sequence[int], shifted: bool
) -> Windows:
    """Put tokens into the windows of an image, and number those that hold one.

    Args:
        places: As :func:`places_in` returns them.
        extent: Tokens of the whole image, down and right.
        window: Tokens of a window, down and right.
        shifted: Whether windows lie half a window further, where the image is larger than one.
    """
    numbers = slots = torch.zeros_like(places[0])
    most = 1
    for place, length, side in zip(places, extent, window, strict=True):
        # Shifted windows begin half a window in, and what lies before is in one of its own.
        before = side - side // 2 if shifted and length > side else 0
        along = -(-(length + before) // side)
        numbers = numbers * along + (place + before) // side
        slots = slots * side + (place + before) % side
        most *= along
    batch, area = len(places[0]), window[0] * window[1]
    first = torch.arange(batch, device=places[0].device)[:, None] * most
    numbers, slots = (first + numbers).flatten(), slots.flatten()
    held = torch.zeros(batch * most, dtype=torch.int64, device=numbers.device)
    held = held.index_fill(0, numbers, 1).cumsum(0)
    count = int(held[-1])
    slots = (held[numbers] - 1) * area + slots
    if len(slots) == count * area:
        return Windows(count, slots, None)
    empty = torch.full((count * area,), float('-inf'), device=slots.device)
    return Windows(count, slots, empty.index_fill(0, slots, 0.0).view(count, 1, 1, area))
